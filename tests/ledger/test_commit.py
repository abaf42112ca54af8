import io

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit, encode_commit, number_of
from ancestra_farm.ledger.errors import LogDamaged
from ancestra_farm.plan.events import AttemptEnded, Event
from tests.ledger.samples import ATTEMPTS, EVENTS, pick

PREVIOUS = "ab" * 32


def encoded(events: tuple[Event, ...], number: int = 7) -> bytes:
    return encode_commit(events, number=number, epoch=3, nonce="n" * 32, previous=PREVIOUS, at=1e9 + 0.123456)[0]


@given(EVENTS)
@settings(max_examples=60, deadline=None)
def test_a_commit_is_read_as_it_was_written(events: tuple[Event, ...]):
    data, digest = encode_commit(events, number=7, epoch=3, nonce="n" * 32, previous=PREVIOUS, at=1.25)
    read = decode_commit(commit_path(7), data)
    assert read == Commit(7, 3, "n" * 32, 1.25, events, digest, PREVIOUS)


@given(st.lists(ATTEMPTS, min_size=1, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_any_flipped_bit_is_found(attempts: list[AttemptEnded], random):
    data = bytearray(encoded((pick("ann"), *attempts)))
    for _ in range(40):
        bit = random.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LogDamaged, match=r"log/00000007\.parquet"):
            decode_commit(commit_path(7), bytes(data))
        data[bit // 8] ^= 1 << bit % 8
    decode_commit(commit_path(7), bytes(data))


def test_a_file_cut_short_anywhere_is_found():
    data = encoded((pick("ann"),))
    for length in range(len(data)):
        with pytest.raises(LogDamaged, match=r"cut short|changed"):
            decode_commit(commit_path(7), data[:length])


def test_something_put_after_the_end_is_found():
    with pytest.raises(LogDamaged):
        decode_commit(commit_path(7), encoded((pick("ann"),)) + b"PAR1")


def test_a_text_that_looks_like_a_seal_does_no_harm():
    text = "ancestra.seal sha256:" + "0" * 64 + " PAR1"
    events = (pick(text, text),)
    assert decode_commit(commit_path(7), encoded(events)).events == events


def test_a_renamed_commit_is_found():
    with pytest.raises(LogDamaged, match="holds commit 7: it has been renamed"):
        decode_commit(commit_path(8), encoded((pick("ann"),)))


def test_a_later_schema_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ancestra_farm.ledger.commit.SCHEMA_VERSION", 2)
    data = encoded((pick("ann"),))
    monkeypatch.undo()
    with pytest.raises(LogDamaged, match="schema version 2"):
        decode_commit(commit_path(7), data)


def test_an_unknown_kind_of_event_is_damage_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ancestra_farm.ledger.commit.encode_event", lambda event: ("Other", "{}"))
    data = encoded((pick("ann"),))
    monkeypatch.undo()
    with pytest.raises(LogDamaged, match=r"log/00000007.*EventUnreadable"):
        decode_commit(commit_path(7), data)


def test_the_rows_need_not_be_read_to_check_a_commit():
    assert decode_commit(commit_path(7), encoded((pick("ann"),)), events=False).events == ()


def test_pages_carry_checksums_of_their_own():
    """Also for readers that know nothing of seals: no flipped bit in the data reads back as other rows."""
    data = encoded((pick("ann"),))
    rows = pq.read_table(io.BytesIO(data))
    messages = set()
    for offset in range(4, pq.read_metadata(io.BytesIO(data)).row_group(0).column(4).total_compressed_size):
        damaged = bytearray(data)
        damaged[offset] ^= 1
        try:
            assert pq.read_table(io.BytesIO(bytes(damaged)), page_checksum_verification=True) == rows
        except (OSError, pa.ArrowException) as error:
            messages.add(str(error))
    assert any("CRC checksum" in message for message in messages)


def test_an_attempt_of_an_older_version_takes_defaults_for_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    from ancestra_farm.ledger import commit

    attempt = AttemptEnded("b", "s/still/0", 1, "full", "0" * 32, "judged", True, 1.0, of=9)
    fields = [field for field in commit._ATTEMPT if field.name != "of"]

    monkeypatch.setattr(commit, "_ATTEMPT", pa.struct(fields))
    monkeypatch.setattr(
        commit, "_COLUMNS_WITH_ATTEMPTS", commit._COLUMNS.append(pa.field("attempt", pa.struct(fields)))
    )
    data = encoded((attempt,))
    monkeypatch.undo()
    (read,) = decode_commit(commit_path(7), data).events
    assert isinstance(read, AttemptEnded)
    assert read.of == 1
    assert read.candidate_id == attempt.candidate_id


def test_duckdb_reads_a_commit(tmp_path):
    attempt = AttemptEnded("b", "s/still/0", 1, "full", "0" * 32, "judged", True, 1.0, scores={"quality": 0.5})
    path = tmp_path / "commit.parquet"
    path.write_bytes(encoded((pick("ann"), attempt)))
    found = duckdb.sql(f"select seq, kind, attempt.candidate_id, body from '{path}' order by seq").fetchall()
    assert found[0][:3] == (0, "OrderGiven", None)
    assert found[1] == (1, "AttemptEnded", "0" * 32, None)


@pytest.mark.parametrize(
    "path", ["log/1.parquet", "log/00000001.parquet.bak", "00000001.parquet", "log/x/00000001.parquet"]
)
def test_other_names_are_no_commits(path: str):
    assert number_of(path) is None


@given(st.integers(1, 99_999_999))
def test_names_and_numbers_go_together(number: int):
    assert number_of(commit_path(number)) == number
