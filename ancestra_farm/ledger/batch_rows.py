"""The rows of one batch: those of its shots, and what of its plan they need. `tables` says which rows of which shot."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ancestra_farm.ledger.rows import Branch
from ancestra_farm.ledger.shot_rows import ShotRows
from ancestra_farm.plan.codec import decode_event, encode_event
from ancestra_farm.plan.events import BatchSubmitted, BranchOpened, OrderGiven
from ancestra_farm.plan.plan import Plan


class BatchRows:
    """The rows of one batch by shot, with what of its plan they need.

    Orders about the whole batch stand among the rows of a shot without a name.
    """

    def __init__(self, submitted: BatchSubmitted) -> None:
        self.name = submitted.batch
        self.shots: dict[str, ShotRows] = {}
        self.branches: dict[str, Branch] = {}
        self._shot_of_branch: dict[str, str] = {}
        self._submitted = submitted
        self._opened: dict[str, BranchOpened] = {}
        self._plan = Plan.from_documents(submitted.document, submitted.cards)
        #: candidates ordered beyond the file, by shot and stage
        self._more: dict[tuple[str, str], int] = {}

    @property
    def show(self) -> str:
        """The show of the current revision."""
        return self._plan.batch.show

    def revise(self, submitted: BatchSubmitted) -> Iterator[ShotRows]:
        """Take the newer revision: its branches are opened anew. The shots that have rows already."""
        self._plan = Plan.from_documents(submitted.document, submitted.cards)
        self._submitted, self._opened = submitted, {}
        self.branches = {}
        stages = {(shot.name, stage.name) for shot in self._plan.shots for stage in shot.stages}
        self._more = {key: candidates for key, candidates in self._more.items() if key in stages}
        yield from self.shots.values()

    def open(self, event: BranchOpened) -> None:
        """A branch has its inputs."""
        self._opened[event.branch] = event
        stage = self._plan.shot(event.shot).stage(event.stage)
        self._shot_of_branch[event.branch] = event.shot
        self.branches[event.branch] = Branch(
            batch=self.name,
            show=self.show,
            name=event.branch,
            shot=event.shot,
            full_sample=stage.spec.full_sample,
            space=stage.space(event.segment, event.inputs).with_more(
                self._more.get((event.shot, event.stage), 0) if event.tail is None else 0
            ),
            root=event.tail is None,
        )

    def more(self, given: OrderGiven) -> None:
        """More candidates were ordered: the first segments of the stage have so many more."""
        where = (given.shot, given.stage)
        self._more[where] = self._more.get(where, 0) + given.candidates
        for name, branch in self.branches.items():
            if branch.root and (branch.shot, branch.space.stage) == where:
                self.branches[name] = replace(branch, space=branch.space.with_more(given.candidates))

    def shot(self, name: str) -> ShotRows:
        """The rows of a shot, made if there are none yet."""
        if name not in self.shots:
            try:
                rate = str(self._plan.shot(name).rate)
            except KeyError:
                rate = ""
            self.shots[name] = ShotRows(self.name, name, rate)
        return self.shots[name]

    def kept(self) -> dict[str, Any]:
        """Everything but the rows of candidates, as JSON."""
        return {
            "submitted": encode_event(self._submitted)[1],
            "opened": [encode_event(event)[1] for event in self._opened.values()],
            "shot_of_branch": self._shot_of_branch,
            "more": [[*key, candidates] for key, candidates in self._more.items()],
            "shots": {name: shot.kept() for name, shot in self.shots.items()},
        }

    @classmethod
    def of_kept(cls, kept: dict[str, Any]) -> "BatchRows":
        """The rows of which that was `kept`; those of candidates are at rest."""
        submitted = decode_event("BatchSubmitted", kept["submitted"])
        assert isinstance(submitted, BatchSubmitted)
        made = cls(submitted)
        made._more = {(shot, stage): candidates for shot, stage, candidates in kept["more"]}
        for body in kept["opened"]:
            event = decode_event("BranchOpened", body)
            assert isinstance(event, BranchOpened)
            made.open(event)
        made._shot_of_branch = kept["shot_of_branch"]
        made.shots = {name: ShotRows.of_kept(made.name, name, shot) for name, shot in kept["shots"].items()}
        return made

    def shot_of(self, branch: str) -> ShotRows | None:
        """The shot that a branch of this or an earlier revision belongs to."""
        name = self._shot_of_branch.get(branch)
        return None if name is None else self.shot(name)
