"""What people are told of without asking: which notices stand, and which of them nobody has been told of yet.

A notice stands while what it says holds: a stage waits for picks, a shot is starved, 80 % of a budget is spent, a
version is published. It has an id that is made of what it says, so that the same notice has the same id however often
and by whichever controller it is sent; when the same thing comes about anew (a stage waits again after more was made)
the id is another. Who has been told of what is in the log. What ended before anybody could be told, as a stage that was
closed meanwhile, is not told any more. Whoever is named anew, or for further occasions, hears only of what comes about
after that: what stands at that moment counts as told to them (`taken_as_told`). How it is delivered is the messenger's
matter.
"""

from collections.abc import Collection, Iterator, Sequence
from math import inf

from ancestra_farm.batch.show_settings import Occasion, Recipient
from ancestra_farm.plan.farm_events import NoticeDelivered
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.scheduler.chains import waits_for_people
from ancestra_farm.scheduler.progress import shot_status, stage_status
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Notice

#: The part of a budget after which people are told that it comes to its end.
NEARLY = 0.8
#: Seconds until a notice that could not be delivered is tried again; doubled each time, up to the second.
FIRST_PAUSE_S = 5.0
LAST_PAUSE_S = 600.0


class Telling:
    """Who is to be told what, now. ``handed``: when a delivery is to be tried (again), by its key; inf: it is tried."""

    def __init__(self) -> None:
        self.handed: dict[str, tuple[float, int]] = {}

    def due(self, state: FarmState, tunables: Tunables, now: float) -> list[tuple[Notice, Recipient]]:
        """The deliveries to be tried now; they are being tried from here on, until `tried` says how that went."""
        found = []
        standing: set[str] = set()
        for notice in notices(state, tunables):
            for to in state.settings.shows[notice.show].notify:
                key = notice.key(to)
                if notice.occasion not in to.on or key in state.told:
                    continue
                standing.add(key)
                at, tries = self.handed.get(key, (0.0, 0))
                if now >= at:
                    self.handed[key] = (inf, tries)
                    found.append((notice, to))
        self.handed = {key: one for key, one in self.handed.items() if key in standing or one[0] == inf}
        return found

    def tried(self, key: str, now: float, *, delivered: bool) -> None:
        """A delivery was made, or could not be."""
        _, tries = self.handed.pop(key, (0.0, 0))
        if not delivered:
            self.handed[key] = (now + min(LAST_PAUSE_S, FIRST_PAUSE_S * 2**tries), tries + 1)


def delivery(notice: Notice, to: Recipient, now: float) -> NoticeDelivered:
    """That a recipient was told."""
    return NoticeDelivered(
        key=notice.key(to),
        event_id=notice.event_id,
        occasion=notice.occasion,
        show=notice.show,
        batch=notice.batch,
        shot=notice.shot,
        to=to.shown,
        at=now,
    )


def taken_as_told(state: FarmState, show: str, before: Sequence[Recipient]) -> Iterator[str]:
    """Keys of all that stands, for those whom the settings of a show name now and did not for that occasion.

    ``before``: whom they named until then. A shot with a stage that ended without a survivor counts as starved already.
    """
    now = state.settings.shows[show].notify
    asked = {(to.to, occasion) for to in before for occasion in to.on}
    new = [(to, occasion) for to in now for occasion in to.on if (to.to, occasion) not in asked]
    if not new:
        return
    for notice in [*_money(state, show), *_of_batches(state, {show})]:
        for to, occasion in new:
            if occasion == notice.occasion:
                yield notice.key(to)


def notices(state: FarmState, tunables: Tunables) -> Iterator[Notice]:
    """What stands, of shows whose settings name somebody to be told; in the order of submission."""
    listening = {show for show, settings in state.settings.shows.items() if settings.notify}
    if not listening:
        return
    for show in sorted(listening):
        yield from _money(state, show)
    for notice in _of_batches(state, listening):
        # While anything of a shot still runs, there may yet be a survivor somewhere.
        shot = state.batches[notice.batch].shots.get(notice.shot)
        if notice.occasion != "starved" or (shot is not None and shot_status(shot, tunables) == "starved"):
            yield notice


def _of_batches(state: FarmState, shows: Collection[str]) -> Iterator[Notice]:
    for batch in state.batches.values():
        if batch.show in shows:
            yield from _budget(batch)
            for shot in batch.shots.values():
                yield from _of_shot(batch, shot)


def _notice(
    occasion: Occasion, says: str, of: tuple[str, str, str, str], which: tuple[object, ...], version: str = ""
) -> Notice:
    """``of``: show, batch, shot, stage. ``which``: what tells this occurrence from others of the same kind."""
    show, batch, shot, stage = of
    event_id = digest_of("notice", occasion, of, version, which).hex()
    return Notice(event_id, occasion, show, batch, shot, stage, version, says)


def _money(state: FarmState, show: str) -> Iterator[Notice]:
    most, spent = state.settings.cap(show).max_money, state.settings.spent.get(show, 0.0)
    if most is not None and spent >= NEARLY * most:
        says = f"{show} has spent {NEARLY:.0%} of the {most:,.2f} {state.settings.farm.currency} it may, or more."
        yield _notice("budget", says, (show, "", "", ""), ("money", most))


def _budget(batch: BatchState) -> Iterator[Notice]:
    of = (batch.show, batch.name, "", "")
    budget = batch.plan.batch.budget
    if batch.budget_s is not None and batch.device_s >= NEARLY * batch.budget_s:
        says = f"{batch.name} has spent {NEARLY:.0%} of its {budget.device_hours:g} device-hours, or more."
        yield _notice("budget", says, of, ("device_hours", budget.device_hours))
    if budget.candidates is not None and _released(batch) >= NEARLY * budget.candidates:
        says = f"{batch.name} has released {NEARLY:.0%} of its {budget.candidates:,} candidates, or more."
        yield _notice("budget", says, of, ("candidates", budget.candidates))


def _released(batch: BatchState) -> int:
    stages = (stage for shot in batch.shots.values() for stage in shot.stages.values())
    return sum(stage.counts.released + stage.counts.drafts for stage in stages)


def _of_shot(batch: BatchState, shot: ShotState) -> Iterator[Notice]:
    name = shot.plan.name
    for stage in shot.stages.values():
        if waits_for_people(stage):
            counts = stage.counts
            says = f"{name} {stage.plan.name} of {batch.name} waits for picks: {counts.survivors:,} survivors."
            which = (stage.generation, counts.released, counts.survivors, batch.revision)
            yield _notice("waits_for_picks", says, (batch.show, batch.name, name, stage.plan.name), which)
    ended = next((stage.plan.name for stage in shot.stages.values() if stage_status(stage) == "starved"), None)
    if ended is not None:
        says = f"{name} of {batch.name} is starved: {ended} ended without a survivor."
        tried = tuple((stage.generation, stage.counts.released) for stage in shot.stages.values())
        yield _notice("starved", says, (batch.show, batch.name, name, ended), (tried, batch.revision))
    for (stitch_id, version), stitch in shot.stitches.items():
        if stitch.done:
            says = f"{name} {version} of {batch.name} is published, {stitch.frames:,} frames."
            yield _notice("delivered", says, (batch.show, batch.name, name, ""), (stitch_id,), version)
