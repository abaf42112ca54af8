"""From survivors to whole results of a stage: which branch is opened next, and which chains a stage ends with.

A chain has one survivor for each segment. Three ways to get there:
``chain``: a segment goes on from the best tail of the one before; where it finds no survivor, or more chains are
wanted, from the next tail, up to a beam of tails for each segment. ``keys`` and ``keyframes``: the segments are made
side by side and the n-th best of each belong together. ``single``: a survivor is a chain.
This module decides about branches and chains of one stage; it knows no hosts, and of other shots what `after` says.
"""

from collections.abc import Iterator, Mapping, Sequence

from ancestra_farm.plan.events import BranchClosed, BranchEnd, BranchOpened, StageClosed
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.after import awaited
from ancestra_farm.scheduler.ordered import to_retry
from ancestra_farm.scheduler.results import Result
from ancestra_farm.scheduler.state import Branch, StageState
from ancestra_farm.scheduler.waves import Emit, close_waves, skip_the_rest, stop_reason, try_again

Chain = tuple[str, ...]


def advance(stage: StageState, emit: Emit, now: float) -> bool:
    """Take every decision about the stage that can be taken now. True if something changed."""
    if stage.shot.cancelled is not None:
        return False
    if not inputs_ready(stage):
        return _supersede(stage, emit, now)
    source = None if stage.plan.source is None else stage.shot.stages[stage.plan.source].closed
    if not stage.generation or stage.stale or stage.started_from is not source:
        inputs = root_inputs(stage)
        if not stage.generation or stage.stale or tuple(root.opened.inputs for root in _roots(stage)) != inputs:
            _open_roots(stage, inputs, emit, now)
            return True
        stage.started_from = source
    if stage.settled:
        return False
    changed = False
    for branch in list(stage.branches.values()):
        changed |= _advance_branch(branch, emit, now)
    if stage.plan.join == "chain":
        changed |= _go_on_from_tails(stage, emit, now)
    if _as_people_closed_it(stage):
        return _close_as_before(stage, emit, now)
    if all(branch.closed for branch in stage.branches.values()) and not changed:
        changed |= _close_stage(stage, emit, now)
    return changed


def inputs_ready(stage: StageState) -> bool:
    """The source has a result to start from. Not so while it is made anew, nor when it ended without a survivor.

    Without a source: nothing that has to be picked first is missing, or it has begun already.
    """
    source = stage.plan.source
    if source is None:
        return stage.generation > 0 or next(awaited(stage.batch, stage.shot), None) is None
    closed = stage.shot.stages[source].closed
    return closed is not None and bool(closed.selected or closed.chains)


def root_inputs(stage: StageState) -> tuple[tuple[Chain, ...], ...]:
    """For each root segment its list of inputs, as the source's result has it now."""
    join = stage.plan.join
    segments = range(len(stage.plan.segments)) if join in ("keys", "keyframes") else range(1)
    if stage.plan.source is None:
        return tuple(((),) for _ in segments)
    closed = stage.shot.stages[stage.plan.source].closed
    if closed is None:
        return ()
    chains = closed.selected or closed.chains
    return tuple(stage.plan.inputs_from(chains, segment) for segment in segments)


def _roots(stage: StageState) -> list[Branch]:
    return [branch for branch in stage.branches.values() if branch.opened.tail is None]


def _open_roots(stage: StageState, inputs: tuple[tuple[Chain, ...], ...], emit: Emit, now: float) -> None:
    """Open a generation. What an earlier one still had open is superseded first, so that nothing stays undecided."""
    _supersede(stage, emit, now)
    generation = stage.generation + 1
    for segment, segment_inputs in enumerate(inputs):
        _open(stage, segment, generation, segment_inputs, None, emit, now)


def _supersede(stage: StageState, emit: Emit, now: float) -> bool:
    """End what is open: its inputs are not what the stage should start from any more. True if something was."""
    still_open = [branch for branch in stage.branches.values() if branch.closed is None]
    for branch in still_open:
        close(branch, "superseded", emit, now)
    return bool(still_open)


def _open(
    stage: StageState,
    segment: int,
    generation: int,
    inputs: tuple[Chain, ...],
    tail: str | None,
    emit: Emit,
    now: float,
) -> None:
    batch, shot, name = stage.ref
    key = f"{shot}/{name}/{segment}"
    if generation > 1:
        key += f"@{generation}"
    if tail is not None:
        key += f"/{tail}"
    emit(
        BranchOpened(
            batch=batch,
            branch=key,
            shot=shot,
            stage=name,
            segment=segment,
            generation=generation,
            inputs=inputs,
            tail=tail,
            at=now,
        )
    )


def _advance_branch(branch: Branch, emit: Emit, now: float) -> bool:
    if branch.closed is not None:
        return False
    changed = close_waves(branch, emit, now)
    if branch.to_restore:
        try_again(branch, *_restorable(branch), emit, now, by_word=True)
        return True
    why = stop_reason(branch)
    if why is None:
        return changed
    waiting = [(rung, positions) for rung, positions in to_retry(branch, branch.retries).items() if positions]
    for rung, positions in waiting:
        try_again(branch, rung, positions, emit, now, by_word=False)
    if not waiting:
        close(branch, why, emit, now)
    return True


def _restorable(branch: Branch) -> tuple[Rung, tuple[int, ...]]:
    """What people want made whatever the filters say: always the full candidate, also of a draft."""
    return "full", tuple(sorted(branch.to_restore))


def close(branch: Branch, why: BranchEnd, emit: Emit, now: float) -> None:
    """End a branch: what is still open lies past the stop."""
    skip_the_rest(branch, emit, now)
    _close_branch(branch, why, emit, now)


def _close_branch(branch: Branch, why: BranchEnd, emit: Emit, now: float) -> None:
    best = branch.best_first()
    stage = branch.stage
    if stage.plan.join == "chain" and branch.opened.segment < len(stage.plan.segments) - 1:
        best = sorted(best, key=lambda position: position not in branch.by_word)
        best = best[: most_tails(stage, branch.opened.segment + 1)]
    full = branch.results["full"]
    emit(
        BranchClosed(
            batch=branch.opened.batch,
            branch=branch.key,
            why=why,
            tails=tuple(full[position].candidate_id for position in best),
            at=now,
        )
    )


def _go_on_from_tails(stage: StageState, emit: Emit, now: float) -> bool:
    """Open the branches that go on from tails, for each segment as many as `most_tails` at most, whatever happens."""
    tails = _best_tails(stage) if stage.plan.spec.keep == "all" else _next_tail(stage)
    for branch, tail in tails:
        _open(stage, branch.opened.segment + 1, stage.generation, ((tail,),), tail, emit, now)
    return bool(tails)


def most_tails(stage: StageState, segment: int) -> int:
    """How many branches a segment of a chain may have in all.

    A beam of them, or those there were when as many chains as are kept were found. What is ordered beyond the file
    brings more of them in proportion, and so does every clip of an earlier segment that a person restored.
    """
    spec = stage.plan.spec
    most = spec.beam if stage.enough is None else stage.enough[segment]
    by_word = sum(len(branch.by_word) for earlier in range(segment) for branch in stage.segment(earlier))
    return most + -(-stage.extra * spec.beam // spec.candidates) + by_word


def _best_tails(stage: StageState) -> list[tuple[Branch, str]]:
    """Where every chain is wanted: segment by segment, the best tails over all branches, side by side."""
    for segment in range(len(stage.plan.segments) - 1):
        branches = list(stage.segment(segment))
        if any(branch.closed is None for branch in branches):
            return []
        begun = {branch.opened.tail for branch in stage.segment(segment + 1)}
        room = most_tails(stage, segment + 1) - len(begun)
        ranked = [
            (position not in branch.by_word, -branch.results["full"][position].rank, number, position, branch)
            for number, branch in enumerate(branches)
            for position in branch.survivors
            if branch.results["full"][position].candidate_id not in begun
        ]
        best = sorted(ranked, key=lambda entry: entry[:4])[:room]
        if best:
            return [(branch, branch.results["full"][position].candidate_id) for *_, position, branch in best]
    return []


def _next_tail(stage: StageState) -> list[tuple[Branch, str]]:
    """Where so many chains are enough: one tail at a time, depth first, and none while a branch is still open.

    Depth first is what makes a segment without survivors fall back to the next tail of the segment before it.
    """
    if any(branch.closed is None for branch in stage.branches.values()):
        return []
    children = {branch.opened.tail: branch for branch in stage.branches.values() if branch.opened.tail is not None}
    segments = len(stage.plan.segments)
    room = [most_tails(stage, k + 1) - sum(1 for _ in stage.segment(k + 1)) for k in range(segments - 1)]
    found = (_untried(root, children, room) for root in _roots(stage))
    return [tail for tail in found if tail is not None][:1]


def _untried(branch: Branch, children: Mapping[str, Branch], room: Sequence[int]) -> tuple[Branch, str] | None:
    """The first tail at or below a closed branch that nothing goes on from yet, below its better tails first."""
    segment = branch.opened.segment
    if branch.closed is None or segment == len(room):
        return None
    for tail in branch.closed.tails:
        if tail in children:
            found = _untried(children[tail], children, room)
            if found is not None:
                return found
        elif room[segment] > 0:
            return (branch, tail)
    return None


def chains_of(stage: StageState) -> tuple[Chain, ...]:
    """All whole chains of the stage, best first: by the mean score of their parts, equal ones in index order."""
    scored = list(_side_by_side(stage) if stage.plan.join in ("keys", "keyframes") else _end_to_end(stage))
    order = sorted(range(len(scored)), key=lambda i: (-scored[i][0], i))
    return tuple(scored[i][1] for i in order)


def _end_to_end(stage: StageState) -> Iterator[tuple[float, Chain]]:
    """Chains along tails. A chain that cannot be traced to a root would be a broken invariant."""
    last = len(stage.plan.segments) - 1
    made_in: dict[str, tuple[Branch, int]] = {}
    for branch in stage.branches.values():
        for position in branch.survivors:
            made_in[branch.results["full"][position].candidate_id] = (branch, position)
    for branch in stage.segment(last):
        for position in branch.survivors:
            result = branch.results["full"][position]
            chain, scores, at = [result.candidate_id], [result.rank], branch
            while at.opened.tail is not None:
                at, tail_position = made_in[at.opened.tail]
                tail = at.results["full"][tail_position]
                chain.append(tail.candidate_id)
                scores.append(tail.rank)
            yield sum(scores) / len(scores), tuple(reversed(chain))


def _side_by_side(stage: StageState) -> Iterator[tuple[float, Chain]]:
    """The n-th best survivors of all segments, among those that started from the same chain of the source."""
    seen: set[Chain] = set()
    for columns in _columns(stage):
        for parts in zip(*columns, strict=False):
            chain = tuple(part.candidate_id for part in parts)
            if chain not in seen:
                seen.add(chain)
                yield sum(part.rank for part in parts) / len(parts), chain


def _columns(stage: StageState) -> Iterator[list[list[Result]]]:
    """For each chain the stage started from, best first: the survivors of each segment, best first."""
    branches = _roots(stage)
    made: list[dict[Chain, list[Result]]] = []
    for branch in branches:
        inputs, full = branch.opened.inputs, branch.results["full"]
        by_input: dict[Chain, list[Result]] = {parents: [] for parents in inputs}
        for position in branch.best_first():
            by_input[inputs[position % len(inputs)]].append(full[position])
        made.append(by_input)
    for parents in _inputs_of_each_chain(stage, len(branches)):
        if all(given in by_input for given, by_input in zip(parents, made, strict=True)):
            yield [by_input[given] for given, by_input in zip(parents, made, strict=True)]


def _inputs_of_each_chain(stage: StageState, segments: int) -> Iterator[list[Chain]]:
    """For each chain the stage can start from, best first: the input it gives to each segment."""
    if stage.plan.source is None:
        yield [() for _ in range(segments)]
        return
    closed = stage.shot.stages[stage.plan.source].closed
    for chain in (closed.selected or closed.chains) if closed is not None else ():
        yield [stage.plan.inputs_from((chain,), index)[0] for index in range(segments)]


def _close_stage(stage: StageState, emit: Emit, now: float) -> bool:
    """All branches are closed: the stage has its result, unless people must choose first.

    What people chose of it before it was opened again stays chosen; where there is more to choose from now and people
    close the stage, it waits for them.
    """
    chains = chains_of(stage)
    before = stage.closed
    chosen = before.selected if before is not None else ()
    nothing_new = before is not None and bool(chosen) and set(before.chains) == set(chains)
    if stage.plan.spec.select == "close" and chains and not nothing_new:
        return False
    reasons = {branch.closed.why for branch in stage.branches.values() if branch.closed}
    why = "no survivors" if not chains else ", ".join(sorted(reasons))
    emit(closing(stage, chains, chosen, why, before.by if before is not None and chosen else "", now))
    return True


def _as_people_closed_it(stage: StageState) -> bool:
    """What people closed the stage with in an earlier revision or round has come again.

    If nothing about the stage was edited, that is enough: they closed it early, perhaps. Else everything has to be
    there, and nothing new where people close the stage.
    """
    before = stage.carried
    if before is None:
        return False
    then, chains = set(before.chains), set(chains_of(stage))
    if stage.same_plan and then <= chains:
        return True
    if any(branch.closed is None for branch in stage.branches.values()):
        return False
    return then == chains or (stage.plan.spec.select != "close" and chains.issuperset(before.selected))


def _close_as_before(stage: StageState, emit: Emit, now: float) -> bool:
    before = stage.carried
    if before is None:
        raise AssertionError("nothing was closed before")
    for branch in list(stage.branches.values()):
        if branch.closed is None:
            close(branch, "closed", emit, now)
    emit(closing(stage, chains_of(stage), before.selected, "picked", before.by, now))
    return True


def closing(
    stage: StageState, chains: tuple[Chain, ...], selected: tuple[Chain, ...], why: str, by: str, now: float
) -> StageClosed:
    """The event that gives a stage its result."""
    batch, shot, name = stage.ref
    return StageClosed(
        batch=batch,
        shot=shot,
        stage=name,
        generation=stage.generation,
        chains=chains,
        selected=selected,
        why=why,
        by=by,
        at=now,
    )


def waits_for_people(stage: StageState) -> bool:
    """Everything is made; a person has to pick and close."""
    return (
        not stage.settled
        and stage.shot.cancelled is None
        and stage.generation > 0
        and inputs_ready(stage)
        and stage.plan.spec.select == "close"
        and all(branch.closed for branch in stage.branches.values())
        and bool(chains_of(stage))
    )


def selected_chains(stage: StageState) -> tuple[Chain, ...]:
    """The chains that the standing picks come to: most pickers first, then by rank.

    Of a chain its last part is picked; of segments made side by side each part, and where a segment has fewer picks
    than another its best survivors fill in, never such that started from another chain of the source.
    """
    votes = {candidate: len(people) for candidate, people in stage.picks.items()}
    if stage.plan.join not in ("keys", "keyframes"):
        picked = [chain for chain in chains_of(stage) if chain[-1] in votes]
        return tuple(sorted(picked, key=lambda chain: -votes[chain[-1]]))
    chains: dict[Chain, int] = {}
    for columns in _columns(stage):
        ids = [[part.candidate_id for part in column] for column in columns]
        most = max(sum(candidate in votes for candidate in column) for column in ids)
        filled = [sorted(column, key=lambda candidate: -votes.get(candidate, 0))[:most] for column in ids]
        for chain in zip(*filled, strict=False):
            chains.setdefault(chain, sum(votes.get(candidate, 0) for candidate in chain))
    return tuple(sorted(chains, key=lambda chain: -chains[chain]))
