"""Tells which events of a batch the store does not hold yet.

They are looked up by a 64-bit hash of (team_id, uuid), eight bytes a stored event. That the store knows a hash is only
a suspicion: such events are looked at again by the ids themselves.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]
    Flags = npt.NDArray[np.bool_]

#: A hash that is the same in each version and on each machine: it is stored.
_HASH = "md5_number_lower(team_id::VARCHAR || ':' || uuid)"
#: The size of an event is the bytes of these.
_SIZED = ("uuid", "event", "properties", "distinct_id", "set", "set_once", "elements")
#: How many hashes are sorted in memory at most; longer runs of them are kept in files, which the system caches.
_RUN = 4_000_000


class NewEvents:
    """Selects the new events of a batch. To be used within the turn of a commit: it is then that nothing else comes in.

    Of use to one process for all its commits, for it reads each hash of the store only once.
    """

    def __init__(self, folder: Path, run: int = _RUN) -> None:
        """`folder`: for temporary files, which have no name and end with the process; `run`: hashes in memory."""
        self._folder, self._run = folder, run
        self._full: list[Hashes] = []
        self._open: Hashes = np.empty(0, np.uint64)
        self._upto = 0
        self._asked = False

    def select(self, cursor: duckdb.DuckDBPyConnection, batch: pa.Table) -> pa.Table:
        """The rows that are new to the store, each (team_id, uuid) once, with their `uuid_hash`, `bytes` and `n`."""
        if batch.num_rows == 0:
            return batch
        ids = batch.select(["team_id", "uuid"]).append_column("n", pa.array(np.arange(batch.num_rows)))
        hashes = _hashes(cursor, ids)
        sizes = functools.reduce(pc.add, (pc.fill_null(pc.binary_length(batch[name]), 0) for name in _SIZED))
        batch = batch.append_column("uuid_hash", pa.array(hashes)).append_column("bytes", sizes.cast(pa.int64()))
        new = np.ones(batch.num_rows, np.bool_)
        suspects = np.flatnonzero(self._known(cursor, hashes))
        if len(suspects):
            cursor.register("suspects", ids.append_column("uuid_hash", pa.array(hashes)).take(suspects))
            stored = "SELECT n FROM suspects SEMI JOIN lake.events USING (uuid_hash, uuid, team_id)"
            new[_numbers(cursor, stored)] = False
        if len(np.unique(hashes)) < len(hashes):
            twice = "SELECT n FROM ids QUALIFY row_number() OVER (PARTITION BY team_id, uuid ORDER BY n) > 1"
            new[_numbers(cursor, twice)] = False
        batch = batch if new.all() else batch.filter(pa.array(new))
        return batch.append_column("n", pa.array(np.arange(batch.num_rows, dtype=np.int32)))

    def _known(self, cursor: duckdb.DuckDBPyConnection, hashes: Hashes) -> Flags:
        """For each of these hashes, whether the store holds an event with it."""
        known = np.zeros(len(hashes), np.bool_)
        if not self._asked:  # for one commit alone, sorting all that the store holds takes longer
            self._asked = True
            cursor.register("hashes", pa.table({"n": np.arange(len(hashes)), "uuid_hash": hashes}))
            known[_numbers(cursor, "SELECT n FROM hashes SEMI JOIN lake.events USING (uuid_hash)")] = True
            return known
        self._refresh(cursor)
        order = np.argsort(hashes)
        ordered = hashes[order]
        for run in (*self._full, self._open):
            if len(run):
                places = np.minimum(np.searchsorted(run, ordered), len(run) - 1)
                known[order] |= run[places] == ordered
        return known

    def _refresh(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Take in what the commits of this and of other processes have brought since the last time."""
        newest = cursor.execute("SELECT id FROM lake.current_snapshot()").fetchall()[0][0]
        since = "SELECT uuid_hash FROM lake.events WHERE snapshot_id > ? AND snapshot_id <= ?"
        for batch in cursor.execute(since, [self._upto, newest]).to_arrow_reader(self._run):
            # Sorted runs are merged in one pass by this kind of sort.
            merged = np.concatenate([self._open, np.sort(batch.column(0).to_numpy())])
            merged.sort(kind="stable")
            if len(merged) >= self._run:
                self._full.append(self._in_file(merged))
                merged = np.empty(0, np.uint64)
            self._open = merged
        self._upto = newest

    def _in_file(self, run: Hashes) -> Hashes:
        with tempfile.TemporaryFile(dir=self._folder) as file:
            file.write(run.tobytes())
            file.flush()
            return np.memmap(file, np.uint64, mode="r")


def _hashes(cursor: duckdb.DuckDBPyConnection, ids: pa.Table) -> Hashes:
    cursor.register("ids", ids)
    numbers, values = cursor.execute(f"SELECT n, {_HASH} FROM ids").to_arrow_table().columns
    hashes = np.empty(ids.num_rows, np.uint64)
    hashes[numbers.to_numpy()] = values.to_numpy()
    return hashes


def _numbers(cursor: duckdb.DuckDBPyConnection, query: str) -> npt.NDArray[np.int64]:
    return np.asarray(cursor.execute(query).to_arrow_table().column(0).to_numpy(), np.int64)
