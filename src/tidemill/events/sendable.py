"""Rows in the types that write streams take, made fit: what cannot be sent is told with its reason.

A JSON column takes text here ("Storage Write API": supported data types, Arrow), which must fit BigQuery's JSON type:
rows that may not are taken apart in Python (see json_repair).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import RowError
from tidemill.events import json_repair, row_sizes
from tidemill.events.chunks import RejectedRow
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

#: What goes into a column of each type ("Storage Write API": supported data types, Arrow).
_TYPES: dict[Type, pa.DataType] = {
    Type.STRING: pa.string(),
    Type.INT64: pa.int64(),
    Type.FLOAT64: pa.float64(),
    Type.NUMERIC: pa.decimal128(38, 9),
    Type.BIGNUMERIC: pa.decimal256(76, 38),
    Type.BOOL: pa.bool_(),
    Type.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Type.DATE: pa.date32(),
    Type.DATETIME: pa.timestamp("us"),
    Type.JSON: pa.string(),
}
_RAW = 1000  # characters of a row that is set aside


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows that can be sent, and those that cannot.

    `sizes`: bytes of each row; `teams`, `ids`: what names it; `changes`, `numbers`: its place in the order of rows (of
    sources that have one). `repaired`: how many were changed to fit the JSON type.
    """

    batch: pa.RecordBatch
    sizes: Numbers
    teams: pa.Array
    ids: pa.Array
    changes: Numbers
    numbers: Numbers
    rejected: tuple[RejectedRow, ...]
    repaired: int

    def slice(self, start: int, end: int) -> Rows:
        """Those from `start` up to before `end`; nothing is copied, and none of them is set aside."""
        return dataclasses.replace(
            self,
            batch=self.batch.slice(start, end - start),
            sizes=self.sizes[start:end],
            teams=self.teams.slice(start, end - start),
            ids=self.ids.slice(start, end - start),
            changes=self.changes[start:end],
            numbers=self.numbers[start:end],
            rejected=(),
            repaired=0,
        )

    def without(self, places: Sequence[int]) -> Rows:
        """All but those at these places; none of them is set aside."""
        left = np.ones(len(self.sizes), np.bool_)
        left[list(places)] = False
        mask = pa.array(left)
        return dataclasses.replace(
            self,
            batch=self.batch.filter(mask),
            sizes=self.sizes[left],
            teams=self.teams.filter(mask),
            ids=self.ids.filter(mask),
            changes=self.changes[left],
            numbers=self.numbers[left],
            rejected=(),
            repaired=0,
        )

    def rejects(self, places: Sequence[tuple[int, str]], code: str) -> tuple[RejectedRow, ...]:
        """The rows at these places, each with why it is set aside."""
        text = next((name for name in ("properties", "event_properties") if name in self.batch.schema.names), None)
        found = []
        for place, why in places:
            raw = str(self.batch.column(text)[place].as_py() or "")[:_RAW] if text else ""
            found.append(RejectedRow(self.teams[place].as_py(), self.ids[place].as_py(), code, why, raw))
        return tuple(found)


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of these columns."""
    kinds = ((c, _TYPES[c.type]) for c in columns)
    return pa.schema([pa.field(c.name, pa.list_(kind) if c.repeated else kind) for c, kind in kinds])


def fit(found: pa.RecordBatch, columns: Sequence[Column], limit: int) -> Rows:
    """The rows of an answer, in the types of the columns."""
    nothing = np.zeros(found.num_rows, np.int64)
    placed = "row_change" in found.schema.names
    wanted = schema(columns)
    rows = Rows(
        batch=pa.RecordBatch.from_arrays(
            [found.column(field.name).cast(field.type) for field in wanted], schema=wanted
        ),
        sizes=nothing,
        teams=found.column("row_team"),
        ids=found.column("row_id"),
        changes=found.column("row_change").to_numpy() if placed else nothing,
        numbers=found.column("row_number").to_numpy().astype(np.int64) if placed else nothing,
        rejected=(),
        repaired=0,
    )
    suspects = np.flatnonzero(found.column("row_suspect").to_numpy(zero_copy_only=False))
    rejected: list[RejectedRow] = []
    repaired = 0
    if len(suspects):
        rows, rejected, repaired = _repaired(rows, suspects.tolist(), columns)
    rows = dataclasses.replace(rows, sizes=row_sizes.of(rows.batch))
    if (large := np.flatnonzero(rows.sizes > limit)).size:
        why = [(int(n), f"The row has {rows.sizes[n]:,} bytes; the limit is {limit:,}.") for n in large]
        rejected += rows.rejects(why, "row_too_large")
        rows = rows.without([place for place, _ in why])
    return dataclasses.replace(rows, rejected=tuple(rejected), repaired=repaired)


def _repaired(rows: Rows, suspects: list[int], columns: Sequence[Column]) -> tuple[Rows, list[RejectedRow], int]:
    """The rows with the texts of suspects made fit; those that cannot be; and how many were changed."""
    changed: set[int] = set()
    wrong: dict[int, RowError] = {}
    arrays = list(rows.batch.columns)
    for at, column in enumerate(columns):
        if column.type is not Type.JSON:
            continue
        texts = {}
        for place in suspects:
            value = arrays[at][place].as_py()
            try:
                repaired = json_repair.repair(value) if value is not None else None
            except RowError as error:
                wrong.setdefault(place, error)
                continue
            if repaired is not None and repaired.rules:
                changed.add(place)
                texts[place] = repaired.text
        if texts:
            mask = np.zeros(len(arrays[at]), np.bool_)
            mask[list(texts)] = True
            new = pa.array([texts[place] for place in sorted(texts)], pa.string())
            arrays[at] = pc.replace_with_mask(arrays[at], pa.array(mask), new)
    rows = dataclasses.replace(rows, batch=pa.RecordBatch.from_arrays(arrays, schema=rows.batch.schema))
    rejected = [one for place, error in wrong.items() for one in rows.rejects([(place, error.message)], error.code)]
    return (rows.without(list(wrong)) if wrong else rows), rejected, len(changed - wrong.keys())


def nothing_but(rejected: list[RejectedRow], columns: Sequence[Column]) -> Rows:
    """No rows, but those that are set aside."""
    nothing, texts = np.zeros(0, np.int64), pa.array([], pa.string())
    batch = pa.RecordBatch.from_pylist([], schema(columns))
    return Rows(batch, nothing, pa.array([], pa.int64()), texts, nothing, nothing, tuple(rejected), 0)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several as one."""
    if len(parts) == 1:
        return parts[0]
    batches = pa.Table.from_batches([part.batch for part in parts]).combine_chunks().to_batches()
    return Rows(
        batch=batches[0] if batches else parts[0].batch,
        sizes=np.concatenate([part.sizes for part in parts]),
        teams=_concatenated([part.teams for part in parts]),
        ids=_concatenated([part.ids for part in parts]),
        changes=np.concatenate([part.changes for part in parts]),
        numbers=np.concatenate([part.numbers for part in parts]),
        rejected=tuple(row for part in parts for row in part.rejected),
        repaired=sum(part.repaired for part in parts),
    )


def _concatenated(arrays: Sequence[pa.Array]) -> pa.Array:
    """One of several; those that are not of the last one's type (of no rows, or texts of another width) become so."""
    return pa.concat_arrays([array.cast(arrays[0].type) for array in arrays])
