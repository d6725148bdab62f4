"""The last step before DuckDB: what a statement of the emulator lacks there to be one of BigQuery's.

- A DML statement is one transaction with its job's entry in the book: whenever the process is killed, both are there or
  neither is.
- UPDATE and MERGE fail if a row of the target matches more than one row of the source; DuckDB takes the last.
- A NULL in a REQUIRED column fails in BigQuery's words.
- A dry run reads nothing; the emulator would run the query.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Iterator
from typing import Any

import duckdb
from bqemulator.domain.errors import InvalidQueryError

from tidemill.bigquery.local.jobs import Jobs

_DML = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b", re.IGNORECASE)
_NULL = re.compile(r"NOT NULL constraint failed: (?:.*\.)?(.+)")
_MANY = "UPDATE/MERGE must match at most one source row for each target row"
_DRY: contextvars.ContextVar[bool] = contextvars.ContextVar("dry", default=False)
_JOB: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("job", default=None)


class Statements:
    """Takes the place of the engine's `fetch_arrow`, by which the emulator runs every statement."""

    def __init__(self, engine: Any, book: Jobs) -> None:
        self._engine, self._book = engine, book
        self._plain = engine.fetch_arrow
        engine.fetch_arrow = self._run

    @contextlib.contextmanager
    def entering(self, job: dict[str, Any]) -> Iterator[None]:
        """The next DML statement of this task is the job's: it enters the job when it is done."""
        token = _JOB.set(job)
        try:
            yield
        finally:
            _JOB.reset(token)

    @contextlib.contextmanager
    def dry(self) -> Iterator[None]:
        """Statements of this task give their columns, and no rows."""
        token = _DRY.set(True)
        try:
            yield
        finally:
            _DRY.reset(token)

    def _run(self, sql: str, parameters: list[Any] | None = None) -> Any:
        if not _DML.match(sql):
            return self._plain(f"SELECT * FROM ({sql}) LIMIT 0" if _DRY.get() else sql, parameters)
        connection: duckdb.DuckDBPyConnection = self._engine.connection
        connection.execute("BEGIN")
        try:
            check = many_matches(sql, parameters or [])
            if check and connection.execute(*check).fetchone():
                raise InvalidQueryError(_MANY)
            result = self._plain(sql, parameters)
            if job := _JOB.get():
                self._book.save(connection, _done(job, sql, result))
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):  # a failed COMMIT has ended the transaction
                connection.execute("ROLLBACK")
            if found := _NULL.search(str(error)):
                raise InvalidQueryError(f"Required field {found[1]} cannot be null") from error
            raise
        return result


def _done(job: dict[str, Any], sql: str, result: Any) -> dict[str, Any]:
    """The entry of a statement that is done; the emulator's answer will say the rest."""
    rows = result.column(0)[0].as_py() if result.num_rows and result.num_columns else 0
    kind = sql.split(maxsplit=1)[0].upper()
    query = {
        "statementType": "TRUNCATE_TABLE" if kind == "TRUNCATE" else kind,
        "numDmlAffectedRows": str(rows or 0),
        "totalRows": "0",
        "totalBytesProcessed": "0",
    }
    return {**job, "statistics": {**job["statistics"], "query": query}}


def many_matches(sql: str, parameters: list[Any]) -> tuple[str, list[Any]] | None:
    """A query, in DuckDB's SQL, that has a row if a row of the target matches two of the source; with its parameters.

    None if the statement cannot have such a match.
    """
    import sqlglot
    from bqemulator.sql.parameters import _replace_question_marks
    from sqlglot import exp

    if not re.match(r"\s*(UPDATE|MERGE)\b", sql, re.IGNORECASE):
        return None
    numbers = iter(range(1, len(parameters) + 1))
    try:
        tree = sqlglot.parse_one(_replace_question_marks(sql, lambda _: f"${next(numbers)}"), dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return None
    if isinstance(tree, exp.Merge):
        source, conditions = tree.args["using"], [tree.args["on"], _matched(tree)]
    else:
        source = tree.args["from_"].this if tree.args.get("from_") else None
        conditions = [tree.args["where"].this if tree.args.get("where") else exp.true()]
    if source is None or None in conditions:
        return None
    target = tree.this
    row = exp.column("rowid", table=target.alias_or_name, quoted=True)
    query = (
        exp.select(exp.Literal.number(1))
        .from_(target.copy())
        .join(source.copy(), join_type="cross")
        .where(*[condition.copy() for condition in conditions])
        .group_by(row)
        .having("count(*) > 1")
        .limit(1)
    )
    return _renumbered(query, parameters)


def _matched(merge: Any) -> Any:
    """When a pair of rows is acted upon: one of the WHEN MATCHED clauses holds. None if there is no such clause."""
    from sqlglot import exp

    clauses = [when for when in merge.args["whens"].expressions if when.args.get("matched")]
    if not clauses:
        return None
    return exp.or_(*[when.args.get("condition") or exp.true() for when in clauses])


def _renumbered(query: Any, parameters: list[Any]) -> tuple[str, list[Any]]:
    """DuckDB takes no parameter that a statement does not use."""
    from sqlglot import exp

    found = list(query.find_all(exp.Placeholder))
    used = sorted({int(placeholder.name) for placeholder in found})
    for placeholder in found:
        placeholder.set("this", str(used.index(int(placeholder.name)) + 1))
    return query.sql(dialect="duckdb"), [parameters[number - 1] for number in used]
