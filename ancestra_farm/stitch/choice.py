"""What stands on a contact sheet: which candidates of a shot, in which order, under which names. No drawing.

A sheet has a section for each stage, in the order work flows through them. A section shows survivors best first, all
picks among them whatever their rank, and a random sample of rejects with their reasons: filters hide, so people must be
able to see what is hidden. The sample is drawn by a hash of the candidate ids and thus the same on every run.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: A candidate as a row of the table of that name, plus ``picked`` (bool). See `CandidateRow`.
Row = Mapping[str, Any]
#: What rows need: these columns; all others are looked at only if they are there.
NEEDED: Final = ("candidate_id", "outcome")
#: The score that survivors are ranked by where nothing else is said.
RANK: Final = "quality"


@dataclass(frozen=True, slots=True)
class Entry:
    """One candidate on the sheet. ``rank`` counts survivors from 1; None for a picked reject. ``score``: None unknown.

    ``pictures``: where its picture may be found, best first: medium, then thumbnail. ``label``: its wording's letter.
    """

    candidate_id: str
    rank: int | None
    score: float | None
    picked: bool
    is_clip: bool
    label: str
    pictures: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Wording:
    """A variant of the prompt: its letter, its text, and how many of how many candidates survived."""

    label: str
    prompt: str
    survivors: int
    tried: int


@dataclass(frozen=True, slots=True)
class Section:
    """A stage on the sheet. ``tried`` and ``survived`` count all its candidates, not only those shown."""

    stage: str
    noun: str
    tried: int
    survived: int
    picked: int
    rejected: int
    best: tuple[Entry, ...]
    rejects: tuple[Entry, ...]
    wordings: tuple[Wording, ...]
    is_clips: bool


def sections_of(
    rows: Sequence[Row], *, rank: str = RANK, stills: int = 40, clips: int = 8, rejects: int = 10
) -> list[Section]:
    """The sections of a shot's sheet. ``rows``: all candidates of one shot, any order; see `NEEDED`.

    ``stills`` and ``clips``: how many survivors a section shows, picks beyond that not counted. ``rejects``: how large
    the sample is. Raises ValueError, naming the column, when a row lacks one that is needed.
    """
    for row in rows:
        missing = [name for name in NEEDED if row.get(name) is None]
        if missing:
            raise ValueError(f"a candidate on a contact sheet needs {' and '.join(NEEDED)}; one has no {missing[0]}")
    stages: dict[str, list[Row]] = {}
    for row in rows:
        stages.setdefault(str(row.get("stage") or ""), []).append(row)
    depth = _depths(rows)
    ordered = sorted(stages, key=lambda stage: (depth[stage], stage))
    return [_section(stage, stages[stage], rank, (stills, clips), rejects) for stage in ordered]


def _section(stage: str, rows: list[Row], rank: str, most: tuple[int, int], rejects: int) -> Section:
    is_clips = any((row.get("frames") or 1) > 1 for row in rows)
    drafts = [row for row in rows if row.get("rung") == "draft"]
    tried = len(drafts) or len(rows)
    survivors = sorted(
        (row for row in rows if row["outcome"] == "survivor"), key=lambda row: (-_score(row, rank), row["candidate_id"])
    )
    labels = _labels(rows)
    ranks = {row["candidate_id"]: number for number, row in enumerate(survivors, start=1)}
    shown = survivors[: most[1] if is_clips else most[0]]
    seen = {row["candidate_id"] for row in shown}
    late = [row for row in rows if row.get("picked") and row["candidate_id"] not in seen]
    late.sort(key=lambda row: (ranks.get(row["candidate_id"], len(rows) + 1), row["candidate_id"]))
    turned_down = [row for row in rows if row["outcome"] == "rejected"]
    sample = sorted(
        (row for row in turned_down if _pictures(row)),
        key=lambda row: hashlib.sha256(row["candidate_id"].encode()).digest(),
    )[:rejects]
    sample.sort(key=lambda row: (_reasons(row), row["candidate_id"]))
    return Section(
        stage=stage,
        noun="clips" if is_clips else "stills",
        tried=tried,
        survived=len(survivors),
        picked=sum(bool(row.get("picked")) for row in rows),
        rejected=len(turned_down),
        best=tuple(_entry(row, ranks, labels, rank) for row in shown + late),
        rejects=tuple(_entry(row, ranks, labels, rank) for row in sample),
        wordings=_wordings(rows, labels, drafts=bool(drafts)),
        is_clips=is_clips,
    )


def _entry(row: Row, ranks: Mapping[str, int], labels: Mapping[str, str], rank: str) -> Entry:
    scores = row.get("scores") or {}
    return Entry(
        candidate_id=row["candidate_id"],
        rank=ranks.get(row["candidate_id"]),
        score=float(scores[rank]) if scores.get(rank) is not None else None,
        picked=bool(row.get("picked")),
        is_clip=(row.get("frames") or 1) > 1,
        label=labels.get(str(row.get("variant") or ""), ""),
        pictures=_pictures(row),
        note=_reasons(row) if row["outcome"] != "survivor" else "",
    )


def _pictures(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("media", "thumbnail") if row.get(name))


def _reasons(row: Row) -> str:
    return ", ".join(row.get("reasons") or ()) or str(row["outcome"])


def _score(row: Row, rank: str) -> float:
    value = (row.get("scores") or {}).get(rank)
    return float("-inf") if value is None else float(value)


def _labels(rows: Sequence[Row]) -> dict[str, str]:
    """A letter for each wording, in the order of their ids: A to Z, then AA, AB and so on."""
    variants = sorted({str(row["variant"]) for row in rows if row.get("variant")})
    return {variant: _letters(number) for number, variant in enumerate(variants)}


def _letters(number: int) -> str:
    letter = chr(ord("A") + number % 26)
    return letter if number < 26 else _letters(number // 26 - 1) + letter


def _wordings(rows: Sequence[Row], labels: Mapping[str, str], *, drafts: bool) -> tuple[Wording, ...]:
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    prompts: dict[str, str] = {}
    for row in rows:
        variant = str(row.get("variant") or "")
        if variant not in labels:
            continue
        prompts.setdefault(variant, str(row.get("prompt") or ""))
        survived[variant] += row["outcome"] == "survivor"
        tried[variant] += (row.get("rung") == "draft") if drafts else 1
    return tuple(Wording(labels[v], prompts[v], survived[v], tried[v]) for v in sorted(prompts))


def _depths(rows: Sequence[Row]) -> dict[str, int]:
    """How many stages lie before each stage, by the parents its candidates name."""
    stage_of = {row["candidate_id"]: str(row.get("stage") or "") for row in rows}
    before: dict[str, set[str]] = {stage: set() for stage in stage_of.values()}
    for row in rows:
        stage = str(row.get("stage") or "")
        before[stage] |= {stage_of[parent] for parent in row.get("parents") or () if parent in stage_of} - {stage}
    depths = dict.fromkeys(before, 0)
    for _ in before:
        for stage, earlier in before.items():
            depths[stage] = min(max((depths[one] + 1 for one in earlier), default=0), len(before))
    return depths
