"""The rows of a test upload: the newest that the export would send, written as a run writes them.

Nothing of the installation changes by that: no position, no run, and what would be set aside is only told.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import Cancelled, ConfigError
from tidemill.events import chunks
from tidemill.events.chunks import RejectedRow
from tidemill.events.sources.metadata import MetadataSource
from tidemill.events.sources.newest import Newest
from tidemill.events.sources.source import Selection
from tidemill.exports import selection
from tidemill.exports.spec import ExportSpec
from tidemill.exports.steps import send
from tidemill.exports.trial import texts
from tidemill.exports.trial.texts import Texts
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    from tidemill.events.sendable import Rows
    from tidemill.exports.work import Parts
    from tidemill.store.records import Export

#: So many are sent at most.
MOST = 100
#: To look for them may take so long: a query may be about all events there are.
WITHIN_SECONDS = 60.0
_MENDED = "Mend the query: TRY_CAST gives NULL for what cannot be cast. Nothing was sent."


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows on their way. `number`: of those of the export; if it is 0, one row without values goes in their place.

    `format`: of the file, for a load job; `requests`: for a write stream. `is_late`: they were not found in time.
    """

    number: int
    sent: tuple[Texts, ...]
    set_aside: tuple[RejectedRow, ...] = ()
    format: str = ""
    requests: tuple[Rows, ...] = ()
    is_late: bool = False
    #: There are events, of which nothing was made yet: who is who is found out by the first run.
    waits: bool = False


def prepare(parts: Parts, export: Export, columns: Sequence[Column], path: Path, *, by_streams: bool) -> Prepared:
    """Read the rows, and make of them what is sent: a file at `path`, or requests.

    Raises
    ------
    ConfigError
        The query of the export fails over the events that there are.
    """
    spec, end = ExportSpec.model_validate(export.spec), time.monotonic() + WITHIN_SECONDS

    def late() -> bool:
        return time.monotonic() > end

    source = parts.source(export)
    rows = Newest(source, MOST, spec.definition.versions, late)
    reading = _Reading(parts, rows, selection.of(spec, 0, source.position()), columns, late)
    try:
        found = reading.requests() if by_streams else reading.file(path)
    except Cancelled:
        found = Prepared(0, (), is_late=True)
    except ConfigError as error:
        raise ConfigError(error.code, error.message, hint=_MENDED, raw=error.raw) from None
    if found.sent:
        return found
    found = dataclasses.replace(found, waits=isinstance(source, MetadataSource) and parts.lake.position() > 0)
    return _without_values(found, columns, path, by_streams=by_streams)


@dataclasses.dataclass(frozen=True)
class _Reading:
    parts: Parts
    rows: Newest
    chosen: Selection
    columns: Sequence[Column]
    late: Callable[[], bool]

    def file(self, path: Path) -> Prepared:
        """As a run by load jobs has them."""
        written = chunks.write(
            self.parts.lake,
            self.rows,
            self.chosen,
            self.columns,
            path,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=self.parts.settings.max_row_bytes,
            cancelled=self.late,
        )
        sent = tuple(_of_file(path, written.format, self.columns)) if written.rows else ()
        return Prepared(written.rows, sent, written.rejected, written.format)

    def requests(self) -> Prepared:
        """As a stream, or a run by write streams, has them."""
        from tidemill.events import batches  # pyarrow takes 50 ms

        found = batches.unordered(
            self.parts.lake,
            self.rows,
            self.chosen,
            self.columns,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=min(send.MAX_ROW_BYTES, self.parts.settings.max_row_bytes),
            cancelled=self.late,
        )
        read = list(found)
        rejected = tuple(row for rows in read for row in rows.rejected)
        requests = tuple(rows for rows in batches.requests(iter(read), send.REQUEST_BYTES) if rows.batch.num_rows)
        sent = tuple(row for rows in requests for row in of_request(rows, self.columns))
        return Prepared(len(sent), sent, rejected, requests=requests)


def of_request(rows: Rows, columns: Sequence[Column]) -> list[Texts]:
    """The rows of a request as texts. What goes into a JSON column is a text there."""
    return [
        texts.of_row([_understood(one[column.name], column) for column in columns], columns)
        for one in rows.batch.to_pylist()
    ]


def _understood(value: Any, column: Column) -> Any:
    if column.type is not Type.JSON or value is None:
        return value
    return [texts.parsed(one) for one in value] if column.repeated else texts.parsed(value)


def _of_file(path: Path, format_: str, columns: Sequence[Column]) -> list[Texts]:
    if format_ == "PARQUET":
        import pyarrow.parquet as pq

        return [texts.of_row([row[c.name] for c in columns], columns) for row in pq.read_table(path).to_pylist()]
    with path.open(encoding="utf-8") as file:
        return [texts.of_line(line, columns) for line in file if line.strip()]


def _without_values(found: Prepared, columns: Sequence[Column], path: Path, *, by_streams: bool) -> Prepared:
    """One row in which all is NULL: it shows that rows are taken, where there are none yet."""
    sent = (texts.of_row([None] * len(columns), columns),)
    if not by_streams:
        path.write_text("{}\n", encoding="utf-8")
        return dataclasses.replace(found, sent=sent, format="NEWLINE_DELIMITED_JSON")
    import numpy as np
    import pyarrow as pa

    from tidemill.events import sendable

    row: dict[str, list[str]] = {column.name: [] for column in columns if column.repeated}
    one = dataclasses.replace(
        sendable.nothing_but([], columns),
        batch=pa.RecordBatch.from_pylist([row], schema=sendable.schema(columns)),
        sizes=np.zeros(1, np.int64),
        teams=pa.array([0], pa.int64()),
        ids=pa.array([""], pa.string()),
    )
    return dataclasses.replace(found, sent=sent, requests=(one,))
