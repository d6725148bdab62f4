"""The book of jobs, and statements that are one transaction with their entry in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from bqemulator.domain.errors import InvalidQueryError

from tidemill.bigquery.local import jobs
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.jobs import Jobs
from tidemill.bigquery.local.statements import Statements, many_matches


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("CREATE TABLE t (a BIGINT NOT NULL)")
        yield made


def job(job_id: str, project: str = "p") -> dict[str, Any]:
    return jobs.resource(project, job_id, "EU", {"query": {"query": "…"}}, "somebody", 1000.0)


class Engine:
    """What of the emulator's engine is used."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def fetch_arrow(self, sql: str, parameters: list[Any] | None = None) -> Any:
        """Run it."""
        return self.connection.execute(sql, parameters or []).to_arrow_table()


def test_an_id_is_taken_while_the_job_runs_and_ever_after(connection: duckdb.DuckDBPyConnection) -> None:
    book = Jobs(connection)
    with book.running(job("a")):
        assert book.get("p", "a", None)["status"] == {"state": "RUNNING"}
        with pytest.raises(Refusal) as caught, book.running(job("a")):
            pass
        assert (caught.value.status, caught.value.reason) == (409, "duplicate")
        book.save_alone(job("a"))
    assert book.get("p", "a", "eu")["status"] == {"state": "DONE"}
    with pytest.raises(Refusal), book.running(job("a")):
        pass
    for project, location in (("q", None), ("p", "US")):
        with pytest.raises(Refusal, match="Not found: Job"):
            book.get(project, "a", location)


def test_a_job_that_raises_before_it_is_saved_never_was(connection: duckdb.DuckDBPyConnection) -> None:
    book = Jobs(connection)
    with pytest.raises(RuntimeError), book.running(job("a")):
        raise RuntimeError
    assert book.find("p", "a") is None
    with book.running(job("a")):
        pass


def test_a_job_that_had_begun_when_the_process_died_is_over(connection: duckdb.DuckDBPyConnection) -> None:
    Jobs(connection).begin(job("begun"))
    Jobs(connection).save_alone(job("done"))
    book = Jobs(connection)
    assert book.get("p", "begun", None)["status"]["errorResult"]["reason"] == "stopped"
    assert book.get("p", "done", None)["status"] == {"state": "DONE"}
    with pytest.raises(Refusal), book.running(job("begun")):
        pass


def test_jobs_are_listed_by_state_and_in_pages(connection: duckdb.DuckDBPyConnection) -> None:
    book = Jobs(connection)
    for name in "abc":
        book.save_alone(job(name))
    book.save_alone(job("x", "another"))
    with book.running(job("r")):
        ids = [found["jobReference"]["jobId"] for found in book.list("p", limit=10)]
        assert ids == ["r", "c", "b", "a"]
        assert len(book.list("p", limit=10, states=["running"])) == 1
        assert len(book.list("p", limit=10, states=["DONE"])) == 3
        assert [found["jobReference"]["jobId"] for found in book.list("p", limit=2, skip=1)] == ["c", "b"]


def test_a_statement_and_its_entry_are_both_there(connection: duckdb.DuckDBPyConnection) -> None:
    book, engine = Jobs(connection), Engine(connection)
    with Statements(engine, book).entering(job("j")):
        engine.fetch_arrow("INSERT INTO t VALUES (?), (2)", [1])
    assert connection.execute("SELECT sum(a) FROM t").fetchone() == (3,)
    entry = book.entry("p", "j")
    assert entry is not None
    assert entry["statistics"]["query"]["numDmlAffectedRows"] == "2"


class Broken(Jobs):
    """A book that cannot be written to."""

    def save(self, cursor: duckdb.DuckDBPyConnection, resource: dict[str, Any]) -> None:
        """Fail."""
        raise OSError(f"disk full: {cursor} {resource}")


def test_a_statement_whose_entry_cannot_be_made_is_not_done(connection: duckdb.DuckDBPyConnection) -> None:
    book, engine = Broken(connection), Engine(connection)
    with pytest.raises(OSError, match="disk full"), Statements(engine, book).entering(job("j")):
        engine.fetch_arrow("INSERT INTO t VALUES (1)")
    assert engine.fetch_arrow("SELECT count(*) AS n FROM t").to_pylist() == [{"n": 0}]


def test_a_null_where_none_may_be_is_said_in_bigquerys_words(connection: duckdb.DuckDBPyConnection) -> None:
    engine = Engine(connection)
    Statements(engine, Jobs(connection))
    with pytest.raises(InvalidQueryError, match="Required field a cannot be null"):
        engine.fetch_arrow("INSERT INTO t VALUES (NULL)")


@pytest.mark.parametrize(
    ("sql", "parameters", "kept"),
    [
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", [], []),
        (
            "MERGE INTO t AS x USING (SELECT ? AS a) AS s ON x.a = ? WHEN MATCHED AND s.a > ? THEN DELETE",
            [1, 2, 3],
            [1, 2, 3],
        ),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.b = ? THEN UPDATE SET b = ?", ["x", "y"], ["x"]),
        ("UPDATE t SET b = ? FROM s WHERE t.a = s.a AND s.b = ?", ["new", "old"], ["old"]),
    ],
)
def test_the_check_takes_only_the_parameters_that_it_has(sql: str, parameters: list[Any], kept: list[Any]) -> None:
    check = many_matches(sql, parameters)
    assert check is not None
    assert check[1] == kept
    for number in range(1, len(kept) + 1):
        assert f"${number}" in check[0]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT * FROM s",
        "UPDATE t SET b = 1 WHERE a = 2",
        "MERGE INTO t USING s ON FALSE WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE",
        "UPDATE what is this",
    ],
)
def test_nothing_is_checked_where_nothing_can_match_twice(sql: str) -> None:
    assert many_matches(sql, []) is None
