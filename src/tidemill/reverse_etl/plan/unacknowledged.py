"""The rows of a run that were not acknowledged, as a file: they may be millions."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tidemill.reverse_etl.plan.port import Unacknowledged

_AT_ONCE = 10_000


@contextlib.contextmanager
def file(rows: Iterable[Unacknowledged]) -> Iterator[tuple[Path, int, str]]:
    """A Parquet file for the time of the block, how many rows it has, and a digest of them."""
    import pyarrow as pa  # 50 ms
    import pyarrow.parquet as pq

    texts = [(name, pa.string()) for name in ("key", "status", "code")]
    schema = pa.schema([*texts, ("unsure", pa.bool_()), ("message", pa.string())])
    number, digest, rest = 0, hashlib.sha256(), iter(rows)
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        path = Path(folder) / "unacknowledged.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while part := list(itertools.islice(rest, _AT_ONCE)):
                columns = [
                    [one.key for one in part],
                    [one.status for one in part],
                    [one.code for one in part],
                    [one.unsure for one in part],
                    [one.message for one in part],
                ]
                digest.update(repr(columns).encode())
                writer.write_batch(
                    pa.RecordBatch.from_arrays(
                        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
                    )
                )
                number += len(part)
        yield path, number, digest.hexdigest()
