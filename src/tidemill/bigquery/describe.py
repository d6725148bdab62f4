"""What a statement gives, reads and costs, asked of BigQuery without running it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from tidemill import tracing
from tidemill.bigquery import errors, tables
from tidemill.bigquery.errors import Problem
from tidemill.bigquery.jobs import ONCE
from tidemill.bigquery.sql import Place
from tidemill.bigquery.tables import Field
from tidemill.errors import AccessError

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

_READS = "bigquery.tables.getData"
#: The table that an error is about, as BigQuery names it there.
_TABLE = re.compile(r"\bTable ([^\s:]+(?::[^\s:.]+)?)[:.]([A-Za-z0-9_\-]+)\.([^\s:,]+)")


@dataclasses.dataclass(frozen=True)
class Described:
    """A statement. `bytes`: that it would read, at most. `tables`: that it reads, those behind views with them.
    `statement_type`: SELECT, INSERT, …; `location`: where it would run."""

    columns: tuple[Field, ...]
    bytes: int
    tables: tuple[Place, ...]
    statement_type: str
    location: str


def described(client: Client, sql: str, *, anywhere: bool = False) -> Described:
    """Describe one statement by a dry run, for which nothing is billed. `anywhere`: BigQuery chooses the location.

    Raises
    ------
    AccessError
        It reads a table that may not be read; the error names it.
    ConfigError
        It is wrong: BigQuery's message has line and column.
    NotFoundError
        It reads what is not there, or not in the client's location.
    """
    from google.cloud import bigquery  # heavy

    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    location = None if anywhere else client.location

    def ask() -> Described:
        job = client.google().query(sql, job_config=config, location=location, job_retry=None, **ONCE)
        return Described(
            columns=tables.fields(job.schema or ()),
            bytes=int(job.total_bytes_processed or 0),
            tables=tuple((table.project, table.dataset_id, table.table_id) for table in job.referenced_tables or ()),
            statement_type=str(job.statement_type or ""),
            location=str(job.location or ""),
        )

    target = client.target(_READS)
    try:
        with tracing.call("dry run", resource=target.resource):
            return client.policy.call(target, ask, client.cancelled)
    except AccessError as error:
        raise _about_table(client, error) from None


def _about_table(client: Client, error: AccessError) -> AccessError:
    """The error, about the table that BigQuery names in it."""
    found = _TABLE.search(error.raw)
    if error.code != "permission_missing" or found is None:
        return error
    target = dataclasses.replace(client.target(_READS, found[2], found[3]), project=found[1])
    status, _, said = error.raw.partition(" ")
    reason, _, message = said.partition(": ")
    return errors.denied(Problem(int(status), reason, message), target)
