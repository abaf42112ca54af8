"""Parquet files whose every byte is vouched for: commits, packs and snapshots are written and checked here.

Every page carries a checksum. Parquet's own footer has none, so the whole file is sealed besides: the footer ends in
the SHA-256 of the file with that digest taken as zeros. Nothing of a file is parsed before its seal is checked.
What the columns mean is not known here.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from ancestra_farm.ledger.errors import LogDamaged

_SEAL = b"sha256:"
_UNSEALED = _SEAL + b"0" * 64
_SEALED = re.compile(rb"sha256:[0-9a-f]{64}")


def sealed(table: pa.Table, facts: Mapping[str, str], *, rows_per_group: int | None = None) -> tuple[bytes, str]:
    """A Parquet file of the table, ``facts`` in its footer, and its digest: SHA-256 (hex) with the seal zeroed."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer, table.schema, compression="zstd", write_page_checksum=True, store_schema=False, write_statistics=False
    ) as writer:
        writer.write_table(table, row_group_size=rows_per_group)
        writer.add_key_value_metadata(dict(facts))
        # The seal comes last, so that it is the last of its form in the file whatever the rows say.
        writer.add_key_value_metadata({"ancestra.seal": _UNSEALED.decode()})
    data = bytearray(buffer.getvalue())
    digest = hashlib.sha256(data).hexdigest()
    place = data.rfind(_UNSEALED)
    data[place : place + len(_UNSEALED)] = _SEAL + digest.encode()
    return bytes(data), digest


def check_seal(path: str, data: bytes, what: str = "a commit") -> str:
    """The digest that the seal states, after checking that it is true. Raises LogDamaged naming the file."""
    place = data.rfind(b"ancestra.seal")
    match = _SEALED.search(data, place) if place >= 0 else None
    if match is None or not data.endswith(b"PAR1"):
        raise LogDamaged(f"{path} is cut short or is not {what}: its seal is missing ({len(data)} bytes)")
    stated = match[0][len(_SEAL) :].decode()
    state = hashlib.sha256(memoryview(data)[: match.start()])
    state.update(_UNSEALED)
    state.update(memoryview(data)[match.end() :])
    if state.hexdigest() != stated:
        raise LogDamaged(
            f"{path} has been changed since it was written: its digest is {state.hexdigest()}, not {stated}"
        )
    return stated


@contextmanager
def unsealed(data: bytes) -> Iterator[tuple[pq.ParquetFile, dict[str, str]]]:
    """A file whose seal was checked, open for reading, and its facts.

    Read it with ``use_threads=False``: a thread of Arrow's that holds the Python file when the interpreter ends aborts
    the process.
    """
    with pq.ParquetFile(io.BytesIO(data), pre_buffer=False, page_checksum_verification=True) as file:
        yield file, {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
