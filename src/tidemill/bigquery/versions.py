"""How a table was when it was looked at, as a text: the same as long as nothing in it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.bigquery.jobs import ONCE
from tidemill.bigquery.sql import Place

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

#: Of which BigQuery says when they changed. What an external table reads, it does not know.
_KNOWN = {"TABLE", "SNAPSHOT", "CLONE", "MATERIALIZED_VIEW"}


def version(client: Client, place: Place) -> str | None:
    """Of one table; None if that cannot be known: rows that were streamed lately may count as a change only later
    ("Streaming data into BigQuery": lastModifiedTime is that of the table without the buffer).

    Raises
    ------
    AccessError
        It may not be looked at (`bigquery.tables.get`).
    NotFoundError
        It is not there.
    """
    target = client.target("bigquery.tables.get", place[1], place[2])
    found = client._call(target, lambda: client.google().get_table(".".join(place), **ONCE))
    if found.table_type not in _KNOWN or found.streaming_buffer is not None or found.modified is None:
        return None
    return f"{'.'.join(place)}@{found.modified.isoformat()}#{found.num_rows}"
