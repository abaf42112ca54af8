"""Waves of one branch: what is released next, and what the farm makes of a wave whose candidates have all ended.

Decisions are taken when a wave closes, over the whole wave and in index order, waves in their own order. So the order
in which hosts return never matters. This module does not know hosts, pools or other branches.
"""

from collections.abc import Callable
from math import inf

from ancestra_farm.plan.events import BranchEnd, Event, WaveClosed, WaveReleased
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.budget import cut_short, promoted
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.filter_order import cheapest_rejection_first
from ancestra_farm.scheduler.phases import Phase
from ancestra_farm.scheduler.state import Branch
from ancestra_farm.scheduler.yields import Yields

Emit = Callable[[Event], None]


def first_rung(branch: Branch) -> Rung:
    """The rung that a wave starts at."""
    return "draft" if branch.stage.plan.spec.draft is not None else "full"


def next_size(branch: Branch) -> int:
    """How many candidates the next wave would have; 0: nothing is left within limits.

    A wave that a limit cut short is made up for by the next one, so that waves stay in step with positions. No wave
    goes past an end at which the branch would have stopped without the next order for more: so it does not matter
    whether that order came before the wave or after it.
    """
    if branch.closed is not None or branch.stage.batch.spent_out:
        return 0
    end = next((end for end in _ends(branch) if end > branch.released), branch.released)
    size = branch.stage.plan.spec.wave
    return min(size - branch.released % size, end - branch.released)


def _ends(branch: Branch) -> list[int]:
    """After how many positions the branch ends: as the file has it, then with each order for more."""
    begin = branch.limit - branch.extra if branch.stop is None else branch.stop.at
    each = branch.extra // branch.stage.extra if branch.extra else 0
    return [min(begin + more * each, branch.limit) for more in (0, *branch.stage.more)]


def may_release(branch: Branch) -> bool:
    """Whether the next wave may start: at most one wave ahead of the oldest open one, and only if likely wanted.

    A wave ahead keeps hosts busy while the last candidates of a wave come in. Where the open wave will probably bring
    enough survivors, going ahead would only make candidates to be skipped.
    """
    if not goes_on(branch):
        return False
    return branch.waves == branch.waves_closed or not any(phase.queue for phase in branch.phases.values())


def goes_on(branch: Branch) -> bool:
    """Whether the next wave will follow as soon as hosts have taken what is released."""
    open_waves = branch.waves - branch.waves_closed
    if not next_size(branch) or open_waves >= 2:
        return False
    if open_waves == 0:
        return True
    wanted = survivors_wanted(branch)
    return wanted is None or _expected(branch) < wanted


def _expected(branch: Branch) -> float:
    """How many survivors there will probably be when the open wave closes; inf before any wave has.

    Waves that are spent by yield get better as they come: the open one will bring what the one before it did, or more.
    """
    size = branch.stage.plan.spec.wave
    tried = branch.tried
    if not tried:
        return inf
    have = branch.earned
    before = 0.0 if branch.yields is None else branch.yields.before_the_last()
    return have + max(have * size / tried, before)


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
    others = sum(b.earned for b in stage.segment(last) if b is not branch)
    return max(1, spec.keep - others)


def release(branch: Branch, emit: Emit, now: float) -> None:
    """Release the next wave."""
    size = next_size(branch)
    if not size:
        raise AssertionError("release asked for where nothing is left")
    positions = None if branch.yields is None else _by_yield(branch.yields, branch.space, size)
    emit(
        WaveReleased(
            batch=branch.opened.batch,
            branch=branch.key,
            wave=branch.waves,
            rung=first_rung(branch),
            start=branch.released if positions is None else positions[0],
            stop=branch.released + size if positions is None else positions[-1] + 1,
            filters=cheapest_rejection_first(branch.stage.costs),
            at=now,
            positions=positions,
        )
    )


def _by_yield(yields: Yields, space: Space, size: int) -> tuple[int, ...]:
    """The next ``size`` positions, shared out between wordings; of each wording they go on where they left off."""
    return tuple(
        sorted(
            space.of_variant(variant, had + number)
            for variant, (had, count) in enumerate(zip(yields.taken, yields.next_counts(size), strict=True))
            for number in range(count)
        )
    )


def close_waves(branch: Branch, emit: Emit, now: float) -> bool:
    """Close every wave that can be closed, oldest first. True if something changed.

    Drafts of a later wave may close before an earlier wave's full candidates: promotion looks at its own wave only.
    What was promoted is released in full at once, or here, should the log have ended between the two.
    """
    changed = _release_promoted(branch, emit, now)
    for phase in sorted(branch.phases.values(), key=lambda p: (p.wave, p.rung)):
        if phase.open or _ahead_of_stop(branch, phase):
            continue
        if phase.rung == "draft":
            _close_drafts(branch, phase, emit, now)
            changed = True
        elif phase.by_word or not any(
            other.wave < phase.wave and not other.by_word for other in branch.phases.values()
        ):
            _close_full(branch, phase, emit, now)
            changed = True
    return _skip_ahead(branch, emit, now) or changed


def _ahead_of_stop(branch: Branch, phase: Phase) -> bool:
    return branch.stop is not None and phase.wave < branch.stop.waves and not phase.again


def _skip_ahead(branch: Branch, emit: Emit, now: float) -> bool:
    """Skip the waves that were released ahead when the branch reached its stop.

    Should more be ordered, what they held is released once more, cut to what was ordered: so nothing rests on whether
    a wave was ahead. True if there was one.
    """
    ahead = [phase for phase in branch.phases.values() if _ahead_of_stop(branch, phase)]
    _skip(branch, ahead, emit, now)
    return bool(ahead)


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
    _release_promoted(branch, emit, now)


def _release_promoted(branch: Branch, emit: Emit, now: float) -> bool:
    """Release what is promoted and not yet released in full. True if something was."""
    waiting = sorted(branch.promoted.items())
    for wave, promoted_drafts in waiting:
        positions = promoted_drafts.positions
        emit(
            WaveReleased(
                batch=branch.opened.batch,
                branch=branch.key,
                wave=wave,
                rung="full",
                start=positions[0],
                stop=positions[-1] + 1,
                filters=promoted_drafts.filters,
                at=now,
                positions=positions,
                again=promoted_drafts.again,
            )
        )
    return bool(waiting)


def try_again(branch: Branch, rung: Rung, positions: tuple[int, ...], emit: Emit, now: float, *, by_word: bool) -> None:
    """Release a wave of candidates that had an outcome already; ``by_word``: they survive whatever the filters say."""
    emit(
        WaveReleased(
            batch=branch.opened.batch,
            branch=branch.key,
            wave=branch.waves,
            rung=rung,
            start=positions[0],
            stop=positions[-1] + 1,
            filters=cheapest_rejection_first(branch.stage.costs),
            at=now,
            positions=positions,
            again=True,
            by_word=by_word,
        )
    )


def _close_full(branch: Branch, phase: Phase, emit: Emit, now: float) -> None:
    """Name the wave's survivors: those that passed and resemble no earlier survivor of this branch.

    Who survives by a person's word resembles nobody and nobody resembles them: they change nothing for the others.
    """
    results = branch.results["full"]
    here = HashIndex(branch.stage.distinct_bits)
    survivors: list[int] = []
    duplicates: dict[int, str] = {}
    for position in phase.positions:
        result = results.get(position)
        if result is None or result.outcome != "survivor" or position in branch.by_word:
            continue
        if result.candidate_id in branch.stage.restored:
            survivors.append(position)
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
    _release_promoted(branch, emit, now)
    _skip(branch, list(branch.phases.values()), emit, now)


def _skip(branch: Branch, phases: list[Phase], emit: Emit, now: float) -> None:
    """Close waves as skipped, but for those of their candidates that survive by a person's word, or soon will."""
    gone = {(phase.wave, phase.rung) for phase in phases}
    kept = branch.by_word.union(*(p.open for p in branch.phases.values() if p.by_word and (p.wave, p.rung) not in gone))
    for phase in sorted(phases, key=lambda p: (p.wave, p.rung)):
        emit(
            WaveClosed(
                batch=branch.opened.batch,
                branch=branch.key,
                wave=phase.wave,
                rung=phase.rung,
                survivors=(),
                duplicates={},
                promoted=(),
                skipped=tuple(p for p in phase.positions if phase.rung != "full" or p not in kept),
                at=now,
            )
        )


def stop_reason(branch: Branch) -> BranchEnd | None:
    """Why the branch ends now: ``kept_enough``, ``tried_all``, ``budget``, ``closed``; None: it goes on."""
    if branch.phases or branch.promoted or next_size(branch):
        return None
    if branch.stop is not None:
        return branch.stop.why
    return "tried_all" if branch.released >= branch.wanted and not cut_short(branch) else "budget"
