"""The rows of one shot: how each event changes them. `tables` says which rows of which shot."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ancestra_farm.ledger.columns import candidate_schema, schema_of
from ancestra_farm.ledger.rows import Branch, Row, WaveRows
from ancestra_farm.plan.events import (
    AttemptEnded,
    BranchClosed,
    CandidateGivenUp,
    OrderGiven,
    StitchEnded,
    StitchPlanned,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.moments import until
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.plan.space import Space

CandidateEvent = WaveReleased | WaveClosed | BranchClosed | AttemptEnded | CandidateGivenUp | VerdictsVoided


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate stands in any space that has it: what `Space.place` says, its rung, and its shot and stage."""

    index: int
    variant: str
    parents: tuple[str, ...]
    rung: Rung
    shot: str
    stage: str

    def position_in(self, space: Space) -> int | None:
        """Its position in a space of the same stage and segment; None where it has no place there."""
        variants = [variant.id for variant in space.variants]
        if self.variant not in variants or self.parents not in space.inputs:
            return None
        row = self.index * len(variants) + variants.index(self.variant)
        position = row * len(space.inputs) + space.inputs.index(self.parents)
        return position if position < len(space) else None


class ShotRows:
    """The rows of one shot of one batch."""

    def __init__(self, batch: str, name: str, rate: str) -> None:
        self.batch = batch
        self.name = name
        self.rate = rate
        self._waves: list[WaveRows] = []
        #: 16 bytes of candidate id → (number in `_waves`, number in the wave)
        self._places: dict[bytes, tuple[int, int]] = {}
        #: positions of the waves that are open, by branch, wave and rung
        self._open: dict[tuple[str, int, Rung], tuple[Branch | None, tuple[int, ...]]] = {}
        self._listed: dict[str, list[dict[str, Any]]] = {"picks": [], "stitches": [], "deliveries": [], "orders": []}
        #: who restored a candidate, by the id of the full one
        self._restored: dict[str, str] = {}
        #: number of the commit through which the rows of candidates say all there is; of rows at rest, at least that
        self.through = 0
        self.at_rest = False

    # ---- at rest ---------------------------------------------------------------------------------------------------

    def beside_part(self) -> dict[str, Any]:
        """What the part of candidates does not say of them, as JSON: what is open, and who awaits what."""
        return {
            "open": [[*key, list(positions)] for key, (_, positions) in self._open.items()],
            "awaited": [start + number for start, wave in self._starts() for number in wave.places("awaited")],
            "by_word": [start + number for start, wave in self._starts() for number in wave.places("by_word")],
        }

    def _starts(self) -> Iterator[tuple[int, WaveRows]]:
        start = 0
        for wave in self._waves:
            yield start, wave
            start += len(wave)

    def rest(self) -> None:
        """Hold no rows of candidates any more; they are in their part, as of ``through``."""
        self.at_rest |= bool(self._waves)
        self._waves, self._places, self._open = [], {}, {}

    def wake(self, part: pa.Table, beside: dict[str, Any], through: int) -> None:
        """Hold the rows again, from their part and from what stood beside it."""
        awaited, by_word = set(beside["awaited"]), set(beside["by_word"])
        part = part.cast(candidate_schema())
        kinds = list(zip(*(part.column(name).to_pylist() for name in ("branch", "wave", "rung")), strict=True))
        start = 0
        for _, run in itertools.groupby(kinds):
            stop = start + sum(1 for _ in run)
            rows = part.slice(start, stop - start).combine_chunks().to_batches()[0]
            places = range(start, stop)
            wave = WaveRows.of_part(rows, [n in awaited for n in places], [n in by_word for n in places])
            ids = rows.column("candidate_id").to_pylist()
            self._places.update((bytes.fromhex(key), (len(self._waves), n)) for n, key in enumerate(ids))
            self._waves.append(wave)
            start = stop
        self._open = {(branch, wave, rung): (None, tuple(some)) for branch, wave, rung, some in beside["open"]}
        self.through, self.at_rest = through, False

    def kept(self) -> dict[str, Any]:
        """The small tables and what else is not in a part, as JSON."""
        has_rows = self.at_rest or bool(self._waves)
        return {
            "rate": self.rate,
            "listed": self._listed,
            "restored": self._restored,
            "through": self.through if has_rows else None,
        }

    @classmethod
    def of_kept(cls, batch: str, name: str, kept: dict[str, Any]) -> "ShotRows":
        """The rows of which that was `kept`, at rest."""
        made = cls(batch, name, kept["rate"])
        made._listed, made._restored = kept["listed"], kept["restored"]
        for row in made._listed["stitches"]:
            row["seams"] = [[(score, value) for score, value in seam] for seam in row["seams"]]
        made.at_rest, made.through = kept["through"] is not None, kept["through"] or 0
        return made

    # ---- where candidates are --------------------------------------------------------------------------------------

    def __contains__(self, candidate_id: str) -> bool:
        return self.find(candidate_id) is not None

    def find(self, candidate_id: str) -> tuple[WaveRows, int] | None:
        """The wave and place of a candidate's row."""
        try:
            place = self._places.get(bytes.fromhex(candidate_id))
        except ValueError:
            return None
        return None if place is None else (self._waves[place[0]], place[1])

    def place(self, candidate_id: str) -> Place | None:
        """Where a candidate stands in its stage; None if it was never released here."""
        found = self.find(candidate_id)
        if found is None:
            return None
        wave, number = found
        index, variant, parents = wave.place(number)
        return Place(index, variant, parents, wave.rung, self.name, wave.stage)

    def _row(self, candidate_id: str) -> Row | None:
        found = self.find(candidate_id)
        return None if found is None else found[0].rows[found[1]]

    # ---- candidates ------------------------------------------------------------------------------------------------

    def fold(self, event: CandidateEvent, branch: Branch | None, epoch: int) -> str | None:
        """Change the rows by one event; what was odd about it, if anything.

        ``branch`` is None where a newer revision or round has done away with it: then only what attempts cost counts.
        """
        if isinstance(event, AttemptEnded):
            row = self._row(event.candidate_id)
            if row is None:
                return f"an attempt at {event.candidate_id} in {event.batch}/{event.branch}, which was never released"
            row.attempt(event, epoch)
        elif branch is None:
            return None
        elif isinstance(event, WaveReleased):
            self._release(event, branch, epoch)
        elif isinstance(event, WaveClosed):
            return self._close(event, branch, epoch)
        elif isinstance(event, CandidateGivenUp):
            row = self._row(branch.space.id_of(event.position, event.rung))
            if row is None:
                return f"position {event.position} of {event.batch}/{event.branch} was given up, but never released"
            row.decide(event.outcome, epoch)
            row.reasons = (event.reason,)
        elif isinstance(event, VerdictsVoided):
            for position in event.positions:
                if (row := self._row(branch.space.id_of(position, event.rung))) is not None:
                    row.forget(epoch)
        else:
            self._skip(branch, epoch)
        return None

    def _release(self, event: WaveReleased, branch: Branch, epoch: int) -> None:
        positions = tuple(range(event.start, event.stop)) if event.positions is None else event.positions
        self._open[event.branch, event.wave, event.rung] = (branch, positions)
        new: dict[bytes, int] = {}
        for position in positions:
            candidate_id = branch.space.id_of(position, event.rung)
            row = self._row(candidate_id)
            if row is not None and event.again:
                row.try_again(epoch, by_word=event.by_word)
            elif row is not None:
                row.release_again(epoch)
            else:
                new.setdefault(bytes.fromhex(candidate_id), position)
        if new:
            self._places.update((key, (len(self._waves), number)) for number, key in enumerate(new))
            wave = WaveRows(branch, event.rung, event.wave, tuple(new.values()), epoch=epoch, released_at=event.at)
            for row in wave.rows if event.by_word else ():
                row.by_word = True
            self._waves.append(wave)

    def _close(self, event: WaveClosed, branch: Branch, epoch: int) -> str | None:
        opened = self._open.pop((event.branch, event.wave, event.rung), None)
        if opened is None:
            return f"wave {event.wave} ({event.rung}) of {event.batch}/{event.branch} was closed, but not open"
        survivors, promoted, skipped = set(event.survivors), set(event.promoted), set(event.skipped)
        for position in opened[1]:
            row = self._row(branch.space.id_of(position, event.rung))
            assert row is not None
            if position in survivors:
                row.decide("survivor", epoch)
                if (who := self._restored.get(branch.space.id_of(position, "full"))) is not None:
                    row.reasons, row.duplicate_of = (f"restored by {who}",), None
            elif position in skipped:
                row.decide("skipped", epoch)
            elif position in event.duplicates:
                row.decide("rejected", epoch)
                row.reasons, row.duplicate_of = ("duplicate",), event.duplicates[position]
            elif event.rung == "draft" and row.passed and row.outcome == "released":
                row.decide("promoted" if position in promoted else "not_promoted", epoch)
            elif row.by_word and row.passed is not None:  # made, but nothing could be written of it
                row.decide("rejected", epoch)
        return None

    def _skip(self, branch: Branch | None, epoch: int) -> bool:
        """What is undecided in the open waves of a branch (None: of any) is skipped; whether anything was."""
        changed = False
        for key in [key for key in self._open if branch is None or key[0] == branch.name]:
            del self._open[key]
        for wave in self._waves:
            if branch is not None and wave.branch_name != branch.name:
                continue
            if not wave.decided:
                for row in wave.rows:
                    if row.outcome == "released":
                        row.decide("skipped", epoch)
                        changed = True
        return changed

    def collected(self, candidate_ids: Iterable[str]) -> bool:
        """The media of these are gone; whether any of them is of this shot."""
        rows = [row for name in candidate_ids if (row := self._row(name)) is not None]
        for row in rows:
            row.media = None
        return bool(rows)

    def skip_open(self, epoch: int) -> bool:
        """A newer revision: whatever is undecided is skipped; whether anything was."""
        return self._skip(None, epoch)

    def undecided(self) -> tuple[int, list[str]]:
        """How many rows are undecided, and the ids of those that are in no open wave."""
        undecided = {
            key
            for key, (wave, n) in self._places.items()
            if not (w := self._waves[wave]).decided and w.rows[n].outcome == "released"
        }
        awaited = {
            bytes.fromhex(branch.space.id_of(position, rung))
            for (_, _, rung), (branch, positions) in self._open.items()
            for position in (positions if branch is not None else ())
            if branch is not None
        }
        return len(undecided), sorted(key.hex() for key in undecided - awaited)

    def candidates(self) -> pa.Table:
        """The rows, in the order in which their waves were released, positions ascending."""
        return pa.Table.from_batches([wave.batch() for wave in self._waves], candidate_schema())

    # ---- picks, stitches, deliveries -------------------------------------------------------------------------------

    def has(self, table: str) -> bool:
        """Whether there are rows for a table."""
        return bool(self._waves or self.at_rest if table == "candidates" else self._listed[table])

    def listed(self, table: str) -> pa.Table:
        """The rows of one of the small tables, in the order of events."""
        return pa.Table.from_pylist(self._listed[table], schema_of(table))

    def record(self, event: OrderGiven | StitchPlanned | StitchEnded, show: str, epoch: int) -> tuple[str, ...]:
        """Change the small tables by one event; the tables that changed."""
        if isinstance(event, OrderGiven):
            self._listed["orders"].append(order_row(event, show, epoch))
            return ("orders", *self._order(event, show))
        if isinstance(event, StitchPlanned):
            self._listed["stitches"].append(
                {
                    "stitch_id": event.stitch_id,
                    "batch": self.batch,
                    "show": show,
                    "shot": self.name,
                    "generation": event.generation,
                    "version": event.version,
                    "picked": event.picked,
                    "chain": list(event.chain),
                    "state": "planned",
                    "seams": [],
                    "bad_pair": [],
                    "message": "",
                    "planned_at": round(event.at * 1e6),
                }
            )
            return ("stitches",)
        return self._stitched(event, show)

    def _order(self, event: OrderGiven, show: str) -> tuple[str, ...]:
        picks = self._listed["picks"]
        if event.order == "pick":
            found = None if event.stage else self.find(event.candidate_id)
            picks.append(
                {
                    "candidate_id": event.candidate_id,
                    "batch": self.batch,
                    "show": show,
                    "shot": self.name,
                    "stage": event.stage or (found[0].stage if found else ""),
                    "who": event.who,
                    "note": event.note,
                    "at": round(event.at * 1e6),
                    "withdrawn_at": None,
                }
            )
            return ("picks",)
        if event.order == "unpick":
            standing = [
                pick
                for pick in picks
                if (pick["candidate_id"], pick["who"], pick["withdrawn_at"]) == (event.candidate_id, event.who, None)
            ]
            for pick in standing:
                pick["withdrawn_at"] = round(event.at * 1e6)
            return ("picks",) if standing else ()
        if event.order == "restore" and (found := self.find(event.candidate_id)) is not None:
            wave, number = found
            branch = wave.branch
            full = event.candidate_id if branch is None else branch.space.id_of(wave.positions[number], "full")
            self._restored[full] = event.who
        return ()

    def _stitched(self, event: StitchEnded, show: str) -> tuple[str, ...]:
        for row in self._listed["stitches"]:
            if (row["stitch_id"], row["version"]) == (event.stitch_id, event.version) and row["state"] != "done":
                row["state"] = "done" if event.ok else "failed"
                row["frames"] = event.frames
                row["seams"] = [list(seam.items()) for seam in event.seams]
                row["bad_pair"] = list(event.bad_pair or ())
                row["seconds"], row["message"] = event.seconds, event.message
                row["finished_at"] = round(event.at * 1e6)
                break
        else:
            return ()
        if not event.ok:
            return ("stitches",)
        for kind in sorted(event.files):
            self._listed["deliveries"].append(
                {
                    "batch": self.batch,
                    "show": show,
                    "shot": self.name,
                    "version": event.version,
                    "picked": row["picked"],
                    "stitch_id": event.stitch_id,
                    "kind": kind,
                    "path": event.files[kind],
                    "sha256": event.sha256.get(kind),
                    "frames": event.frames,
                    "rate": self.rate,
                    "delivered_at": round(event.at * 1e6),
                }
            )
        return ("stitches", "deliveries")


def order_row(event: OrderGiven, show: str, epoch: int) -> dict[str, Any]:
    """An order as a row of its table."""
    says = {
        "more": f"{event.candidates} more",
        "retry": f"rejected by {event.filter}" if event.filter else event.cause,
        "pause": until(event.until),
        "priority": ", ".join(
            part for part in (event.priority, "" if event.weight is None else f"weight {event.weight:g}") if part
        ),
    }
    return {
        "at": round(event.at * 1e6),
        "who": event.who,
        "order": event.order,
        "batch": event.batch,
        "show": show,
        "shot": event.shot or None,
        "stage": event.stage or None,
        "candidate_id": event.candidate_id or None,
        "says": says.get(event.order, ""),
        "note": event.note,
        "order_id": event.order_id or None,
        "epoch": epoch,
    }
