"""Every SQL text that we emit: pure functions of names and values, each identifier quoted."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence

from tidemill.bigquery.names import quoted
from tidemill.models.model import Column
from tidemill.models.types import Type

Place = tuple[str, str, str]
#: Characters that do not stand for themselves in a literal ("Lexical structure": quoted literals, escape sequences).
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\0": r"\x00"}
_SPECIAL = re.compile(f"[{''.join(map(re.escape, _ESCAPES))}]")
Value = dt.datetime | dt.date | int | str
Bounds = tuple[Value, Value]


@dataclasses.dataclass(frozen=True)
class Merge:
    """What a MERGE from a stage table into the final one is about. Tables are (project, dataset, table).

    `newest`: of rows of the stage with the same key, the one is taken whose values in these columns are the greatest.
    `bounds`: columns, each with the first and last value in `stage`: named in the ON clause, so that only those
    partitions and blocks of `final` are read. A row of `final` that lies outside is none that the stage has.
    `part`: only rows of the stage whose value in a column lies from the first value on, and before the second; where
    there is no first, also those without a value.
    """

    final: Place
    stage: Place
    columns: Sequence[str]
    key: Sequence[str]
    newest: Sequence[str] = ()
    bounds: Mapping[str, Bounds] = dataclasses.field(default_factory=dict)
    part: tuple[str, Value | None, Value | None] | None = None


def insert_missing(merge: Merge) -> str:
    """Add the rows of the stage whose key is not in the final table: running it twice adds nothing."""
    names = ", ".join(f"`{name}`" for name in merge.columns)
    values = ", ".join(f"stage.`{name}`" for name in merge.columns)
    return (
        f"MERGE {quoted(*merge.final)} AS final\n"
        f"USING ({_one_for_each_key(merge, names)}) AS stage\n"
        f"ON {_same_row(merge)}\n"
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def replace_older(merge: Merge) -> str:
    """Add the rows of the stage whose key is not in the final table, and replace those that have older versions there.

    Versions (`newest`) are compared in their order, the first that differs decides; NULL counts as the oldest.
    """
    return _replacing(merge, f"WHEN MATCHED AND ({_newer(merge.newest)})")


def replace(merge: Merge) -> str:
    """Add the rows of the stage whose key is not in the final table, and replace those that are."""
    return _replacing(merge, "WHEN MATCHED")


def _replacing(merge: Merge, when: str) -> str:
    names = ", ".join(f"`{name}`" for name in merge.columns)
    values = ", ".join(f"stage.`{name}`" for name in merge.columns)
    changes = ", ".join(f"`{name}` = stage.`{name}`" for name in merge.columns if name not in merge.key)
    return (
        f"MERGE {quoted(*merge.final)} AS final\n"
        f"USING ({_one_for_each_key(merge, names)}) AS stage\n"
        f"ON {_same_row(merge)}\n"
        + (f"{when} THEN UPDATE SET {changes}\n" if changes else "")
        + f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def _newer(versions: Sequence[str]) -> str:
    """Whether the versions of `stage`, as a tuple, are greater than those of `final`."""
    name, *rest = (f"`{version}`" for version in versions)
    greater = f"stage.{name} IS NOT NULL AND (final.{name} IS NULL OR stage.{name} > final.{name})"
    if not rest:
        return greater
    same = f"stage.{name} = final.{name} OR (stage.{name} IS NULL AND final.{name} IS NULL)"
    return f"({greater}) OR (({same}) AND ({_newer(versions[1:])}))"


def _one_for_each_key(merge: Merge, names: str) -> str:
    keys = ", ".join(f"`{name}`" for name in merge.key)
    order = ", ".join(f"`{name}` DESC" for name in merge.newest)
    window = f"PARTITION BY {keys} ORDER BY {order}" if order else f"PARTITION BY {keys}"
    part = f" AND {_within(*merge.part)}" if merge.part else ""
    return f"SELECT {names} FROM {quoted(*merge.stage)} WHERE TRUE QUALIFY ROW_NUMBER() OVER ({window}) = 1{part}"


def _within(column: str, first: Value | None, end: Value | None) -> str:
    conditions = [f"`{column}` >= {literal(first)}"] if first is not None else []
    conditions += [f"`{column}` < {literal(end)}"] if end is not None else []
    within = " AND ".join(conditions) or "TRUE"
    return f"({within} OR `{column}` IS NULL)" if first is None else f"({within})"


def partitions(table: Place, column: str, type_: Type, size: str) -> str:
    """The starts of the partitions (`size`: HOUR, DAY, MONTH or YEAR) that rows of a table belong into, in order."""
    kind = {Type.DATE: "DATE", Type.DATETIME: "DATETIME"}.get(type_, "TIMESTAMP")
    start = f"{kind}_TRUNC(`{column}`, {size})"
    return f"SELECT DISTINCT {start} AS start FROM {quoted(*table)} WHERE `{column}` IS NOT NULL ORDER BY start"


def _same_row(merge: Merge) -> str:
    conditions = [f"final.`{name}` = stage.`{name}`" for name in merge.key]
    for column, (first, last) in merge.bounds.items():
        conditions.append(f"final.`{column}` BETWEEN {literal(first)} AND {literal(last)}")
    return " AND ".join(conditions)


def literal(value: Value) -> str:
    """A value as a literal."""
    match value:
        case dt.datetime() if value.tzinfo is None:
            return f"DATETIME '{value.isoformat(' ')}'"
        case dt.datetime():
            return moment(value)
        case dt.date():
            return f"DATE '{value.isoformat()}'"
        case int():
            return str(value)
    return '"' + _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value) + '"'


def moment(value: dt.datetime) -> str:
    """A TIMESTAMP literal in UTC."""
    return f"TIMESTAMP '{value.astimezone(dt.UTC).strftime('%Y-%m-%d %H:%M:%S.%f').rjust(26, '0')}+00:00'"


def insert_row(table: Place, row: Mapping[str, Value | list[str]]) -> str:
    """Add one row."""
    names = ", ".join(f"`{name}`" for name in row)
    values = ", ".join(
        f"[{', '.join(map(literal, value))}]" if isinstance(value, list) else literal(value) for value in row.values()
    )
    return f"INSERT INTO {quoted(*table)} ({names}) VALUES ({values})"


def delete_rows(
    table: Place,
    same: Mapping[str, Value],
    column: str,
    values: Sequence[Value],
    but: Mapping[str, Sequence[Value]] | None = None,
) -> str:
    """Delete the rows that have one of these values in a column, and the same values in others; not those that have one
    of the values in `but`."""
    conditions = [f"`{name}` = {literal(value)}" for name, value in same.items()]
    conditions.append(f"`{column}` IN ({', '.join(map(literal, values))})")
    conditions += [f"`{name}` NOT IN ({', '.join(map(literal, no))})" for name, no in (but or {}).items() if no]
    return f"DELETE FROM {quoted(*table)} WHERE {' AND '.join(conditions)}"


def keys(table: Place, key: Sequence[str]) -> str:
    """Each key of a table, with its number of rows."""
    names = ", ".join(f"`{name}`" for name in key)
    return f"SELECT {names}, COUNT(*) AS row_count FROM {quoted(*table)} GROUP BY {names}"


def sums(table: Place, columns: Sequence[Column], day_of: str | None, since: dt.date | None) -> str:
    """Of each day (all of it, without `day_of`): rows, ids, and the XOR of the first 60 bits of the MD5 of each id.

    `columns`: of which an id is made; a BIGNUMERIC one holds whole numbers, written as such.
    `since`: the first day that counts; only the partitions from it on are read.
    """
    whole = {True: "CAST(`{}` AS INT64)", False: "`{}`"}
    parts = [whole[column.type is Type.BIGNUMERIC].format(column.name) for column in columns]
    ids = ", ':', ".join(f"CAST({part} AS STRING)" for part in parts)
    day = f"DATE(`{day_of}`)" if day_of else "CAST(NULL AS DATE)"
    where = f"\nWHERE `{day_of}` >= TIMESTAMP '{since.isoformat()} 00:00:00+00:00'" if day_of and since else ""
    return (
        "SELECT day, SUM(row_count) AS row_count, COUNT(*) AS id_count,\n"
        "       BIT_XOR(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(id)), 1, 15)) AS INT64)) AS checksum\n"
        f"FROM (SELECT {day} AS day, CONCAT({ids}) AS id, COUNT(*) AS row_count\n"
        f"      FROM {quoted(*table)}{where} GROUP BY day, id)\n"
        "GROUP BY day ORDER BY day"
    )


def resolved_events(events: Place, merges: Place) -> str:
    """Of a view: Amplitude's events with the number that their user has after all merges, chains followed to the end.

    BigQuery follows 500 merges in a row at most ("Recursive CTEs").
    """
    return (
        f"WITH RECURSIVE merges AS (SELECT amplitude_id, merged_amplitude_id FROM {quoted(*merges)}),\n"
        "chains AS (\n"
        "  SELECT amplitude_id, merged_amplitude_id FROM merges\n"
        "  UNION ALL\n"
        "  SELECT chains.amplitude_id, merges.merged_amplitude_id\n"
        "  FROM chains JOIN merges ON merges.amplitude_id = chains.merged_amplitude_id\n"
        "),\n"
        "ends AS (\n"
        "  SELECT chains.amplitude_id, chains.merged_amplitude_id AS last_amplitude_id FROM chains\n"
        "  LEFT JOIN merges ON merges.amplitude_id = chains.merged_amplitude_id WHERE merges.amplitude_id IS NULL\n"
        ")\n"
        "SELECT events.*, COALESCE(ends.last_amplitude_id, events.amplitude_id) AS resolved_amplitude_id\n"
        f"FROM {quoted(*events)} AS events LEFT JOIN ends ON ends.amplitude_id = events.amplitude_id"
    )


def count_rows(table: Place, rows: Sequence[Mapping[str, Value | None]]) -> str:
    """How often each of these is in a table, in one row; each is named by the values of some columns."""
    named = [f"({' AND '.join(_equal(name, value) for name, value in row.items())})" for row in rows]
    counts = ",\n       ".join(f"COUNTIF({one}) AS row_{number}" for number, one in enumerate(named))
    where = "\n   OR ".join(named)
    return f"SELECT {counts}\nFROM {quoted(*table)}\nWHERE {where}"


def _equal(name: str, value: Value | None) -> str:
    return f"`{name}` IS NULL" if value is None else f"`{name}` = {literal(value)}"


def nothing() -> str:
    """A statement that reads nothing: whoever may run it may run jobs."""
    return "SELECT 1"


def without_expiration(project: str, dataset: str) -> str:
    """New tables of the dataset do not vanish."""
    return f"ALTER SCHEMA `{project}.{dataset}` SET OPTIONS (default_table_expiration_days = NULL);"


def create_dataset(project: str, dataset: str, location: str | None) -> str:
    """Make a dataset, unless it is there. Without a location, BigQuery takes its default one."""
    where = f" OPTIONS (location = {literal(location)})" if location else ""
    return f"CREATE SCHEMA IF NOT EXISTS `{project}.{dataset}`{where};"


def nullable(table: str, column: str) -> str:
    """The column may be empty. `table`: as BigQuery names it in full."""
    return f"ALTER TABLE `{table}` ALTER COLUMN `{column}` DROP NOT NULL;"


def grant_on_dataset(role: str, project: str, dataset: str, member: str) -> str:
    """The statement that grants a role on a dataset."""
    return f'GRANT `{role}` ON SCHEMA `{project}.{dataset}` TO "{member}";'


def top_events(table: Place, limit: int) -> str:
    """An example: the most frequent events, with how many people sent them."""
    return (
        "SELECT event, COUNT(*) AS events, COUNT(DISTINCT distinct_id) AS people,\n"
        "       MIN(timestamp) AS first_seen, MAX(timestamp) AS last_seen\n"
        f"FROM {quoted(*table)}\n"
        f"GROUP BY event ORDER BY events DESC, event LIMIT {limit}"
    )
