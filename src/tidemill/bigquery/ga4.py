"""The export of Google Analytics 4: a statement over its tables of days, each event once.

`events_YYYYMMDD` is the table of a day, rewritten for up to three days (research on Amplitude and CleverTap, sections
2.1 and 6); `events_intraday_YYYYMMDD` has a day that is not over, and goes once the other is there. Events have no ids.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from tidemill.bigquery.names import quoted
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

#: The column that says when rows have changed, and how many days it looks back.
CURSOR, OVERLAP_DAYS = "table_date", 3
KEY = ("ga4_key",)
_TABLE = re.compile(r"events_(intraday_)?(\d{8})")
#: What tells events apart. Older exports lack some.
_NEEDED = ("user_pseudo_id", "event_timestamp", "event_name", "event_params")
_BATCH = ("batch_page_id", "batch_ordering_id", "batch_event_index")
_TOLD_APART = ("user_pseudo_id", "event_timestamp", "event_name", "event_bundle_sequence_id", *_BATCH)
_FIRST, _LAST = "00000000", "99999999"
_HINT = "Name the dataset that is linked to the property: analytics_123456789, mostly."


def newest(tables: Iterable[str], *, intraday: bool = True) -> str | None:
    """Of the tables of a dataset the one whose columns are to be looked at: the newest day's. `intraday`: also of a day
    that is not over."""
    matches = [match for name in tables if (match := _TABLE.fullmatch(name)) and (intraday or not match[1])]
    found = [(match[2], not match[1], match[0]) for match in matches]
    return max(found)[2] if found else None


def columns_of(client: Client, dataset: str, *, intraday: bool = True) -> list[str]:
    """The columns of an export. `intraday`: whether tables of days that are not over are of it.

    Raises
    ------
    ConfigError
        The dataset has no tables of one.
    """
    shard = newest(client.list_tables(dataset), intraday=intraday)
    table = client.get_table(dataset, shard) if shard is not None else None
    if table is None:
        raise ConfigError(
            "ga4_tables",
            f"The dataset {dataset} has no tables events_YYYYMMDD: no export of Google Analytics 4 is there.",
            hint=_HINT,
        )
    return [field.name for field in table.fields]


def first_day(position: str | None, first: dt.date | None) -> dt.date | None:
    """The first day that a run has to read. `position`: how far the cursor is; `first`: the first that is wanted."""
    if position is None:
        return first
    back = dt.date.fromisoformat(position) - dt.timedelta(days=OVERLAP_DAYS)
    return back if first is None else max(back, first)


def model(
    project: str, dataset: str, since: dt.date | None, columns: Collection[str], *, intraday: bool = True
) -> tuple[str, tuple[str, ...]]:
    """The statement that gives all events with all columns, `table_date` and a key; and the columns of the key.

    `since`: tables of earlier days are not read, nor billed: it is in the statement as literals, for only constant
    expressions have BigQuery read fewer tables ("Query multiple tables using a wildcard table"). `columns`: those of
    the export, see `columns_of`. `intraday`: whether tables of days that are not over are read.

    Rows that are alike in all by which events are told apart are several events, and numbered. In two tables they are
    one event that has moved: that of the table of a whole day, and of the later day, is given.

    Raises
    ------
    ConfigError
        These are not the columns of an export.
    """
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise ConfigError(
            "ga4_columns",
            f"The tables lack {', '.join(missing)}: they are no export of Google Analytics 4.",
            hint=_HINT,
        )
    tables = quoted(project, dataset, "events_*")
    start = _FIRST if since is None else f"{since:%Y%m%d}"
    daily = f"_TABLE_SUFFIX BETWEEN '{start}' AND '{_LAST}'"
    wanted, whole = daily, "LENGTH(ga4_suffix) = 8"
    if intraday:
        wanted = f"{daily} OR _TABLE_SUFFIX BETWEEN 'intraday_{start}' AND 'intraday_{_LAST}'"
        over = f"SELECT DISTINCT _TABLE_SUFFIX FROM {tables} WHERE {daily}"
        whole = f"({whole} OR LENGTH(ga4_suffix) = 17 AND SUBSTR(ga4_suffix, 10) NOT IN ({over}))"
    alike = "ROW_NUMBER() OVER (PARTITION BY ga4_hash, ga4_suffix ORDER BY ga4_content)"
    best = (
        "ROW_NUMBER() OVER (PARTITION BY ga4_hash, ga4_number ORDER BY STARTS_WITH(ga4_suffix, 'i'), ga4_suffix DESC)"
    )
    sql = (
        "SELECT * EXCEPT (ga4_suffix, ga4_hash, ga4_content, ga4_number, ga4_choice)\n"
        f"FROM (SELECT *, CONCAT(ga4_hash, '-', CAST(ga4_number AS STRING)) AS {KEY[0]}, {best} AS ga4_choice\n"
        f"      FROM (SELECT *, {_DATE} AS {CURSOR}, {alike} AS ga4_number\n"
        f"            FROM (SELECT events.*, _TABLE_SUFFIX AS ga4_suffix, {_hash(columns)} AS ga4_hash,\n"
        "                         TO_HEX(MD5(TO_JSON_STRING(events))) AS ga4_content\n"
        f"                  FROM {tables} AS events\n"
        f"                  WHERE {wanted})\n"
        f"            WHERE {_DATE} IS NOT NULL\n"
        f"              AND {whole}))\n"
        "WHERE ga4_choice = 1"
    )
    return sql, KEY


#: The day of a table; NULL if the end of its name is none.
_PARTS = ", '-', ".join(
    f"SUBSTR(ga4_suffix, LENGTH(ga4_suffix) - {place}, {size})" for place, size in ((7, 4), (3, 2), (1, 2))
)
_DATE = f"SAFE_CAST(CONCAT({_PARTS}) AS DATE)"


def _hash(columns: Collection[str]) -> str:
    """A hash of what tells events apart. It is the same before a column is there, and after that where it is NULL; and
    if parameters come in another order, when a table is rewritten. Where an event has its place in a batch, that tells
    it apart: its parameters are left out, for the table of the whole day may have others of it."""
    told = [
        f"IFNULL(CONCAT('{name}:', TO_JSON_STRING(events.`{name}`), '\\n'), '')"
        for name in _TOLD_APART
        if name in columns
    ]
    one = "TO_JSON_STRING(one)"
    parameters = f"(SELECT STRING_AGG({one}, '\\n' ORDER BY {one}) FROM UNNEST(events.event_params) AS one)"
    rest = f"IFNULL({parameters}, '')"
    if set(_BATCH) <= set(columns):
        placed = " AND ".join(f"events.`{name}` IS NOT NULL" for name in _BATCH)
        rest = f"IF({placed}, '', {rest})"
    return f"TO_HEX(MD5(CONCAT({', '.join(told)}, {rest})))"
