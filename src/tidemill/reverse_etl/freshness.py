"""Whether what a model gives can have changed: its statement and how its tables were, as a text that is compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.errors import AccessError, NotFoundError
from tidemill.reverse_etl import statement

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client
    from tidemill.bigquery.describe import Described

#: Functions that give another result though nothing has changed ("Functions": date, time, utility, security), and what
#: reads a table as it was at another time, or tables by the beginnings of their names: there may be more.
_CHANGING = re.compile(
    r"CURRENT_(DATE|DATETIME|TIME|TIMESTAMP)|RAND|GENERATE_UUID|SESSION_USER|SYSTEM_TIME|TABLESAMPLE|EXTERNAL_QUERY"
    r"|APPENDS|CHANGES|ML|AI|INFORMATION_SCHEMA|__TABLES__|_TABLE_SUFFIX",
    re.IGNORECASE,
)


def fingerprint(client: Client, sql: str, described: Callable[[], Described]) -> str | None:
    """What a model says, and how its tables are; None if that cannot be known. `described`: the dry run of it.

    A routine is made anew without a trace in the model or in its tables, and may read others.
    """
    from tidemill.bigquery import versions

    if statement.calls_routine(sql) or any(_CHANGING.fullmatch(word) for word in statement.words(sql)):
        return None
    try:
        tables = described().tables
        if any(table.endswith("*") for _, _, table in tables):
            return None
        found = [versions.version(client, table) for table in tables]
    except (AccessError, NotFoundError):
        return None
    if not found or None in found:
        return None
    return ";".join([hashlib.sha256(sql.encode()).hexdigest(), *sorted(str(version) for version in found)])
