"""Waves of one branch: what is released next, and what the farm makes of a wave whose candidates have all ended.

Decisions are taken when a wave closes, over the whole wave and in index order, waves in their own order. So the order
in which hosts return never matters. This module does not know hosts, pools or other branches.
"""

from collections.abc import Callable

from ancestra_farm.plan.events import BranchEnd, Event, WaveClosed, WaveReleased
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.budget import promoted
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.filter_order import cheapest_rejection_first
from ancestra_farm.scheduler.state import Branch, Phase

Emit = Callable[[Event], None]


def first_rung(branch: Branch) -> Rung:
    """The rung that a wave starts at."""
    return "draft" if branch.stage.plan.spec.draft is not None else "full"


def next_wave(branch: Branch) -> tuple[int, int, int] | None:
    """(wave, start, stop) of what would be released next; None: nothing is left within limits."""
    if branch.closed is not None or branch.released >= branch.limit or branch.stage.batch.spent_out:
        return None
    size = branch.stage.plan.spec.wave
    return branch.waves, branch.released, min(branch.waves * size + size, branch.limit)


def may_release(branch: Branch) -> bool:
    """Whether the next wave may start: at most one wave ahead of the oldest open one, and only if likely wanted.

    A wave ahead keeps hosts busy while the last candidates of a wave come in. Where the open wave will probably bring
    enough survivors, going ahead would only make candidates to be skipped.
    """
    open_waves = branch.waves - branch.waves_closed
    if next_wave(branch) is None or open_waves >= 2:
        return False
    if open_waves == 0:
        return True
    if any(phase.queue for phase in branch.phases.values()):
        return False
    wanted = survivors_wanted(branch)
    if wanted is None:
        return True
    tried = branch.waves_closed * branch.stage.plan.spec.wave
    if not tried:
        return False
    expected = len(branch.survivors) * (1 + branch.stage.plan.spec.wave / tried)
    return expected < wanted


def survivors_wanted(branch: Branch) -> int | None:
    """At how many distinct survivors the branch stops; None: it tries everything.

    The inner segments of a chain need a beam of tails and no more. The last segment counts the stage's whole chains:
    those of its sister branches are already there.
    """
    stage = branch.stage
    spec = stage.plan.spec
    if spec.keep == "all":
        return None
    if stage.plan.join != "chain":
        return spec.keep
    last = len(stage.plan.segments) - 1
    if branch.opened.segment < last:
        return spec.beam
    others = sum(len(b.survivors) for b in stage.segment(last) if b is not branch)
    return max(1, spec.keep - others)


def release(branch: Branch, emit: Emit, now: float) -> None:
    """Release the next wave."""
    wave = next_wave(branch)
    if wave is None:
        raise AssertionError("release asked for where nothing is left")
    number, start, stop = wave
    emit(
        WaveReleased(
            batch=branch.opened.batch,
            branch=branch.key,
            wave=number,
            rung=first_rung(branch),
            start=start,
            stop=stop,
            filters=cheapest_rejection_first(branch.stage.costs),
            at=now,
        )
    )


def close_waves(branch: Branch, emit: Emit, now: float) -> bool:
    """Close every wave that can be closed, oldest first. True if something changed.

    Drafts of a later wave may close before an earlier wave's full candidates: promotion looks at its own wave only.
    """
    changed = False
    for phase in sorted(branch.phases.values(), key=lambda p: (p.wave, p.rung)):
        if phase.open:
            continue
        if phase.rung == "draft":
            _close_drafts(branch, phase, emit, now)
            changed = True
        elif phase.wave == branch.waves_closed and not _enough(branch):
            _close_full(branch, phase, emit, now)
            changed = True
    return changed


def _enough(branch: Branch) -> bool:
    wanted = survivors_wanted(branch)
    return wanted is not None and len(branch.survivors) >= wanted


def _close_drafts(branch: Branch, phase: Phase, emit: Emit, now: float) -> None:
    """Promote the top fraction of the passing drafts by score; ties go to the lower index."""
    draft = branch.stage.plan.spec.draft
    if draft is None:
        raise AssertionError("a draft wave in a stage without drafts")
    results = branch.results["draft"]
    passing = [p for p in phase.positions if p in results and results[p].outcome == "survivor"]
    best = sorted(passing, key=lambda p: (-results[p].rank, p))
    chosen = tuple(sorted(best[: promoted(len(phase.positions), draft.promote)]))
    emit(
        WaveClosed(
            batch=branch.opened.batch,
            branch=branch.key,
            wave=phase.wave,
            rung="draft",
            survivors=(),
            duplicates={},
            promoted=chosen,
            skipped=(),
            at=now,
        )
    )
    if chosen:
        emit(
            WaveReleased(
                batch=branch.opened.batch,
                branch=branch.key,
                wave=phase.wave,
                rung="full",
                start=chosen[0],
                stop=chosen[-1] + 1,
                filters=phase.filters,
                at=now,
                positions=chosen,
            )
        )


def _close_full(branch: Branch, phase: Phase, emit: Emit, now: float) -> None:
    """Name the wave's survivors: those that passed and resemble no earlier survivor of this branch."""
    results = branch.results["full"]
    here = HashIndex(branch.stage.distinct_bits)
    survivors: list[int] = []
    duplicates: dict[int, str] = {}
    for position in phase.positions:
        result = results.get(position)
        if result is None or result.outcome != "survivor":
            continue
        original = branch.hashes.nearest(result.phash) or here.nearest(result.phash)
        if original is None:
            survivors.append(position)
            here.add(result.phash, result.candidate_id)
        else:
            duplicates[position] = original
    emit(
        WaveClosed(
            batch=branch.opened.batch,
            branch=branch.key,
            wave=phase.wave,
            rung="full",
            survivors=tuple(survivors),
            duplicates=duplicates,
            promoted=(),
            skipped=(),
            at=now,
        )
    )


def skip_the_rest(branch: Branch, emit: Emit, now: float) -> None:
    """Close every open wave as skipped: it lies past a stop. What was already judged in it counts as skipped too."""
    for phase in sorted(branch.phases.values(), key=lambda p: (p.wave, p.rung)):
        emit(
            WaveClosed(
                batch=branch.opened.batch,
                branch=branch.key,
                wave=phase.wave,
                rung=phase.rung,
                survivors=(),
                duplicates={},
                promoted=(),
                skipped=tuple(phase.positions),
                at=now,
            )
        )


def stop_reason(branch: Branch) -> BranchEnd | None:
    """Why the branch ends now: ``kept_enough``, ``tried_all``, ``budget``; None: it goes on."""
    if _enough(branch):
        return "kept_enough"
    if branch.waves_closed < branch.waves or next_wave(branch) is not None:
        return None
    return "tried_all" if branch.released >= branch.wanted else "budget"
