"""Rows of a query as Arrow, in batches: for what does not fit into memory, from where no table can be made.

They lie in a table of BigQuery's own, which is read by the Storage Read API, or as the answers of REST where that is
missing. Types that files cannot hold, BIGNUMERIC and INTERVAL, are text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.bigquery import jobs, read_rows
from tidemill.bigquery.jobs import ONCE
from tidemill.bigquery.tables import Field
from tidemill.errors import AccessError

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bigquery.client import Client

_STREAMS, _PAGE = 4, 20_000


class Result:
    """A query that is done."""

    def __init__(self, client: Client, job: Any) -> None:
        self._client, self._job = client, job
        self.bytes_billed = int(job.total_bytes_billed or 0)

    def batches(self, fields: Sequence[Field]) -> Iterator[pa.RecordBatch]:
        """Its rows, of which each column has the type of its field."""
        schema = arrow_schema(fields)
        into = self._job.destination
        place = (str(into.project), str(into.dataset_id), str(into.table_id))
        try:
            for batch in read_rows.batches(self._client, place, [], streams=_STREAMS):
                yield _as_kept(batch, schema)
        except AccessError as error:
            if not read_rows.is_closed(error):
                raise
        else:
            return
        yield from self._pages(fields, schema)

    def _pages(self, fields: Sequence[Field], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # 50 ms

        target = self._client.target("bigquery.tables.getData")
        found = self._client.policy.call(
            target, lambda: self._job.result(page_size=_PAGE, job_retry=None, **ONCE), self._client.cancelled
        )
        pages = iter(found.pages)
        while True:
            page = self._client.policy.call(target, lambda: next(pages, None), self._client.cancelled)
            if page is None:
                return
            columns = list(zip(*(row.values() for row in page), strict=True)) or [()] * len(fields)
            arrays = [
                pa.array([_as_arrow(value, field) for value in column], kind.type)
                for column, field, kind in zip(columns, fields, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def run(
    client: Client, sql: str, *, job_id: str, labels: Mapping[str, str], max_bytes_billed: int | None = None
) -> Result:
    """Run a query, once for a job id."""
    from google.cloud import bigquery  # heavy

    config = bigquery.QueryJobConfig(labels=dict(labels), use_query_cache=False)
    if max_bytes_billed is not None:
        config.maximum_bytes_billed = max_bytes_billed
    target = client.target("bigquery.tables.getData")
    return Result(client, jobs.run_query(client, sql, config, job_id, target, client.cancelled))


def arrow_schema(fields: Sequence[Field]) -> pa.Schema:
    """What the batches have."""
    import pyarrow as pa  # 50 ms

    return pa.schema([_arrow_field(field) for field in fields])


def _arrow_field(field: Field) -> pa.Field:
    import pyarrow as pa  # 50 ms

    plain = {
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
        "DATETIME": pa.timestamp("us"),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
    }
    if field.type in {"STRUCT", "RECORD"}:
        kind = pa.struct([_arrow_field(inner) for inner in field.fields])
    else:
        kind = plain.get(field.type, pa.string())
    return pa.field(field.name, pa.list_(kind) if field.mode == "REPEATED" else kind)


def _as_kept(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch of BigQuery's. RANGE is JSON text, whose ends are as their types are written."""
    import pyarrow as pa  # 50 ms

    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        if pa.types.is_interval(column.type) or (pa.types.is_struct(column.type) and pa.types.is_string(field.type)):
            texts = [None if value is None else _as_text(value) for value in column.to_pylist()]
            columns.append(pa.array(texts, pa.string()))
        else:
            columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_arrow(value: Any, field: Field) -> Any:
    """A value of Google's client, for Arrow."""
    if value is None:
        return None
    if field.mode == "REPEATED":
        one = Field(field.name, field.type, fields=field.fields)
        return [_as_arrow(item, one) for item in value]
    match field.type:
        case "STRUCT" | "RECORD":
            return {inner.name: _as_arrow(value.get(inner.name), inner) for inner in field.fields}
        case "JSON":
            return json.dumps(value, ensure_ascii=False)
        case "BIGNUMERIC":
            return format(value, "f")
        case "INTERVAL" | "RANGE":
            return _as_text(value)
    return value


def _as_text(value: Any) -> str:
    from tidemill.bigquery.texts import interval, range_text

    return range_text(value) if isinstance(value, dict) else interval(value)
