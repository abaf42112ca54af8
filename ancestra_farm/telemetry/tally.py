"""Counting the log: which metric each event moves, and by how much. Pure: amounts go to a function it is given.

It remembers no more than it must to move a candidate from one gauge to another: the state of candidates in open waves;
of those in closed ones a byte each (they may be tried again); and, per branch, how many stand in which gauge (so that a
branch that a newer revision or a later round supersedes can leave them). Nothing is decided here; what a candidate came
to, the events say.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import get_args

from ancestra_farm.batch.farm_settings import FarmSettings, farm_settings_of
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    Cause,
    EpochTaken,
    Event,
    OrderGiven,
    OrderKind,
    Repaired,
    StitchEnded,
    StitchPlanned,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.farm_events import (
    HostNoted,
    NodeNoticed,
    NodeOrdered,
    NodesPaid,
    SettingsGiven,
    StopOrdered,
    TokenNoted,
)
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.telemetry.tallied import BatchTally, BranchEvent, BranchTally, Labels, Standing, Tallied

#: Ends of attempts that are no failure of anybody's.
_NOBODYS = frozenset({"aborted", "store"})
#: Events that name no batch.
OfNoBatch = (
    EpochTaken | HostNoted | NodeNoticed | NodeOrdered | NodesPaid | Repaired | SettingsGiven | StopOrdered | TokenNoted
)


class Tally:
    """``add(name, labels, amount)`` is called for every metric an event moves; amounts of gauges can be negative."""

    def __init__(self, add: Callable[[str, Labels, float], None]) -> None:
        self._add = add
        self._batches: dict[str, BatchTally] = {}
        self._device_s: dict[Labels, float] = defaultdict(float)
        self._survivors: Counter[Labels] = Counter()
        self._moved_ratios: set[Labels] = set()
        self._markets: dict[str, str] = {}
        self._moved_waves = True
        self.epoch: int | None = None

    def fold(self, event: Event) -> None:
        """Count one event. Events of batches never submitted are ignored: a log begins with its submissions."""
        if isinstance(event, OfNoBatch):
            self._of_farm(event)
        elif isinstance(event, BatchSubmitted):
            self._submitted(event)
            self._moved_waves = True
        elif (batch := self._batches.get(event.batch)) is not None:
            self._of_batch(batch, event)

    def _of_farm(self, event: OfNoBatch) -> None:
        match event:
            case EpochTaken():
                self.epoch = event.epoch
            case SettingsGiven() if event.kind == "farm":
                self._priced(farm_settings_of(event.document))
            case NodesPaid():
                of = (event.node_type, self._markets.get(event.node_type, ""))
                self._add("ancestra_node_seconds_total", of, event.node_s)
                if event.cost:
                    self._add("ancestra_node_money_total", (*of, event.currency), event.cost)
            case _:
                pass

    def _of_batch(self, batch: BatchTally, event: Event) -> None:
        self._moved_waves |= not isinstance(event, AttemptEnded)
        match event:
            case BranchOpened():
                self._opened(batch, event)
            case StitchPlanned() | StitchEnded():
                self._stitch(batch, event)
            case OrderGiven():
                self._order(batch, event)
            case (
                WaveReleased() | AttemptEnded() | CandidateGivenUp() | VerdictsVoided() | WaveClosed() | BranchClosed()
            ):
                branch = batch.branches.get(event.branch)
                if branch is not None:
                    self._of_branch(branch, event)
                    batch.note_wave(event)
            case _:
                pass

    def _priced(self, farm: FarmSettings) -> None:
        """Types of machines, and that none of them has cost anything yet."""
        for name, kind in farm.node_types.items():
            self._markets[name] = kind.market
            self._add("ancestra_node_seconds_total", (name, kind.market), 0)
            if kind.price_per_hour:
                self._add("ancestra_node_money_total", (name, kind.market, farm.currency), 0)

    @property
    def tallied(self) -> Tallied:
        """All that it remembers; what is folded later changes it."""
        return Tallied(self._batches, self._device_s, self._survivors, self.epoch, self._markets)

    def take_over(self, tallied: Tallied) -> None:
        """Go on from what another tally remembered; it is this one's from now on."""
        self._batches, self._survivors, self.epoch = tallied.batches, tallied.survivors, tallied.epoch
        self._markets = tallied.markets
        self._moved_waves = True
        self._device_s = defaultdict(float, tallied.device_s)
        self._moved_ratios = set(self._device_s)

    def take_ratios(self) -> Iterator[tuple[Labels, float]]:
        """Device-seconds per survivor where either side moved since the last call and there is a survivor."""
        moved, self._moved_ratios = self._moved_ratios, set()
        return (
            (labels, self._device_s[labels] / self._survivors[labels]) for labels in moved if self._survivors[labels]
        )

    def take_oldest_waves(self) -> dict[Labels, float] | None:
        """When the oldest wave that is still open was released, by (show, class); paused work left out.

        None where nothing has moved it since the last call.
        """
        if not self._moved_waves:
            return None
        self._moved_waves = False
        oldest: dict[Labels, float] = {}
        for batch in self._batches.values():
            if "" in batch.paused:
                continue
            for (branch, _, _), at in batch.open_since.items():
                if batch.branches[branch].shot not in batch.paused:
                    oldest[batch.labels] = min(at, oldest.get(batch.labels, at))
        return oldest

    # ---- batches and branches --------------------------------------------------------------------------------------

    def _submitted(self, event: BatchSubmitted) -> None:
        document = Batch.model_validate_json(event.document)
        before = self._batches.get(event.batch)
        batch = BatchTally(
            show=document.show,
            filed=document.priority,
            priority=before.priority if before is not None and before.filed == document.priority else document.priority,
            models={name: stage.model for name, stage in document.stages.items()},
            changed_models={
                (shot.shot, name): change.model
                for shot in document.shots
                for name, change in shot.stages.items()
                if change.model is not None
            },
        )
        if before is None:
            self._add("ancestra_batches", batch.labels, 1)
        else:
            batch.stitches, batch.picks, batch.paused = before.stitches, before.picks, before.paused
            self._add("ancestra_batches", before.labels, -1)
            self._add("ancestra_batches", batch.labels, 1)
            self._move_film(before.labels, batch)
            for branch in before.branches.values():
                self._supersede(branch)
        self._batches[event.batch] = batch
        for order in get_args(OrderKind):
            self._add("ancestra_orders_total", (*batch.labels, order), 0)

    def _opened(self, batch: BatchTally, event: BranchOpened) -> None:
        where = (event.shot, event.stage)
        if event.generation > batch.generations.setdefault(where, event.generation):
            batch.generations[where] = event.generation
            for key, branch in batch.branches.items():
                if (branch.shot, branch.stage) == where:
                    self._supersede(branch)
                    batch.forget_waves(key)
        elif event.branch in batch.branches:
            self._supersede(batch.branches[event.branch])
            batch.forget_waves(event.branch)
        labels = (*batch.labels, event.stage, batch.model_of(event.shot, event.stage))
        batch.branches[event.branch] = BranchTally(labels, event.shot, event.stage)
        # There from the start: Prometheus sees no growth in a series that begins with its first count.
        for name in ("ancestra_survivors_total", "ancestra_passes_total", "ancestra_candidate_device_seconds_total"):
            self._add(name, labels, 0)
        for cause in get_args(Cause):
            self._add("ancestra_attempts_total", (*labels, cause), 0)

    def _supersede(self, branch: BranchTally) -> None:
        """Everything that stands in a branch stands for nothing any more."""
        moved = 0
        for (name, labels), count in branch.standing.items():
            if name != "ancestra_candidates_superseded" and count:
                self._add(name, labels, -count)
                moved += count
        if moved:
            self._add("ancestra_candidates_superseded", branch.labels, moved)
        branch.standing.clear()
        branch.standing["ancestra_candidates_superseded", branch.labels] = moved
        branch.open.clear()
        branch.waves.clear()
        branch.causes.clear()
        branch.by_word.clear()
        branch.ended = {"draft": bytearray(), "full": bytearray()}

    # ---- candidates ------------------------------------------------------------------------------------------------

    def _of_branch(self, branch: BranchTally, event: BranchEvent) -> None:
        match event:
            case WaveReleased():
                self._released(branch, event)
            case AttemptEnded():
                self._attempt(branch, event)
            case CandidateGivenUp():
                cause = branch.causes.get((event.rung, event.position), "")
                self._move(branch, event.rung, event.position, event.outcome, cause)
            case VerdictsVoided():
                for position in event.positions:
                    self._move(branch, event.rung, position, "pending")
                self._add("ancestra_verdicts_voided_total", branch.labels, len(event.positions))
            case WaveClosed():
                self._wave_closed(branch, event)
            case BranchClosed() if event.why == "superseded":
                self._supersede(branch)
            case _:
                pass

    def _released(self, branch: BranchTally, event: WaveReleased) -> None:
        positions = range(event.start, event.stop) if event.positions is None else event.positions
        branch.waves[event.wave, event.rung] = positions
        if event.by_word:
            branch.by_word.add((event.wave, event.rung))
        pending = ("ancestra_candidates_pending", branch.labels)
        stood: Counter[Standing] = Counter()
        for position in positions:
            # Of an open wave: a reject restored before its wave was decided.
            before = branch.taken_up(event.rung, position) or branch.open.get((event.rung, position))
            if before is not None:
                stood[before] += 1
            branch.open[event.rung, position] = pending
        for standing, count in stood.items():
            self._stand(branch, standing, -count)
        self._stand(branch, pending, len(positions))
        self._add("ancestra_candidates_released_total", branch.labels, len(positions) - stood.total())

    def _attempt(self, branch: BranchTally, event: AttemptEnded) -> None:
        labels = branch.labels
        self._add("ancestra_attempts_total", (*labels, event.cause), 1)
        standing = branch.open.get((event.rung, event.position))
        if standing is not None and standing[0] == "ancestra_candidates_failed" and event.cause not in _NOBODYS:
            self._add("ancestra_retries_total", (*labels, branch.causes[event.rung, event.position]), 1)
        if event.device_s > 0:
            self._add("ancestra_candidate_device_seconds_total", labels, event.device_s)
            self._device_s[labels] += event.device_s
            self._moved_ratios.add(labels)
        for name, seconds in event.filter_s.items():
            self._add("ancestra_filter_seconds_total", (*labels, name), max(seconds, 0.0))
        if event.cause == "judged":
            for name in dict.fromkeys(event.reasons):
                self._add("ancestra_rejections_total", (*labels, name), 1)
            if event.passed:
                self._add("ancestra_passes_total", labels, 1)
                self._move(branch, event.rung, event.position, "undecided")
            else:
                self._move(branch, event.rung, event.position, "rejected", event.reasons[0] if event.reasons else "")
        elif event.cause in _NOBODYS:
            # Taken back or lost to the store, not failed: it is pending again, or will be skipped.
            self._move(branch, event.rung, event.position, "pending")
        else:
            branch.causes[event.rung, event.position] = event.cause
            self._move(branch, event.rung, event.position, "failed", event.cause)

    def _wave_closed(self, branch: BranchTally, event: WaveClosed) -> None:
        decided = dict.fromkeys(event.skipped, "skipped") | dict.fromkeys(event.survivors, "survivor")
        if event.rung == "draft":
            decided |= dict.fromkeys(event.promoted, "promoted")
        by_word = (event.wave, event.rung) in branch.by_word
        branch.by_word.discard((event.wave, event.rung))
        # Who is being restored waits for a wave of their own.
        elsewhere = {position for key in branch.by_word for position in branch.waves[key] if key[1] == event.rung}
        for position in branch.waves.pop((event.wave, event.rung), ()):
            standing = branch.open.get((event.rung, position))
            if standing is None or position in elsewhere:
                continue
            outcome = decided.get(position)
            if position in event.duplicates:
                self._move(branch, event.rung, position, "rejected", "duplicate")
            elif outcome is not None:
                if outcome == "survivor" and (by_word or standing[0] != "ancestra_candidates_pending"):
                    self._survived(branch.labels)
                self._move(branch, event.rung, position, outcome)
            elif standing[0] == "ancestra_candidates_undecided":
                self._move(branch, event.rung, position, "not_promoted" if event.rung == "draft" else "skipped")
            elif standing[0] == "ancestra_candidates_pending":
                self._move(branch, event.rung, position, "reused")
            branch.end(event.rung, position, branch.open.pop((event.rung, position)))
            branch.causes.pop((event.rung, position), None)

    def _survived(self, labels: Labels) -> None:
        self._add("ancestra_survivors_total", labels, 1)
        self._survivors[labels] += 1
        self._moved_ratios.add(labels)

    def _move(self, branch: BranchTally, rung: Rung, position: int, to: str, reason: str | None = None) -> None:
        """Move a candidate of an open wave to another gauge. Late news of closed waves moves nothing."""
        standing = branch.open.get((rung, position))
        if standing is None:
            return
        labels = branch.labels if reason is None else (*branch.labels, reason)
        moved = (f"ancestra_candidates_{to}", labels)
        if moved != standing:
            self._stand(branch, standing, -1)
            self._stand(branch, moved, 1)
            branch.open[rung, position] = moved

    def _stand(self, branch: BranchTally, where: Standing, amount: int) -> None:
        branch.standing[where] += amount
        self._add(*where, amount)

    # ---- film and people -------------------------------------------------------------------------------------------

    def _stitch(self, batch: BatchTally, event: StitchPlanned | StitchEnded) -> None:
        key = f"{event.shot}/{event.version}"
        if isinstance(event, StitchPlanned):
            if key not in batch.stitches:
                batch.stitches.add(key)
                self._add("ancestra_stitches_waiting", batch.labels, 1)
            return
        if key in batch.stitches:
            batch.stitches.remove(key)
            self._add("ancestra_stitches_waiting", batch.labels, -1)
        self._add("ancestra_stitch_seconds_total", batch.labels, max(event.seconds, 0.0))
        if event.ok:
            self._add("ancestra_stitches_published_total", batch.labels, 1)
            self._add("ancestra_delivered_frames_total", batch.labels, event.frames)
        else:
            cause = "seam" if event.bad_pair is not None else "exception"
            self._add("ancestra_stitches_failed_total", (*batch.labels, cause), 1)

    def _order(self, batch: BatchTally, event: OrderGiven) -> None:
        self._add("ancestra_orders_total", (*batch.labels, event.order), 1)
        key = (event.who, event.candidate_id)
        if event.order == "pick" and key not in batch.picks:
            batch.picks.add(key)
            self._add("ancestra_picks", batch.labels, 1)
        elif event.order == "unpick" and key in batch.picks:
            batch.picks.remove(key)
            self._add("ancestra_picks", batch.labels, -1)
        elif event.order == "pause":
            batch.paused.add(event.shot)
        elif event.order == "unpause":
            batch.paused.discard(event.shot)
        elif event.order == "priority" and event.priority not in ("", batch.priority):
            self._rank(batch, event.priority)

    def _rank(self, batch: BatchTally, priority: str) -> None:
        """The gauges of a batch go over to its new class; what was counted stays where it was counted."""
        before = batch.labels
        batch.priority = priority
        self._add("ancestra_batches", before, -1)
        self._add("ancestra_batches", batch.labels, 1)
        self._move_film(before, batch)
        for branch in batch.branches.values():
            for sign in (-1, 1):
                for (name, labels), count in branch.standing.items():
                    if count:
                        self._add(name, labels, sign * count)
                if sign < 0:
                    branch.relabelled(lambda labels: (labels[0], priority, *labels[2:]))

    def _move_film(self, before: Labels, batch: BatchTally) -> None:
        """Waiting stitches and picks, of a batch whose show or class may have changed."""
        for name, count in (("ancestra_stitches_waiting", len(batch.stitches)), ("ancestra_picks", len(batch.picks))):
            if count and before != batch.labels:
                self._add(name, before, -count)
                self._add(name, batch.labels, count)
