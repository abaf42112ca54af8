"""What place in line a batch may be given by somebody who may not change priorities.

Classes and weights are felt by every other show, so beyond a ceiling they are given by whoever may change priorities:
by an order, or by handing the batch in themselves. The ceiling stands in the farm's settings (``submitting``, and
``show_caps`` for one show). What a batch was once given stands: a revision by somebody else neither loses it nor goes
beyond it. A show's own weights (``weights`` of show.yaml) multiply those of its batches, so they are not raised by
somebody of the show either.

Whose word something is, and what they may do, is the door's to know (`api.reach`); this says only what is beyond.
"""

from ancestra_farm.batch.schema import PRIORITIES, Priority
from ancestra_farm.batch.show_settings import ShowSettings, show_settings_of
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.share import RANKS
from ancestra_farm.scheduler.state import FarmState


def beyond_ceiling(plan: Plan, state: FarmState) -> list[str]:
    """What a submission would give its batch beyond the ceiling and beyond what it has, a sentence for each."""
    asked, show = plan.batch, plan.batch.show
    priority, weight, rises, grows = asked.priority, asked.weight, True, True
    before = state.batches.get(asked.batch)
    if before is not None:
        filed = before.plan.batch
        # A class or weight that was ordered stands until the file says another (`revision`).
        priority = before.priority if priority == filed.priority else priority
        weight = before.weight if weight == filed.weight else weight
        rises = RANKS[priority] < RANKS[before.priority]
        grows = rises or weight > before.weight
    most_class, most_weight = ceiling(state.settings, show)
    found = []
    if rises and RANKS[priority] < RANKS[most_class]:
        found.append(f"class {priority}, where batches of {show} are of class {most_class} at most")
    if grows and weight > most_weight:
        found.append(f"weight {weight:g}, where batches of {show} weigh {most_weight:g} at most")
    return found


def ceiling(settings: Settings, show: str) -> tuple[Priority, float]:
    """The highest class and the greatest weight that batches of a show ask for."""
    farm, own = settings.farm.submitting, settings.cap(show)
    return own.max_class or farm.max_class, own.max_weight or farm.max_weight


def weights_raised(show: str, document: str, settings: Settings) -> list[str]:
    """The classes in which new settings of a show would make it weigh more than before, and more than 1.

    A document that is none raises nothing: it is refused as what it is, by `rules`.
    """
    try:
        meant = show_settings_of(document)
    except (ValueError, RecursionError):
        return []
    before = settings.shows.get(show)
    return [
        f"{new:g} in class {name}, where it weighs {old:g}"
        for name in PRIORITIES
        if (new := _weight(meant, name)) > max(1.0, old := _weight(before, name))
    ]


def _weight(settings: ShowSettings | None, priority: Priority) -> float:
    return 1.0 if settings is None else settings.weights.get(priority, 1.0)
