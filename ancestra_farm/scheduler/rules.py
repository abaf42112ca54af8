"""Which settings can be taken, and whether a batch keeps to those in force.

A batch is held against them once, when it is submitted: what no machine of the farm could ever run, what its show does
not allow, and what its show could not pay for is refused with the reason, before anything is made. What was taken in
stays so when settings change; what then cannot go on is said by `explain`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.materials import named_in, uses_of
from ancestra_farm.batch.problems import listed
from ancestra_farm.batch.rights import refusals_of
from ancestra_farm.batch.show_settings import ShowSettings, matches
from ancestra_farm.plan.estimate import estimate
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.ordered import taken_before
from ancestra_farm.scheduler.placement import needs_of, nowhere
from ancestra_farm.scheduler.prices import prices_of
from ancestra_farm.scheduler.settings import Settings, key_of, read, settings_digest
from ancestra_farm.scheduler.state import FarmState
from ancestra_farm.scheduler.versions import hold_to
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import OrderRefused

#: So many shots are named for one fault; the rest are counted.
_NAMED = 4


def change(state: FarmState, given: SettingsGiven, emit: Emit, based_on: str | None = None) -> bool:
    """Take settings or raise OrderRefused. False where these are in force, or were taken before under the same id.

    ``based_on``: as of `ChangeSettings`. Raises SettingsConflict.
    """
    if not given.who.strip():
        raise OrderRefused("an order needs the name of the person who gives it")
    what = "the farm" if given.kind == "farm" else f"show {given.name}"
    try:
        meant = read(given)
    except (ValueError, RecursionError) as error:
        raise OrderRefused(f"these are no settings of {what}: {error}") from error
    if given.kind == "farm" and given.name:
        raise OrderRefused("the settings of the farm have no name; a show's are of the kind show")
    if isinstance(meant, ShowSettings) and meant.show != given.name:
        raise OrderRefused(f"these are the settings of {meant.show}, not of {what}")
    clean = replace(given, document=canonical(meant))
    if taken_before(state, given.order, settings_digest(clean)):
        return False
    before = state.settings.given.get(key_of(clean))
    if before is not None and before.document == clean.document:
        return False
    if based_on is not None:
        hold_to(based_on, before, clean.document, what)
    emit(clean)
    return True


def refusals(plan: Plan, settings: Settings, now: float, paid: float = 0.0) -> Iterator[str]:
    """Why a batch cannot be taken in, a sentence for each reason. ``now``: seconds since the Unix epoch.

    ``paid``: what an earlier revision of it has cost.
    """
    yield from _cannot_run(plan, settings)
    show = settings.shows.get(plan.batch.show)
    if show is not None:
        yield from _not_allowed(plan, show)
    yield from _not_theirs(plan, show, now)
    yield from _too_dear(plan, settings, paid)


def _cannot_run(plan: Plan, settings: Settings) -> Iterator[str]:
    """What needs a machine that the farm does not have, or more slots than the show may hold."""
    cap = settings.cap(plan.batch.show).max_slots
    for model, card in plan.cards.items():
        needs = needs_of(card)
        if (why := nowhere(needs, settings.farm.node_types)) is not None:
            yield f"{model} can never run here: {why}"
        slots = needs.gpus if needs.gpus else max(1.0, needs.cpus)
        if cap is not None and slots > cap:
            yield (
                f"{model} can never run here: a host of it holds {slots:g} slots, and all batches of "
                f"{plan.batch.show} may hold {cap} (max_slots of show_caps)"
            )


def _not_allowed(plan: Plan, show: ShowSettings) -> Iterator[str]:
    """What the settings of the show do not allow."""
    naming = show.naming
    if naming.batch is not None and not matches(naming.batch, plan.batch.batch):
        yield f"batches of {show.show} are named {naming.batch}, not {plan.batch.batch} (naming.batch)"
    if naming.shot is not None:
        other = [shot.name for shot in plan.shots if not matches(naming.shot, shot.name)]
        yield from _of_shots(other, f"shots of {show.show} are named {naming.shot} (naming.shot)")
    if show.rates:
        rates = listed(show.rates)
        other = [f"{shot.name} at {shot.rate}" for shot in plan.shots if shot.rate not in show.rates]
        yield from _of_shots(other, f"shots of {show.show} have {rates} frames per second (rates)")
    if (least := show.handles) is not None:
        other = [f"{shot.name} with {shot.handles}" for shot in plan.shots if shot.handles < least]
        yield from _of_shots(other, f"shots of {show.show} have {least} handles at least (handles)")
    yield from _policy(plan, show)


def _of_shots(names: list[str], rule: str) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        yield f"{rule}: {', '.join(names[:_NAMED])}{more}"


def _policy(plan: Plan, show: ShowSettings) -> Iterator[str]:
    policy, asked = show.policy, plan.batch.policy
    if policy is None:
        return
    if asked.synthetic_performers and not policy.synthetic_performers:
        yield f"{show.show} shows no synthetic performers (policy.synthetic_performers)"
    if asked.named_artists and not policy.named_artists:
        yield f"{show.show} imitates no named artists (policy.named_artists)"
    if policy.licences is not None:
        for model, card in plan.cards.items():
            if card.licence not in policy.licences:
                allowed = listed(policy.licences, "and") if policy.licences else "none"
                yield f"{model} is under {card.licence}; {show.show} allows {allowed} (policy.licences)"


def _not_theirs(plan: Plan, show: ShowSettings | None, now: float) -> Iterator[str]:
    """Looks and guides that nobody has said may be used for this show, where it asks for that, or not any more."""
    asks = show is not None and show.policy is not None and show.policy.rights
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    why: dict[str, list[str]] = {}
    for named in named_in(plan.batch):
        rights = named.entry.rights
        if rights is not None:
            uses = uses_of(plan.batch, named)
            for _, reason, _ in refusals_of(rights.consent, rights.scope, uses, plan.batch.show, today):
                why.setdefault(reason, []).append(named.said)
        elif asks:
            rule = f"{plan.batch.show} uses no look or guide without owner, consent, licence and scope (policy.rights)"
            why.setdefault(f"{rule}; there is no row of", []).append(named.said)
    for reason, names in why.items():
        yield from _of_shots(names, reason)


def _too_dear(plan: Plan, settings: Settings, paid: float) -> Iterator[str]:
    """What could cost more than the show has left. Money is left to no batch beforehand: they spend what is there."""
    name = plan.batch.show
    left = settings.money_left(name)
    if left is None:
        return
    currency, most = settings.farm.currency, settings.cap(name).max_money
    if left <= 0:
        yield f"{name} has spent all of its {most:,.2f} {currency} (max_money of show_caps)"
        return
    prices = {model: price.per_hour for model, price in prices_of(plan.cards, settings.farm).items()}
    cost = estimate(plan).cost_at(prices)
    if cost is not None and cost - paid > left:
        dearest = max(prices.values())
        hours = _rounded_down((left + paid) / dearest)
        way_out = f"; with budget.device_hours: {hours:g} it could not" if hours else ""
        yield (
            f"it may cost up to {_told(cost)} {currency}, and {_told(left)} of the {most:,.2f} of {name} are left "
            f"(max_money of show_caps){way_out}"
        )


def _told(money: float) -> str:
    """To hundredths, or as small as it is."""
    return f"{money:,.2f}" if money >= 0.01 else f"{money:.2g}"


def _rounded_down(hours: float) -> float:
    """To hundredths, so that it is still within the budget as it is printed."""
    return int(hours * 100) / 100
