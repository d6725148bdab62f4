"""Tells which events of a batch the store does not hold yet.

They are looked up by a 64-bit hash of (team_id, uuid), eight bytes a stored event. That the store knows a hash is only
a suspicion: such events are looked at again by the ids themselves.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.events import ledger

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
#: How often it is looked what was committed longer ago than is asked for.
_FORGETS_SECONDS = 3600.0
#: Bytes of events that are handed on at once.
_PIECE_BYTES = 4 * 1024 * 1024


class NewEvents:
    """Selects the new events of a batch, within the turn of a commit: it is then that nothing else comes in.

    Of use to one process for all its commits, for it reads each hash of the store only once.
    """

    def __init__(
        self, folder: Path, run: int = _RUN, within: dt.timedelta | None = None, *, remote: bool = False
    ) -> None:
        """`folder`: for temporary files, which have no name and end with the process; `run`: hashes in memory.

        `within`: only of events that were committed so lately it is known that they are there. `remote`: to open a file
        of the store takes a request to elsewhere.
        """
        self._folder, self._run, self.within, self._remote = folder, run, within, remote
        self._full: list[tuple[int, Hashes]] = []  # each with its newest snapshot
        self._open: Hashes = np.empty(0, np.uint64)
        self._upto = self._forgotten = 0
        self._forgets_at = 0.0
        self._began: tuple[dt.datetime, float] | None = None
        self._asked = self._sorted = False
        self._guard = threading.Lock()

    def catch_up(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Learn what the store holds, before the turn, if that is not known: of a large one it takes long, and others
        commit meanwhile."""
        with self._guard:
            if self._asked and not self._sorted:
                self._forget(cursor)
                self._refresh(cursor)

    def select(self, cursor: duckdb.DuckDBPyConnection, events: pa.Table) -> pa.Table:
        """The prepared events that are new to the store, numbered from 0 on (`n`)."""
        if events.num_rows == 0:
            return events
        hashes = events["uuid_hash"].to_numpy()
        with self._guard:
            self._forget(cursor)
            known = self._known(cursor, hashes)
        suspects = np.flatnonzero(known)
        if len(suspects):
            ids = events.select(["team_id", "uuid", "uuid_hash"]).append_column("n", _count(events.num_rows))
            cursor.register("suspects", ids.take(suspects))
            events = _without(events, self._stored(cursor, "suspects", "uuid_hash, uuid, team_id"))
        return events.append_column("n", _count(events.num_rows).cast(pa.int32()))

    def remember(self, cursor: duckdb.DuckDBPyConnection, committed: pa.Table) -> None:
        """Take in what was selected and is committed now, so that it need not be read."""
        newest = ledger.newest(cursor)
        with self._guard:
            if self._sorted and newest == self._upto + 1:  # else somebody else's commits are among the new ones
                self._add(np.sort(committed["uuid_hash"].to_numpy()), newest)
                self._upto = newest

    def _known(self, cursor: duckdb.DuckDBPyConnection, hashes: Hashes) -> Flags:
        """For each of these hashes, whether the store holds an event with it."""
        known = np.zeros(len(hashes), np.bool_)
        if not self._asked:  # for one commit alone, sorting all that the store holds takes longer
            self._asked = True
            cursor.register("hashes", pa.table({"n": np.arange(len(hashes)), "uuid_hash": hashes}))
            known[self._stored(cursor, "hashes", "uuid_hash")] = True
            return known
        self._refresh(cursor)
        order = np.argsort(hashes)
        ordered = hashes[order]
        for run in (*(run for _, run in self._full), self._open):
            if len(run):
                places = np.minimum(np.searchsorted(run, ordered), len(run) - 1)
                known[order] |= run[places] == ordered
        return known

    def _stored(self, cursor: duckdb.DuckDBPyConnection, asked: str, by: str) -> npt.NDArray[np.int64]:
        """The numbers of those that the store has."""
        # Materialized: DuckDB would hand the ends of the hashes to Arrow's scan, which takes none that has 64 bits.
        return _numbers(
            cursor,
            f"WITH asked AS MATERIALIZED (FROM {asked}), "
            f"stored AS (SELECT {by} FROM lake.events WHERE snapshot_id > {self._forgotten}) "
            f"SELECT n FROM asked SEMI JOIN stored USING ({by})",
        )

    def _forget(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """What was committed longer ago, now and then."""
        if self.within is None or monotonic() < self._forgets_at:
            return
        older = "SELECT max(snapshot_id) FROM lake.commits WHERE committed_at < ?"
        self._forgotten = int(cursor.execute(older, [self._time(cursor) - self.within]).fetchall()[0][0] or 0)
        self._full = [(upto, run) for upto, run in self._full if upto > self._forgotten]
        self._upto = max(self._upto, self._forgotten)
        self._forgets_at = monotonic() + _FORGETS_SECONDS

    def _time(self, cursor: duckdb.DuckDBPyConnection) -> dt.datetime:
        """What time it is, by no clock alone: one that jumps ahead would have all forgotten.

        When this began, it was what the clock said, or the time of the newest commit if that is earlier; it goes on
        from there.
        """
        if self._began is None:
            newest = cursor.execute("SELECT max(committed_at) FROM lake.commits").fetchall()[0][0]
            self._began = min(ledger.now(), newest or ledger.now()), monotonic()
        wall, began = self._began
        return wall + dt.timedelta(seconds=monotonic() - began)

    def _refresh(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Take in what the commits of this and of other processes have brought since the last time."""
        newest = ledger.newest(cursor)
        if newest > self._upto:
            where = ledger.snapshots(self._upto, newest)
            if self._remote and self._upto:
                where = ledger.between(cursor, self._upto, newest)
            since = f"SELECT uuid_hash FROM lake.events WHERE {where}"
            for batch in cursor.execute(since).to_arrow_reader(self._run):
                self._add(np.sort(batch.column(0).to_numpy()), newest)
            self._upto = newest
        self._sorted = True

    def _add(self, hashes: Hashes, upto: int) -> None:
        """Add a sorted run, of snapshots up to that one. Two are merged in one pass by this kind of sort."""
        merged = np.concatenate([self._open, hashes])
        merged.sort(kind="stable")
        if len(merged) >= self._run:
            self._full.append((upto, self._in_file(merged)))
            merged = np.empty(0, np.uint64)
        self._open = merged

    def _in_file(self, run: Hashes) -> Hashes:
        with tempfile.TemporaryFile(dir=self._folder) as file:
            file.write(run.tobytes())
            file.flush()
            return np.memmap(file, np.uint64, mode="r")


def prepared(cursor: duckdb.DuckDBPyConnection, events: pa.Table) -> pa.Table:
    """Events, each (team_id, uuid) once, with their `uuid_hash` and `bytes`. Asks nothing of the store."""
    if events.num_rows == 0:
        return events
    ids = events.select(["team_id", "uuid"]).append_column("n", _count(events.num_rows))
    cursor.register("ids", ids)
    numbers, values = cursor.execute(f"SELECT n, {_HASH} FROM ids").to_arrow_table().columns
    hashes = np.empty(events.num_rows, np.uint64)
    hashes[numbers.to_numpy()] = values.to_numpy()
    sizes = functools.reduce(pc.add, (pc.fill_null(pc.binary_length(events[name]), 0) for name in _SIZED))
    events = events.append_column("uuid_hash", pa.array(hashes)).append_column("bytes", sizes.cast(pa.int64()))
    return _once(cursor, events)


def joined(cursor: duckdb.DuckDBPyConnection, parts: Sequence[pa.Table]) -> pa.Table:
    """Several prepared tables as one, each (team_id, uuid) once."""
    found = [part for part in parts if part.num_rows]
    return _once(cursor, pa.concat_tables(found)) if len(found) > 1 else (found or parts)[0]


def _once(cursor: duckdb.DuckDBPyConnection, events: pa.Table) -> pa.Table:
    hashes = events["uuid_hash"].to_numpy()
    if len(np.unique(hashes)) == len(hashes):
        return events
    cursor.register("ids", events.select(["team_id", "uuid"]).append_column("n", _count(events.num_rows)))
    twice = "SELECT n FROM ids QUALIFY row_number() OVER (PARTITION BY team_id, uuid ORDER BY n) > 1"
    return _without(events, _numbers(cursor, twice))


def in_pieces(events: pa.Table) -> pa.Table:
    """The same, in record batches of not many bytes: DuckDB hands on, and copies, up to 2,048 rows of one at once."""
    if events.nbytes <= _PIECE_BYTES:
        return events
    piece = np.cumsum(events["bytes"].to_numpy()) // _PIECE_BYTES
    starts = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), events.num_rows]
    slices = (events.slice(start, end - start) for start, end in itertools.pairwise(starts))
    return pa.Table.from_batches([batch for part in slices for batch in part.to_batches()])


def _count(rows: int) -> pa.Array:
    return pa.array(np.arange(rows))


def _without(events: pa.Table, numbers: npt.NDArray[np.int64]) -> pa.Table:
    if not len(numbers):
        return events
    left = np.ones(events.num_rows, np.bool_)
    left[numbers] = False
    return events.filter(pa.array(left))


def _numbers(cursor: duckdb.DuckDBPyConnection, query: str) -> npt.NDArray[np.int64]:
    return np.asarray(cursor.execute(query).to_arrow_table().column(0).to_numpy(), np.int64)
