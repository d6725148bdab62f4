"""What is wrong with a statement, in one line as BigQuery has it, with line and column of the statement that was sent.

The emulator passes on the words of DuckDB and of its parser: several lines, about the statement that it made of ours,
and always in the location US.
"""

from __future__ import annotations

import re
from typing import Any

#: What DuckDB says, and how BigQuery begins it; `name`: what is wrong, `of`: what it should be a part of.
_SAID = (
    (
        re.compile(r'Table "(?P<of>[^"]+)" does not have a column named "(?P<name>[^"]+)"'),
        "Name {name} not found inside {of}",
    ),
    (re.compile(r'Referenced (?:column|table) "(?P<name>[^"]+)" not found'), "Unrecognized name: {name}"),
    (
        re.compile(r'column "(?P<name>[^"]+)" must appear in the GROUP BY clause'),
        "SELECT list expression references column {name} which is neither grouped nor aggregated",
    ),
    (re.compile(r"Function not found: (?P<name>\S+) at \[\d+:\d+\]"), "Function not found: {name}"),
    (
        re.compile(r'Syntax error: Unexpected identifier "(?P<name>[^"]+)" at \[\d+:\d+\]'),
        'Syntax error: Unexpected identifier "{name}"',
    ),
)
#: Of sqlglot: line, the column at which the word ends, and the word, underlined.
_UNPARSED = re.compile(r"^Syntax error: .*?Line (\d+), Col: (\d+)\.\n.*?\x1b\[4m(.*?)\x1b\[0m", re.DOTALL)
_PLACE = re.compile(r"(was not found in location) US\b")


def worded(message: str, sql: str, location: str) -> str:
    """The message about a statement whose job is in that location."""
    if found := _UNPARSED.search(message):
        line, end, word = int(found[1]), int(found[2]), found[3]
        return f'Syntax error: Unexpected "{word}" at [{line}:{max(end - len(word) + 1, 1)}]'
    for pattern, told in _SAID:
        if found := pattern.search(message):
            named = found.groupdict()
            at = _position(sql, named["name"], named.get("of"))
            return told.format(**named) + (f" at [{at[0]}:{at[1]}]" if at else "")
    if re.search(r"\nLINE \d+:", message):
        message = message.partition("\n")[0]
    return _PLACE.sub(rf"\1 {location}", message)


def reworded(body: dict[str, Any], sql: str, location: str) -> None:
    """The same in the body of an answer that is an error."""
    error = body.get("error")
    if isinstance(error, dict):
        for part in (error, *(error.get("errors") or [])):
            part["message"] = worded(str(part.get("message", "")), sql, location)


def _position(sql: str, name: str, of: str | None) -> tuple[int, int] | None:
    """Line and column of the first word of that name; `of`: that stands before it, with a dot."""
    import sqlglot  # comes with the emulator

    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None
    tokens = [one for one in tokens if one.token_type is not sqlglot.TokenType.STRING]
    same = [number for number, one in enumerate(tokens) if one.text.lower() == name.lower()]
    parts = [number for number in same if of and number > 1 and tokens[number - 2].text.lower() == of.lower()]
    if not same:
        return None
    start = tokens[(parts or same)[0]].start
    before = sql[:start]
    return before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1
