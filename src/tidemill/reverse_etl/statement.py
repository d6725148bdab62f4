"""The statement of a source model: one SELECT, as it can be put into another one.

Comments, strings and quoted names are told apart as BigQuery does ("Lexical structure and syntax"), so a semicolon in
one of them ends nothing. That it is a SELECT, and nothing that changes anything, is said by BigQuery in a dry run, too.
"""

from __future__ import annotations

import re

from tidemill.bigquery import ga4, names
from tidemill.errors import ConfigError
from tidemill.reverse_etl.spec import ModelSpec

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | \#[^\n]* | /\*.*?\*/ )
  | (?P<string> (?P<raw>[rR][bB]?|[bB][rR]?|) (?P<quote>'{3}|"{3}|'|") )
  | (?P<name> `(?:[^`\\]|\\.)*` )
  | (?P<end> ; )
  | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)

#: What stands before functions of BigQuery's own ("Functions"); before any other name of one stands its dataset.
_OWN = {"aead", "hll_count", "keys", "kll_quantiles", "net", "obj"}


def one(sql: str) -> str:
    """The statement without the semicolon at its end, and what comes behind that; on lines of its own, so that a
    comment at its end ends.

    Raises
    ------
    ConfigError
        It is none, more than one, or one that is no SELECT.
    """
    end, first, seen = None, "", False
    for kind, start, text in _tokens(sql):
        if kind == "comment" or (kind == "other" and text.isspace()):
            continue
        if kind == "end":
            end = start if end is None else end
            continue
        if end is not None:
            line = sql.count("\n", 0, start) + 1
            raise ConfigError(
                "model_statements",
                f"There is more than one statement: the second begins at line {line}.",
                hint="A model is one SELECT. What prepares it belongs into a view, or into subqueries (WITH).",
            )
        if not seen and text != "(":
            first, seen = text.upper(), True
    if first not in {"SELECT", "WITH", "FROM"}:
        raise ConfigError(
            "model_no_select",
            f"The statement begins with {first}, and not with SELECT." if first else "There is no statement.",
            hint="A model only reads: SELECT …, or WITH … SELECT ….",
        )
    found = sql if end is None else sql[:end]
    return f"{found.strip()}\n"


def _tokens(sql: str) -> list[tuple[str, int, str]]:
    """Kind, place and text of each. Raises ConfigError if a string or a comment does not end."""
    found: list[tuple[str, int, str]] = []
    place = 0
    while place < len(sql):
        match = _TOKEN.match(sql, place)
        assert match is not None  # noqa: S101 - the last alternative takes anything
        kind = str(match.lastgroup)
        if match["quote"] is not None:
            kind = "string"
            end = _string_end(sql, match.end(), match["quote"])
        elif sql.startswith("/*", place) and kind != "comment":
            raise _open(sql, place, "comment")
        else:
            end = match.end()
        found.append((kind, place, sql[place:end]))
        place = end
    return found


def _string_end(sql: str, start: int, quote: str) -> int:
    place = start
    while place < len(sql):
        if sql[place] == "\\":
            place += 2
        elif sql.startswith(quote, place):
            return place + len(quote)
        elif len(quote) == 1 and sql[place] == "\n":
            break
        else:
            place += 1
    raise _open(sql, start - len(quote), "string")


def _open(sql: str, place: int, what: str) -> ConfigError:
    line = sql.count("\n", 0, place) + 1
    return ConfigError("model_sql", f"A {what} begins at line {line} and does not end.", hint="Close it.")


def of_model(model: ModelSpec, project: str, position: str | None = None) -> str:
    """The statement of a model, in the lines in which the user wrote it: BigQuery names them in its errors.
    `position`: how far a cursor is; of an export of Google Analytics 4 earlier days are not read."""
    if model.ga4 is not None:
        since = ga4.first_day(position, model.ga4.since)
        found, _ = ga4.model(project, model.ga4.dataset, since, model.ga4.columns, intraday=model.ga4.intraday)
        return f"{found}\n"
    if model.sql is None:
        return of_table(str(model.table), project)
    before = model.sql[: len(model.sql) - len(model.sql.lstrip())]
    return before + one(model.sql)


def of_table(table: str, project: str) -> str:
    """The statement that reads a table: dataset.table, or project.dataset.table."""
    found = names.parse_table(table)
    if not found.dataset or not found.table:
        raise ConfigError("model_table", f"{table!r} names no dataset.", hint="Write dataset.table.")
    return f"SELECT * FROM {names.quoted(found.project or project, found.dataset, found.table)}\n"


def words(sql: str) -> set[str]:
    """Its words that are no comments, strings or quoted names: keywords, functions, names."""
    return {text for kind, _, text in _tokens(sql) if kind == "word"}


def calls_routine(sql: str) -> bool:
    """Whether it may call a routine: a function of a dataset, with a table or a value as its result. Such a name has a
    dot in it, as hardly any function of BigQuery's own has."""
    path: list[str] = []
    dotted = False
    for kind, _, text in _tokens(sql):
        if kind == "comment" or text.isspace():
            continue
        if kind in {"word", "name"}:
            parts = text.strip("`").split(".")
            path, dotted = (path + parts if dotted else parts), False
        elif text == ".":
            dotted = bool(path)
        else:
            if text == "(" and _is_routine(path):
                return True
            path, dotted = [], False
    return False


def _is_routine(path: list[str]) -> bool:
    names = [name.lower() for name in path]
    names = names[1:] if names[:1] == ["safe"] else names
    return len(names) > 1 and names[0] not in _OWN
