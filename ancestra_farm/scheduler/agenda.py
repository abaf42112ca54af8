"""Which stages have to be looked at: something happened on which a decision about them may rest.

A note is never wrong, only needless: whoever looks decides from the state alone.
"""

from collections.abc import Iterable, Mapping

from ancestra_farm.scheduler.state import BatchState, StageRef


class Agenda:
    """Stages to be looked at, each once, in the order in which they were noted."""

    def __init__(self) -> None:
        self._stages: dict[StageRef, None] = {}

    def __bool__(self) -> bool:
        return bool(self._stages)

    def take(self) -> tuple[StageRef, ...]:
        """All of them; none is noted from here on."""
        stages, self._stages = tuple(self._stages), {}
        return stages

    def stages(self, refs: Iterable[StageRef]) -> None:
        """Note these stages."""
        self._stages.update(dict.fromkeys(refs))

    def shot(self, batch: BatchState, shot: str) -> None:
        """Note the stages of a shot. None where a newer revision has no such shot."""
        if (found := batch.shots.get(shot)) is not None:
            self.stages(stage.ref for stage in found.stages.values())

    def batch(self, batch: BatchState) -> None:
        """Note all stages of a batch."""
        for shot in batch.shots:
            self.shot(batch, shot)

    def show(self, batches: Mapping[str, BatchState], show: str) -> None:
        """Note all stages of a show."""
        for batch in batches.values():
            if batch.show == show:
                self.batch(batch)
