"""A small batch and what happens to it, event by event, for tests of what is folded from a log."""

import hashlib
from collections.abc import Iterator
from typing import Any

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Batch
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    Event,
    OrderGiven,
    StageClosed,
    StitchEnded,
    StitchPlanned,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.space import Space

SIZES = {"multiple_of": 8, "min": 8, "max": 1024, "default": [96, 64]}
CARDS = {
    "test/stills": ModelCard.model_validate(
        {
            "id": "test/stills",
            "family": "procedural",
            "roles": ["text_to_image"],
            "licence": "Apache-2.0",
            "sizes": SIZES,
            "parameters": {"steps": {"type": "int", "default": 20}},
            "draft": {"steps": 4},
        }
    ),
    "test/clips": ModelCard.model_validate(
        {
            "id": "test/clips",
            "family": "procedural",
            "roles": ["image_to_video"],
            "licence": "Apache-2.0",
            "sizes": SIZES,
            "frames": {"step": 4, "offset": 1, "min": 5, "max": 33},
            "rate": 16,
        }
    ),
}


def plan_of(
    texts: tuple[str, ...] = ("the sea at dawn",), shots: tuple[str, ...] = ("anc_010_0010",), **fields: Any
) -> Plan:
    still = {
        "role": "text_to_image",
        "model": "test/stills",
        "candidates": 8,
        "wave": 4,
        "full_sample": 0.25,
        "draft": {"promote": 0.5},
    }
    animate = {"role": "image_to_video", "model": "test/clips", "from": "still", "best": 2, "candidates": 2}
    document = {
        "schema": "ancestra/v1",
        "batch": "womb.v1",
        "show": "anc",
        "rate": 16,
        "handles": 0,
        "stages": {"still": still, "animate": animate},
        "shots": [{"shot": name, "frames": 17, "prompt": {"text": list(texts)}} for name in shots],
        **fields,
    }
    return Plan.of(Batch.model_validate(document), CARDS)


def submitted(plan: Plan, at: float = 1.0) -> BatchSubmitted:
    return BatchSubmitted(plan.batch.batch, plan.digest, plan.document, dict(plan.card_documents), "ann", at)


class Film:
    """Makes the events of one shot. Media go to the store, if there is one."""

    def __init__(self, plan: Plan, shot: str = "anc_010_0010", store: Store | None = None) -> None:
        self.batch = plan.batch.batch
        self.shot = shot
        self.plan = plan
        self.store = store
        self.spaces: dict[str, Space] = {}
        self.now = 1.7e9

    def tick(self) -> float:
        self.now += 0.001
        return self.now

    def put(self, text: str) -> str:
        data = text.encode()
        if self.store is not None:
            return self.store.put_media(data, "png")
        digest = hashlib.sha256(data).hexdigest()
        return f"media/{digest[:2]}/{digest}.png"

    def opened(self, stage: str, inputs: tuple[tuple[str, ...], ...] = ((),), generation: int = 1) -> BranchOpened:
        branch = f"{self.shot}/{stage}/0" + (f"/{generation}" if generation > 1 else "")
        self.spaces[branch] = self.plan.shot(self.shot).stage(stage).space(0, inputs)
        return BranchOpened(self.batch, branch, self.shot, stage, 0, generation, inputs, None, self.tick())

    def branch(self, stage: str) -> str:
        return f"{self.shot}/{stage}/0"

    def id_of(self, stage: str, position: int, rung: str = "full") -> str:
        return self.spaces[self.branch(stage)].id_of(position, rung)

    def released(
        self, stage: str, wave: int, start: int, stop: int, rung: str = "full", positions=None
    ) -> WaveReleased:
        return WaveReleased(
            self.batch, self.branch(stage), wave, rung, start, stop, ("black", "blur"), self.tick(), positions
        )

    def attempt(
        self, stage: str, position: int, rung: str = "full", passed: bool = True, cause: str = "judged", **more: Any
    ) -> AttemptEnded:
        name = self.id_of(stage, position, rung)
        judged = cause == "judged"
        facts: dict[str, Any] = {
            "reasons": () if passed or not judged else ("blur",),
            "scores": {"quality": position / 10, "blur": 0.5} if judged else {},
            "filter_s": {"blur": 0.01} if judged else {},
            "judged_in_full": position % 2 == 0,
            "phash": (2**64 - 1 - position) if judged else None,
            "media": self.put(f"{stage} {position} {rung}") if judged and passed else None,
            "thumbnail": self.put(f"sheet of {stage} {rung}") + f"#xywh={position * 96},0,96,64" if judged else None,
            "generate_s": 0.25,
            "judge_s": 0.125,
            "device_s": 0.5,
            "host": "host-1",
            "ticket": "t-1",
            "message": "" if judged else f"{cause} happened",
            **more,
        }
        return AttemptEnded(
            self.batch, self.branch(stage), position, rung, name, cause, passed and judged, self.tick(), **facts
        )

    def wave_closed(
        self, stage: str, wave: int, rung: str = "full", survivors=(), duplicates=None, promoted=(), skipped=()
    ) -> WaveClosed:
        return WaveClosed(
            self.batch, self.branch(stage), wave, rung, survivors, duplicates or {}, promoted, skipped, self.tick()
        )

    def closed(self, stage: str, why: str = "tried_all") -> BranchClosed:
        return BranchClosed(self.batch, self.branch(stage), why, (), self.tick())

    def given_up(self, stage: str, position: int, rung: str = "full", outcome: str = "quarantined") -> CandidateGivenUp:
        return CandidateGivenUp(
            self.batch, self.branch(stage), position, rung, outcome, "three strikes: exception happened", self.tick()
        )

    def order(self, order: str, candidate_id: str = "", who: str = "ann", note: str = "") -> OrderGiven:
        return OrderGiven(self.batch, order, who, self.tick(), self.shot, "animate", candidate_id, note)

    def stitched(self, chain: tuple[str, ...], version: str = "v001", picked: bool = True) -> list[Event]:
        folder = f"deliveries/anc/{self.shot}/{version}"
        files, sha256 = {}, {}
        for kind, name in {"mp4": "shot.mp4", "otio": "shot.otio", "report": "report.json"}.items():
            files[kind] = f"{folder}/{name}"
            data = f"{kind} of {version}".encode()
            sha256[kind] = hashlib.sha256(data).hexdigest()
            if self.store is not None:
                self.store.create(files[kind], data)
        if self.store is not None:
            self.store.create(f"{folder}/MANIFEST.json", b"{}")
        stitch_id = hashlib.sha256("".join(chain).encode()).hexdigest()[:32]
        return [
            StitchPlanned(self.batch, self.shot, 1, stitch_id, version, chain, picked, self.tick()),
            StitchEnded(
                self.batch,
                self.shot,
                stitch_id,
                version,
                True,
                17,
                self.tick(),
                files,
                sha256,
                ({"frame_difference": 0.5},),
                None,
                "",
                1.5,
            ),
        ]

    def whole(self) -> Iterator[list[Event]]:
        """A shot from its first draft to its delivery, in commits."""
        yield [self.opened("still"), self.released("still", 0, 0, 4, "draft")]
        yield [self.attempt("still", n, "draft", passed=n != 1) for n in range(4)]
        yield [
            self.wave_closed("still", 0, "draft", promoted=(2, 3)),
            self.released("still", 0, 2, 4, positions=(2, 3)),
            self.released("still", 1, 4, 8, "draft"),
        ]
        yield [
            self.attempt("still", 2, cause="exception", passed=False),
            self.attempt("still", 2),
            self.attempt("still", 3),
        ]
        yield [self.wave_closed("still", 0, survivors=(2,), duplicates={3: self.id_of("still", 2)})]
        yield [self.attempt("still", 4, "draft"), self.wave_closed("still", 1, "draft", skipped=(4, 5, 6, 7))]
        yield [self.closed("still", "kept_enough")]
        still = self.id_of("still", 2)
        yield [
            StageClosed(self.batch, self.shot, "still", 1, ((still,),), (), "kept_enough", "", self.tick()),
            self.opened("animate", ((still,),)),
            self.released("animate", 0, 0, 2),
        ]
        yield [self.attempt("animate", 0), *(self.attempt("animate", 1, cause="exception") for _ in range(3))]
        yield [self.given_up("animate", 1), self.wave_closed("animate", 0, survivors=(0,)), self.closed("animate")]
        clip = self.id_of("animate", 0)
        yield [
            self.order("pick", clip, note="the light"),
            self.order("pick", clip, "ben"),
            self.order("unpick", clip, "ben"),
        ]
        yield [self.order("close"), *self.stitched((clip,))]


def shoot(store: Store, *, stop_after: int | None = None, shots: tuple[str, ...] = ("anc_010_0010",)) -> list[Film]:
    """A store with a log of a whole film (or its first commits); its tables are not written."""
    plan = plan_of(shots=shots)
    writer = Writer.begin(store, "ann", "run", clock=lambda: 1.7e9)
    writer.commit([submitted(plan)])
    films = []
    for shot in shots:
        film = Film(plan, shot, store)
        for number, events in enumerate(film.whole()):
            if stop_after is not None and number >= stop_after:
                break
            writer.commit(events)
        films.append(film)
    return films
