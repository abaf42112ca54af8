"""What has to be picked before a shot begins: the picks of other shots, of its own batch or of another (``after:``).

A shot waits with its first stages until each stage that it follows has its result: the picks it was closed with, or its
survivors where nobody has to pick. Once begun it goes on, whatever becomes of the picks it waited for. Which shots
follow which is known when a batch is submitted: what is not there, or would wait for itself, is refused then.
"""

from collections.abc import Iterable, Iterator, Mapping

from ancestra_farm.batch.schema import After
from ancestra_farm.plan.plan import Plan, ShotPlan
from ancestra_farm.scheduler.state import BatchState, ShotState, StageState

#: So many of what a shot waits for are named; the rest are counted.
_NAMED = 3

Node = tuple[str, str]
"""(batch, shot)."""


def awaited(batch: BatchState, shot: ShotState) -> Iterator[str]:
    """What a shot still waits for, each as ``anc_010_0010 still of previs``."""
    return (said for said, _ in _awaited(batch, shot))


def awaited_stages(batch: BatchState, shot: ShotState) -> Iterator[StageState | None]:
    """The stages whose results a shot still waits for; None for what is not there."""
    return (stage for _, stage in _awaited(batch, shot))


def _awaited(batch: BatchState, shot: ShotState) -> Iterator[tuple[str, StageState | None]]:
    for after in shot.plan.after:
        name = after.batch or batch.name
        other = batch.batches.get(name)
        if other is None:
            yield f"batch {name}, which is not here", None
            continue
        for follows in _shots_of(after, other.shots, shot.plan.name if other is batch else ""):
            state = other.shots.get(follows)
            if state is None:
                yield f"{follows} of {name}, which has no such shot any more", None
                continue
            yield from _unpicked(after, name, state)


def _unpicked(after: After, batch: str, shot: ShotState) -> Iterator[tuple[str, StageState | None]]:
    for name in _stages_of(after, shot.plan):
        stage = shot.stages.get(name)
        if stage is None or not _has_result(stage):
            yield f"{shot.plan.name} {name} of {batch}", stage


def _has_result(stage: StageState) -> bool:
    closed = stage.closed
    if closed is None:
        return False
    return bool(closed.selected) or (bool(closed.chains) and stage.plan.spec.select != "close")


def told(batch: BatchState, shot: ShotState) -> str:
    """What a shot waits for, listed; empty: nothing."""
    waits = list(awaited(batch, shot))
    more = f" and {len(waits) - _NAMED:,} more" if len(waits) > _NAMED else ""
    return ", ".join(waits[:_NAMED]) + more


def followers(batches: Mapping[str, BatchState], batch: str) -> Iterator[Node]:
    """The shots that follow any shot of a batch."""
    for name, other in batches.items():
        if other.plan.follows:
            for shot in other.plan.shots:
                if any((after.batch or name) == batch for after in shot.after):
                    yield name, shot.name


def faults(plan: Plan, batches: Mapping[str, BatchState]) -> Iterator[str]:
    """Why what the shots of a batch follow cannot be waited for, a sentence for each reason."""
    if not plan.follows:
        return
    name = plan.batch.batch
    plans = {other: state.plan for other, state in batches.items()} | {name: plan}
    found = list(dict.fromkeys(fault for shot in plan.shots for fault in _missing(shot, plans, name)))
    yield from found
    if not found and (circle := _circle(plan, plans)) is not None:
        yield f"{' waits for '.join(f'{shot} of {batch}' for batch, shot in circle)}: none of them would ever begin"


def _missing(shot: ShotPlan, plans: Mapping[str, Plan], name: str) -> Iterator[str]:
    for after in shot.after:
        other = plans.get(after.batch or name)
        if other is None:
            there = ", ".join(sorted(set(plans) - {name})) or "none"
            yield f"after: there is no batch {after.batch} here; there are: {there}"
            continue
        names = {one.name: one for one in other.shots}
        if after.shot is not None and after.shot not in names:
            yield f"after: batch {other.batch.batch} has no shot {after.shot}"
            continue
        of = list(names.values()) if after.shot is None else [names[after.shot]]
        if after.stage is not None and not any(after.stage in _stages_of(after, one) for one in of):
            yield f"after: no stage {after.stage} in {after.shot or 'any shot'} of {other.batch.batch}"


def _circle(plan: Plan, plans: Mapping[str, Plan]) -> list[Node] | None:
    """Shots that wait for each other, the first again at the end; None where there are none."""
    shots = {(name, shot.name): shot for name, one in plans.items() for shot in one.shots}
    done: set[Node] = set()
    for start in [(plan.batch.batch, shot.name) for shot in plan.shots]:
        if start in done:
            continue
        path = [start]
        rest = [_followed(start, shots[start], plans)]
        while path:
            following = next(rest[-1], None)
            if following is None:
                done.add(path.pop())
                rest.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done and following in shots:
                path.append(following)
                rest.append(_followed(following, shots[following], plans))
    return None


def _followed(node: Node, shot: ShotPlan, plans: Mapping[str, Plan]) -> Iterator[Node]:
    for after in shot.after:
        name = after.batch or node[0]
        if name in plans:
            names = (one.name for one in plans[name].shots)
            own = node[1] if name == node[0] else ""
            yield from ((name, follows) for follows in _shots_of(after, names, own))


def _shots_of(after: After, shots: Iterable[str], own: str) -> list[str]:
    """The shots that are meant. Where all of one's own batch are, oneself is not."""
    if after.shot is not None:
        return [after.shot]
    return [name for name in shots if name != own]


def _stages_of(after: After, shot: ShotPlan) -> list[str]:
    """The stages that are meant, as far as the shot has them: those that people close where none is named, else all."""
    if after.stage is not None:
        return [stage.name for stage in shot.stages if stage.name == after.stage]
    closed_by_people = [stage.name for stage in shot.stages if stage.spec.select == "close"]
    return closed_by_people or [stage.name for stage in shot.stages]
