"""The columns of the tables: a public contract, with a sentence for each.

``tables/<name>/part-*.parquet`` have exactly these columns in this order; each file carries the sentences as field
metadata. ``python -m ancestra_farm.ledger.columns`` prints them for the README. Columns are added at the end, never
renamed or re-used.
"""

import sys
from collections.abc import Mapping

import pyarrow as pa

#: The tables of a store.
TABLES = ("candidates", "picks", "stitches", "deliveries", "orders")

_TEXT = pa.string()
_TEXTS = pa.list_(pa.string())
_NUMBER = pa.float64()
_COUNT = pa.int32()
_WHEN = pa.timestamp("us", tz="UTC")
_SCORES = pa.map_(pa.string(), pa.float64())

_Columns = tuple[tuple[str, pa.DataType, bool, str], ...]

#: name, type, may be null, what it says
_CANDIDATES: _Columns = (
    ("candidate_id", _TEXT, False, "32 hex digits, from the recipe alone; with `batch` the key of this table"),
    ("batch", _TEXT, False, "name of the batch that released it"),
    ("show", _TEXT, False, "the show of that batch"),
    ("shot", _TEXT, False, "the shot it was made for"),
    ("stage", _TEXT, False, "the stage of the shot"),
    ("segment", _COUNT, False, "segment of the stage, from 0"),
    ("variant", _TEXT, False, "8 hex digits of the wording"),
    ("index", pa.int64(), False, "number within the variant, from 0"),
    ("seed", pa.int64(), False, "seed of the generator, 0 to 2⁶³−1"),
    ("rung", _TEXT, False, "`draft` or `full`; a draft is a candidate of its own"),
    ("model", _TEXT, False, "id of the model card"),
    ("model_digest", _TEXT, False, "digest of what of the card makes the picture"),
    ("look", _TEXT, True, "digest of the look, null without one"),
    ("prompt", _TEXT, False, "the wording, axes filled in"),
    ("parents", _TEXTS, False, "candidate ids it starts from, in the order the role wants them"),
    (
        "outcome",
        _TEXT,
        False,
        (
            "`released` (nothing decided yet), `survivor`, `rejected`, `failed`, `quarantined`, `lost`, `skipped`; "
            "a passing draft ends as `promoted` or `not_promoted`"
        ),
    ),
    ("reasons", _TEXTS, False, "filters that rejected it, `duplicate`, `restored by NAME`, or why it was given up"),
    ("judged_in_full", pa.bool_(), False, "every filter ran, whatever the first ones said: the unbiased sample"),
    ("full_sample", _NUMBER, False, "fraction of the stage's candidates in that sample, 0 to 1"),
    ("scores", _SCORES, False, "score by name, of the filters that ran"),
    ("media", _TEXT, True, "path in the store of the still or clip; null where none was kept"),
    ("thumbnail", _TEXT, True, "path of the thumbnail sheet with `#xywh=x,y,w,h` in pixels"),
    ("generate_s", _NUMBER, True, "seconds its frames took, in the attempt that was judged"),
    ("judge_s", _NUMBER, True, "seconds its filters took, in that attempt"),
    ("device_s", _NUMBER, False, "seconds devices were held for it, over all attempts"),
    ("host", _TEXT, True, "host of the last attempt"),
    ("attempts", _COUNT, False, "attempts that ended, whatever their end"),
    ("epoch", pa.int64(), False, "epoch under which it last changed"),
    ("finished_at", _WHEN, True, "when its last attempt ended"),
    ("message", _TEXT, False, "what the last failed attempt said"),
    ("passed", pa.bool_(), True, "verdict of the filters; null until judged"),
    ("duplicate_of", _TEXT, True, "the earlier survivor that it resembles too closely"),
    ("branch", _TEXT, False, "where it was first released: shot, stage, segment and round"),
    ("position", pa.int64(), False, "number within that branch, from 0"),
    ("wave", _COUNT, False, "wave in which it was first released"),
    ("width", _COUNT, False, "pixels"),
    ("height", _COUNT, False, "pixels"),
    ("frames", _COUNT, False, "frames generated, context frames included; 1: a still"),
    ("phash", pa.uint64(), True, "64-bit perceptual hash of the frame that stands for it"),
    ("released_at", _WHEN, False, "when it was first released"),
)

_PICKS: _Columns = (
    ("candidate_id", _TEXT, False, "the candidate that was picked"),
    ("batch", _TEXT, False, "its batch"),
    ("show", _TEXT, False, "its show"),
    ("shot", _TEXT, False, "its shot"),
    ("stage", _TEXT, False, "its stage"),
    ("who", _TEXT, False, "the person who picked; picks are per person"),
    ("note", _TEXT, False, "what they noted"),
    ("at", _WHEN, False, "when"),
    ("withdrawn_at", _WHEN, True, "when the same person took it back; null: it stands"),
)

_STITCHES: _Columns = (
    ("stitch_id", _TEXT, False, "digest of the ordered inputs and the settings"),
    ("batch", _TEXT, False, "its batch"),
    ("show", _TEXT, False, "its show"),
    ("shot", _TEXT, False, "its shot"),
    ("generation", _COUNT, False, "round of the shot, from 0"),
    ("version", _TEXT, False, "`v001`, … of picked shots, else `auto-…`"),
    ("picked", pa.bool_(), False, "whether people picked the chain"),
    ("chain", _TEXTS, False, "candidate id of each segment, in order"),
    ("state", _TEXT, False, "`planned`, `done` or `failed`"),
    ("frames", _COUNT, True, "frames of the result"),
    ("seams", pa.list_(_SCORES), False, "scores of each seam, by name"),
    ("bad_pair", _TEXTS, False, "neighbours whose seam failed; empty otherwise"),
    ("seconds", _NUMBER, True, "seconds the stitch took"),
    ("message", _TEXT, False, "what went wrong"),
    ("planned_at", _WHEN, False, "when its version was allocated"),
    ("finished_at", _WHEN, True, "when it was published, or failed"),
)

_DELIVERIES: _Columns = (
    ("batch", _TEXT, False, "its batch"),
    ("show", _TEXT, False, "its show"),
    ("shot", _TEXT, False, "its shot"),
    ("version", _TEXT, False, "the version that was published"),
    ("picked", pa.bool_(), False, "whether people picked it"),
    ("stitch_id", _TEXT, False, "the stitch that made it"),
    ("kind", _TEXT, False, "`mp4`, `master`, `otio`, `report`, …"),
    ("path", _TEXT, False, "path in the store"),
    ("sha256", _TEXT, True, "SHA-256 of the file, hex"),
    ("frames", _COUNT, False, "frames of the shot with both handles"),
    ("rate", _TEXT, False, "exact frames per second: `24`, `24000/1001`"),
    ("delivered_at", _WHEN, False, "when"),
)

_ORDERS: _Columns = (
    ("at", _WHEN, False, "when it was given"),
    ("who", _TEXT, False, "the person who gave it"),
    (
        "order",
        _TEXT,
        False,
        "`pick`, `unpick`, `close`, `restore`, `more`, `retry`, `pause`, `unpause`, `cancel` or `priority`",
    ),
    ("batch", _TEXT, False, "its batch"),
    ("show", _TEXT, False, "its show"),
    ("shot", _TEXT, True, "the shot it is about; null: the whole batch"),
    ("stage", _TEXT, True, "the stage it is about; null: every stage"),
    ("candidate_id", _TEXT, True, "the candidate it is about, if one"),
    (
        "says",
        _TEXT,
        False,
        "how many, which cause, which class, until when: `12 more`, `crash`, `dailies, weight 2`; else empty",
    ),
    ("note", _TEXT, False, "what they noted"),
    ("order_id", _TEXT, True, "the id its giver gave it"),
    ("epoch", pa.int64(), False, "epoch under which it was taken"),
)


def _schema(columns: _Columns) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable, {"doc": doc}) for name, kind, nullable, doc in columns])


_SCHEMAS: Mapping[str, pa.Schema] = {
    "candidates": _schema(_CANDIDATES),
    "picks": _schema(_PICKS),
    "stitches": _schema(_STITCHES),
    "deliveries": _schema(_DELIVERIES),
    "orders": _schema(_ORDERS),
}


def schema_of(table: str) -> pa.Schema:
    """The schema of a table, each field with its sentence under the metadata key ``doc``. Raises KeyError."""
    return _SCHEMAS[table]


def candidate_schema() -> pa.Schema:
    """One current row per released candidate."""
    return _SCHEMAS["candidates"]


def pick_schema() -> pa.Schema:
    """One row per pick, standing or withdrawn."""
    return _SCHEMAS["picks"]


def stitch_schema() -> pa.Schema:
    """One row per stitch that was planned."""
    return _SCHEMAS["stitches"]


def delivery_schema() -> pa.Schema:
    """One row per published file."""
    return _SCHEMAS["deliveries"]


def order_schema() -> pa.Schema:
    """One row per order that was taken."""
    return _SCHEMAS["orders"]


def markdown() -> str:
    """The tables' columns as Markdown."""
    lines = []
    for table in TABLES:
        lines += [f"### {table}", "", "| column | type | meaning |", "|---|---|---|"]
        for field in schema_of(table):
            doc = field.metadata[b"doc"].decode()
            lines.append(f"| `{field.name}` | `{_type_name(field)}` | {doc} |")
        lines.append("")
    return "\n".join(lines)


def _type_name(field: pa.Field) -> str:
    name = str(field.type).replace("<element: ", "<").replace("<item: ", "<").replace("double", "float64")
    return name.replace("timestamp[us, tz=UTC]", "timestamp[us, UTC]") + ("?" if field.nullable else "")


if __name__ == "__main__":
    sys.stdout.write(markdown())
