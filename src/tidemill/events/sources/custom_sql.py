"""What a query of one's own may be: one SELECT over `events`, and nothing else. Its columns, as BigQuery has them.

DuckDB's own parser says what is in it. It may name the events and its own subqueries, each by one plain word, and call
functions of DuckDB that only compute; it may not name files, other tables, or functions that read anything. That
DuckDB cannot open a file of others in any case is seen to in `lake.py`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess  # nosec B404
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.documents import page
from tidemill.errors import ConfigError
from tidemill.events import duck
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

START, END = "{data_interval_start}", "{data_interval_end}"
#: A word that was meant to be one of these.
_PLACEHOLDER = re.compile(r"\{\s*[A-Za-z_]\w*\s*\}")
#: What may follow the end of a statement: nothing but spaces and comments.
_ENDING = re.compile(r"(?>[;\s]|--[^\n]*|/\*(?>.*?\*/))*+", re.S)
_TOO_DEEP = "it is nested too deep, or has too many terms in a row"
#: To look at a query, without a row, takes a moment. It may take so much memory, of which a third is DuckDB's own, so
#: many seconds of the processor, and so many on a machine that is busy.
_LOOK_BYTES, _LOOK_SECONDS, _WAIT_SECONDS = 1_500_000_000, 5, 60
_TOO_MUCH = "what is constant in it takes too much time or memory to compute"
#: What the query may name.
RELATION = "events"
#: Its columns.
_COLUMNS = (
    *("uuid", "event", "properties", "distinct_id", "team_id", "ip", "timestamp", '"set"', "set_once", "elements"),
    *("kind", "envelope", "session_id", "inserted_at"),
)
_NO_TEXTS = frozenset({"team_id", "timestamp", "inserted_at"})
_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each", "json_tree"})
#: Of DuckDB's own functions, those that look around, wait or write.
_FUNCTIONS_DENIED = re.compile(
    r"(current_(setting|query|query_id|connection_id|transaction_id|schema|schemas|database|catalog|user|role))"
    r"|(get(variable|env)|get_block_size|in_search_path|(next|curr)val|setseed|sleep_ms|txid_current|version|stats)"
    r"|(session_user|user|write_log|which_secret|query|query_table|json_(de)?serialize_.*|parse_duckdb_log_message)"
    r"|(read|pg|duckdb|postgres|ducklake|parquet|sniff|force|load|__internal)_.*|.*(glob|checkpoint|scan)"
)
_FUNCTIONS = (
    "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
    "WHERE schema_name = 'main' AND function_type IN ('scalar', 'aggregate', 'macro')"
)
#: Names of subqueries. Any other could be that of a file, or of a table in another database.
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
#: DuckDB's types, by their names in front of any bracket.
_TYPES = {
    **dict.fromkeys(("VARCHAR", "UUID", "ENUM"), Type.STRING),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), Type.INT64),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), Type.INT64),
    **dict.fromkeys(("FLOAT", "DOUBLE"), Type.FLOAT64),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), Type.DATETIME),
    "BOOLEAN": Type.BOOL,
    "DATE": Type.DATE,
    "DECIMAL": Type.NUMERIC,
    "TIMESTAMP WITH TIME ZONE": Type.TIMESTAMP,
}
_DESCRIPTION = "A column of the query."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
#: BigQuery, "Column names": prefixes that are its own; and names that stand for something of ours.
_RESERVED = re.compile(
    r"(_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER).*|bytes|row_id|row_team|row_place", re.I
)


def filled(sql: str, start: str, end: str) -> str:
    """The query with two SQL expressions for the ends of the interval. Each of its lines stays where it is."""
    return _unended(sql).rstrip().replace(START, start).replace(END, end)


def _unended(sql: str) -> str:
    """The query without the semicolon at its end, and without the comments after that."""
    import duckdb  # 60 ms

    text = sql.encode()
    for place, _ in duckdb.tokenize(sql):  # no comments are among them, and a string is one
        if text[place : place + 1] == b";" and _ENDING.fullmatch(text[place:].decode()):
            return text[:place].decode()
    return sql


def describe(lake: Lake, sql: str) -> tuple[Column, ...]:
    """The columns of the query, which is looked at whole, and of which nothing is read.

    Raises
    ------
    ConfigError
        It is no query, or one that is not allowed, or a column of it fits nowhere in BigQuery.
    """
    if "\0" in sql:
        raise _refused("there is a NUL character in it")
    if sql != sql.encode("utf-8", "replace").decode():
        raise _refused("there is a character in it that is none: write it in UTF-8")
    moment = "TIMESTAMPTZ '1970-01-01 00:00:00+00:00'"
    text = filled(sql, moment, moment)
    with lake.cursor() as cursor:
        _assert_allowed(cursor, text)
        events = [(name, kind) for name, kind, *_ in cursor.execute(f"DESCRIBE {_events('false')}").fetchall()]
    found = _described(text, events)
    names = [name.lower() for name, _ in found]
    twice = [name for name, _ in found if names.count(name.lower()) > 1]
    if twice:
        raise _refused(f"more than one column is called {twice[0]!r}; name them with AS")
    return tuple(_column(name, kind) for name, kind in found)


def _described(text: str, events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names and types of the query's columns. `events`: those of the events. See describing.py."""
    limits = {"bytes": _LOOK_BYTES, "seconds": _LOOK_SECONDS}
    asked = {"sql": text, "within": over(text, "false"), "columns": events, **limits}
    system = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}  # and no secret
    command = [sys.executable, "-I", str(Path(__file__).with_name("describing.py"))]
    try:
        done = subprocess.run(  # noqa: S603 - ours
            command,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=_WAIT_SECONDS,
            check=False,
            env=system,
        )
        said: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"error": _TOO_MUCH}
    except (subprocess.TimeoutExpired, ValueError):
        said = {"error": _TOO_MUCH}
    if "error" in said:
        raise _refused(said["error"])
    return [(name, kind) for name, kind in said["columns"]]


def over(text: str, where: str, inserted_at: str = "inserted_at", *, ordered: bool = False) -> str:
    """A SELECT of the query's rows, over the events for which `where` holds; `ordered`: as they were committed."""
    events = _events(where, inserted_at) + (" ORDER BY snapshot_id, n" if ordered else "")
    # Nothing stands on lines of its own in front of the query: DuckDB's errors count lines.
    return f"WITH {RELATION} AS ({events}) SELECT * FROM ({text}\n)"


def _events(where: str, inserted_at: str = "inserted_at") -> str:
    """Texts are expressions, so that DuckLake 1.5.5 makes no statement for its catalog of what the query compares them
    with: it does not quote a text with a NUL as one, and what comes after it would be SQL."""
    shown = {name: name if name in _NO_TEXTS else f"{name} || ''" for name in _COLUMNS} | {"inserted_at": inserted_at}
    columns = ", ".join(f"{value} AS {name}" for name, value in shown.items())
    return f"SELECT {columns} FROM lake.events WHERE {where}"


def _parsed(cursor: Any, text: str) -> dict[str, Any]:
    """The one statement that it is, as DuckDB's parser understands it."""
    ((serialized,),) = cursor.execute(f"SELECT json_serialize_sql({duck.literal(text)})").fetchall()
    try:
        parsed: dict[str, Any] = json.loads(serialized)
    except RecursionError:
        raise _refused(_TOO_DEEP) from None
    if parsed.get("error_type") == "not implemented":
        raise _refused("it is no SELECT")
    if parsed.get("error"):
        raise _refused(_misunderstood(parsed, text))
    if len(parsed["statements"]) != 1:
        raise _refused("it is not one statement" if parsed["statements"] else "there is no statement in it")
    return parsed


def _misunderstood(parsed: dict[str, Any], text: str) -> str:
    """What the parser says, with the line; and if it met something like a placeholder, which ones there are."""
    said, place = str(parsed.get("error_message")), parsed.get("position")
    if place is None:
        return _TOO_DEEP if "depth" in said else said
    before = text.encode()[: int(place)].decode(errors="replace")
    line = 1 + before.count("\n")
    said += f" in line {line}"
    odd = [word[0] for word in _PLACEHOLDER.finditer(text) if word.start() < len(before) < word.end()]
    return f"{said}; {odd[0]} is no placeholder: there are {START} and {END}" if odd else said


def _assert_allowed(cursor: Any, text: str) -> None:
    parsed = _parsed(cursor, text)
    own = {str(entry["key"]).lower() for node in _nodes(parsed) for entry in _ctes(node)}
    odd = sorted(name for name in own if not _PLAIN.fullmatch(name))
    if odd:
        raise _refused(f"a subquery cannot be called {odd[0]!r}: its name is a word of letters, digits and _")
    # A name is known in all of the query, also where its subquery is not: there it must not mean one of DuckDB's views.
    taken = own & _names(cursor, "SELECT lower(view_name) FROM duckdb_views()")
    if taken:
        raise _refused(f"a subquery cannot be called {min(taken)!r}: DuckDB has a view of that name")
    known, functions = own | {RELATION}, _names(cursor, _FUNCTIONS)
    for node in _nodes(parsed):
        problem = _problem(node, known, functions)
        if problem:
            raise _refused(problem)


def _names(cursor: Any, query: str) -> set[str]:
    return {name for (name,) in cursor.execute(query).fetchall()}


def _ctes(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = node.get("cte_map")
    return list(found["map"]) if isinstance(found, dict) else []


def _problem(node: dict[str, Any], known: set[str], functions: set[str]) -> str | None:
    """What is wrong with this part of it, if anything."""
    match node.get("type"):
        case "BASE_TABLE":
            parts = [part for part in (node["catalog_name"], node["schema_name"], node["table_name"]) if part]
            if len(parts) > 1 or parts[0].lower() not in known or node.get("at_clause"):
                return f"it reads {'.'.join(parts)!r}; it may read `{RELATION}` and its own subqueries"
        case "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                allowed = ", ".join(sorted(_TABLE_FUNCTIONS))
                return f"it calls {name!r}; of functions that give tables it may call {allowed}"
        case "SHOW_REF":
            return "it describes something"
    if node.get("class") == "COLLATE":  # it says which texts are equal, and BigQuery would not know
        return "it compares texts by a collation; write lower(…), for example"
    if "function_name" in node and node.get("type") != "TABLE_FUNCTION":
        name = str(node["function_name"]).lower()
        place = node.get("catalog") or node.get("schema") or "main"
        if place != "main" or name not in functions | _TABLE_FUNCTIONS or _FUNCTIONS_DENIED.fullmatch(name):
            return f"it calls {name!r}, which is no function of DuckDB that only computes"
    return None


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a JSON value, itself with them."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _column(name: str, kind: str) -> Column:
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise _refused(f"a column cannot be called {name!r}; name it with AS")
    plain = kind.removesuffix("[]")
    if plain == "JSON":
        return Column(name, Type.STRING, _DESCRIPTION, json=True, repeated=plain != kind)
    found = _TYPES.get(plain.partition("(")[0])
    if found is None:
        raise _refused(
            f"the column {name} is of type {kind}, which BigQuery has not; cast it, or write to_json({name})"
        )
    if found is Type.NUMERIC and not _fits_numeric(plain):
        found = Type.BIGNUMERIC
    return Column(name, found, _DESCRIPTION, repeated=plain != kind)


def _fits_numeric(kind: str) -> bool:
    """Whether a DECIMAL of this precision and scale is a NUMERIC: 29 digits before the point, and 9 after it."""
    precision, scale = (int(number) for number in re.findall(r"[0-9]+", kind))
    return scale <= 9 and precision - scale <= 29


def failed(error: Exception) -> ConfigError:
    """Why a query that was checked gives no rows."""
    said = str(error).partition("\nLINE ")[0].strip()  # the line that follows is that of our own query around it
    return ConfigError(
        "sql_failed",
        f"The query of the export failed: {said}",
        hint="Nothing was sent by this run. Delete the export and make it anew, with the query mended (TRY_CAST gives "
        "NULL for what cannot be cast). It sends all rows again then: without a key, into another table, or drop the "
        "table first, or they are there twice.",
        raw=str(error),
    )


def _refused(why: str) -> ConfigError:
    return ConfigError(
        "sql_refused",
        f"That query cannot be exported: {why.strip()}.",
        hint=f"It is one SELECT over `{RELATION}`, in DuckDB's SQL: {page('howto/custom-sql.md')}",
        raw=why,
    )
