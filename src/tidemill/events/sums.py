"""Fingerprints: how many rows there are of each day, and a checksum of their ids, to be held against a table elsewhere.

The checksum is the XOR of the first 60 bits of the MD5 of each id, a number that BigQuery finds by the same rule.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.events.lake import Lake


@dataclasses.dataclass(frozen=True)
class Sum:
    """What there is of a day (UTC); of all that there is, if `day` is None. `checksum` is 0 if `rows` is."""

    day: dt.date | None
    rows: int
    checksum: int


def sums(
    lake: Lake,
    rows: str,
    columns: Sequence[str],
    day_of: str | None,
    without: Collection[tuple[int, str]],
) -> list[Sum]:
    """The fingerprints of the rows, days in order.

    `rows`: their SELECT, as a source gives it. `columns`: of which an id is made, a key first. `day_of`: the column of
    time by which rows are told apart, if any.
    `without`: `row_team` and `row_id` of rows that do not count.
    """
    ids = " || ':' || ".join(f'"{name}"::VARCHAR' for name in columns)
    day = f"timezone('UTC', \"{day_of}\")::DATE" if day_of else "NULL::DATE"
    query = f"SELECT {day} AS day, {ids} AS id FROM ({rows}) ANTI JOIN without USING (row_team, row_id)"
    digest = "('0x' || left(md5(id), 15))::BIGINT"
    with lake.cursor() as cursor:
        import pyarrow as pa  # 50 ms

        teams, names = [team for team, _ in without], [name for _, name in without]
        cursor.register(
            "without", pa.table({"row_team": pa.array(teams, pa.int64()), "row_id": pa.array(names, pa.string())})
        )
        found = cursor.execute(
            f"SELECT day, count(*), bit_xor({digest}) FROM ({query}) GROUP BY day ORDER BY day"
        ).fetchall()
    return [Sum(day, rows, checksum) for day, rows, checksum in found]
