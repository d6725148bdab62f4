"""Sources and source models of an installation: made, looked at, changed and unmade."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError
from tidemill.reverse_etl.models import SourceModelService
from tidemill.store.sync_books import SyncBooks

ROWS = """
SELECT 1 AS id, 'a' AS name, 1.5 AS score, TRUE AS paid
UNION ALL SELECT 2, 'b', NULL, FALSE
UNION ALL SELECT 3, NULL, 2.5, NULL
"""


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app() as opened:
        installation.connect(opened)
        yield opened


@pytest.fixture
def people(installation: Installation) -> str:
    """A table of the data, as a model names it."""
    return _table(installation, "people", ROWS)


def _table(installation: Installation, name: str, rows: str) -> str:
    client = installation.client()
    try:
        table = f"{DEFAULT_PROJECT}.{installation.dataset}.{name}"
        client.google().query(f"CREATE TABLE `{table}` AS {rows}", location="EU").result()
    finally:
        client.close()
    return f"{installation.dataset}.{name}"


def _state(installation: Installation) -> str:
    return f"__state_{installation.dataset}"


def _enable(app: App, installation: Installation, **fields: Any) -> list[str]:
    """Make the connection a source; gives the steps that failed."""
    given = {"state_dataset": _state(installation), **fields}
    return [
        step.name for step in app.reverse_etl.sources.enable(CONNECTION, given, by="tester") if step.status == "failed"
    ]


@pytest.fixture
def models(app: App, installation: Installation) -> SourceModelService:
    """Models of a source."""
    assert _enable(app, installation) == []
    return app.reverse_etl.models


def _add(models: SourceModelService, **fields: Any) -> Any:
    return models.add(CONNECTION, {"name": "people", "key": ("id",), **fields}, by="tester")


def _sync(app: App, model_id: uuid.UUID, *, columns: list[str] | None = None) -> None:
    """A sync of a model."""
    books = SyncBooks.of(app.database)
    account = books.accounts.add(name="hook", kind="webhook", account="a", settings={}, secret=None, made_by="tester")
    books.syncs.add(
        name="to hook", model_id=model_id, destination_id=account.id, spec={}, columns=columns, made_by="tester"
    )


def test_a_connection_becomes_a_source_if_its_test_passes(app: App, installation: Installation) -> None:
    sources = app.reverse_etl.sources
    assert sources.of(CONNECTION) is None
    with pytest.raises(ConfigError, match="is no source yet"):
        sources.get(CONNECTION)
    assert _enable(app, installation, access="limited") == ["state dataset"]
    assert sources.of(CONNECTION) is None
    assert _enable(app, installation) == []
    made = sources.get(CONNECTION)
    assert (made.access, made.state_dataset, made.location) == ("full", _state(installation), "EU")
    assert [source.connection for source in sources.find()] == [CONNECTION]
    assert all(step.status != "failed" for step in sources.test(CONNECTION))


def test_what_is_not_named_stays_and_a_source_that_only_reads_has_no_state(
    app: App, installation: Installation
) -> None:
    sources = app.reverse_etl.sources
    _enable(app, installation)
    assert [step.name for step in sources.enable(CONNECTION, {"access": "limited"}, by="other") if step.found]
    made = sources.get(CONNECTION)
    assert (made.access, made.state_dataset, made.made_by) == ("limited", _state(installation), "tester")
    with pytest.raises(ConfigError, match="has no state dataset"):
        _enable(app, installation, access="read-only")
    list(sources.enable(CONNECTION, {"access": "read-only"}, by="tester"))
    assert sources.get(CONNECTION).state_dataset is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"access": "some"}, "--access is one of: full, limited, read-only"),
        ({"state_dataset": "a b"}, "--state-dataset"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(
    app: App, installation: Installation, fields: dict[str, Any], said: str
) -> None:
    before = len(installation.local.requests())
    with pytest.raises(ConfigError, match=said):
        _enable(app, installation, **fields)
    assert len(installation.local.requests()) == before


def test_state_cannot_be_moved_from_under_a_sync(
    app: App, installation: Installation, models: SourceModelService, people: str
) -> None:
    made, _ = _add(models, table=people)
    _sync(app, made.id)
    for fields in ({"access": "read-only"}, {"state_dataset": "other"}):
        with pytest.raises(ConflictError, match="1 sync: to hook"):
            list(app.reverse_etl.sources.enable(CONNECTION, fields, by="tester"))
    assert _enable(app, installation, access="limited") == []


def test_a_source_with_models_stays_and_so_does_its_connection(
    app: App, models: SourceModelService, people: str
) -> None:
    _add(models, table=people)
    with pytest.raises(ConflictError, match="Source models use warehouse: people"):
        app.reverse_etl.sources.disable(CONNECTION)
    with pytest.raises(ConflictError) as caught:
        app.connections.delete(CONNECTION)
    assert caught.value.message == "The connection is a source of reverse ETL."
    assert "tidemill reverse-etl disable" in caught.value.hint
    models.delete("people")
    app.reverse_etl.sources.disable(CONNECTION)
    app.connections.delete(CONNECTION)
    assert app.connections.find() == []


def test_a_model_is_a_statement_or_a_table_with_a_key(models: SourceModelService, people: str) -> None:
    made, found = _add(models, table=people, key=("ID",), description="All of them")
    assert (made.table, made.sql, made.key, made.description) == (people, None, ("id",), "All of them")
    assert [(column.name, column.type, column.key) for column in found.columns] == [
        ("id", "INT64", True),
        ("name", "STRING", False),
        ("score", "FLOAT64", False),
        ("paid", "BOOL", False),
    ]
    made, found = _add(
        models, name="some", sql=f"SELECT id, name AS `Name` FROM {people}; -- that is it", key=("name",)
    )
    assert made.key == ("Name",)
    assert [model.name for model in models.find()] == ["people", "some"]
    assert models.get("PEOPLE").connection == CONNECTION
    with pytest.raises(NotFoundError):
        models.get("nobody")


REFUSED = [
    ("SELEC 1", "model_no_select", "begins with SELEC"),
    ("SELECT id FROM {people} WHERE nope = 1", "model_sql", r"statement: Unrecognized name: nope at \[1:\d+\] \["),
    ("\n\nSELECT id,\n  (1 + FROM {people}", "model_sql", r"at \[4:8\]"),
    ("SELECT id FROM {people}; SELECT 2", "model_statements", "the second begins at line 1"),
    ("CREATE TABLE {people}2 AS SELECT 1 AS id", "model_no_select", "begins with CREATE"),
    ("DELETE FROM {people} WHERE TRUE", "model_no_select", "begins with DELETE"),
    ("SELECT name FROM {people}", "model_key", "gives no column id"),
    ("SELECT score AS id FROM {people}", "model_key", "id is FLOAT64"),
    ("SELECT [id] AS id FROM {people}", "model_key", "id is ARRAY"),
    ("SELECT STRUCT(id, name) AS id FROM {people}", "model_key", "id is STRUCT"),
    ("SELECT TO_JSON(id) AS id FROM {people}", "model_key", "id is JSON"),
    ("SELECT * FROM {people}_not_there", "model_reads_nothing", "_not_there was not found in location EU"),
]


def test_what_can_be_no_model_is_said_when_it_is_made(models: SourceModelService, people: str) -> None:
    for sql, code, said in REFUSED:
        with pytest.raises((ConfigError, NotFoundError), match=said) as caught:
            _add(models, sql=sql.format(people=people))
        assert caught.value.code == code, sql
    assert models.find() == []


def test_a_name_that_is_taken_or_cannot_be_is_refused(models: SourceModelService, people: str) -> None:
    _add(models, table=people)
    for name in ("People", "events", "Sessions"):
        with pytest.raises(ConflictError):
            _add(models, name=name, table=people)
    for fields in ({"name": "-"}, {"key": ()}, {"key": ("id", "ID")}, {"sql": "SELECT 1"}, {"max_bytes_billed": 1}):
        with pytest.raises(ConfigError):
            _add(models, **{"name": "new", "table": people, **fields})


def test_a_statement_that_reads_elsewhere_than_the_state_is_found(
    installation: Installation, models: SourceModelService, people: str
) -> None:
    other = f"us_{installation.dataset}"
    installation.local.create_dataset(other, "US")
    client = installation.client()
    with contextlib.closing(client):
        client.google().query(f"CREATE TABLE `{DEFAULT_PROJECT}.{other}.people` AS {ROWS}", location="US").result()
    with pytest.raises(ConfigError) as caught:
        _add(models, table=f"{other}.people")
    assert caught.value.code == "model_location"
    assert f"is in US, and the state dataset {_state(installation)} is in EU" in caught.value.message
    with pytest.raises(NotFoundError) as missing:
        _add(models, sql=f"SELECT id FROM {people} JOIN {other}.people USING (id)")
    assert missing.value.code == "model_reads_nothing"
    assert "must be in EU" in missing.value.hint


def test_what_may_not_be_read_is_named_with_what_grants_it(
    installation: Installation, models: SourceModelService, people: str
) -> None:
    installation.local.key("tidemill", deny=["bigquery.tables.getData"])
    with pytest.raises(AccessError) as caught:
        _add(models, table=people)
    installation.local.key("tidemill")
    assert caught.value.message == (
        f"The permission bigquery.tables.getData is missing on the table {DEFAULT_PROJECT}.{people}."
    )
    assert "roles/bigquery.dataEditor" in caught.value.hint


def test_a_model_is_changed_and_what_is_not_named_stays(models: SourceModelService, people: str) -> None:
    _add(models, table=people, description="All", max_bytes_billed=20_000_000)
    changed, found = models.edit("people", {"sql": f"SELECT id, name FROM {people}", "name": "everybody"})
    assert (changed.name, changed.table, changed.key, changed.description) == ("everybody", None, ("id",), "All")
    assert changed.max_bytes_billed == 20_000_000
    assert found
    assert [column.name for column in found.columns] == ["id", "name"]
    assert models.edit("everybody", {"description": "Some"})[1] is None  # nothing that BigQuery would know of
    assert models.edit("everybody", {"max_bytes_billed": None})[0].max_bytes_billed is None
    assert models.edit("everybody", {"name": "Everybody"})[0].name == "Everybody"
    with pytest.raises(ConfigError, match="Nothing to change"):
        models.edit("everybody", {})
    with pytest.raises(ConfigError, match="no column id"):
        models.edit("everybody", {"sql": f"SELECT name FROM {people}"})
    with pytest.raises(ConflictError):
        models.edit("everybody", {"name": "sessions"})


def test_what_syncs_need_stays(app: App, models: SourceModelService, people: str) -> None:
    made, _ = _add(models, table=people)
    _sync(app, made.id, columns=["name", "score"])
    assert models.get("people").syncs == ("to hook",)
    with pytest.raises(ConflictError, match="The sync to hook delivers score, which"):
        models.edit("people", {"sql": f"SELECT id, name FROM {people}"})
    with pytest.raises(ConflictError, match="know rows of people by id"):
        models.edit("people", {"key": ("name",)})
    with pytest.raises(ConflictError, match="Syncs deliver rows of people: to hook"):
        models.delete("people")
    changed, _ = models.edit("people", {"sql": f"SELECT id, SCORE, name, 1 AS more FROM {people}"})
    assert changed.table is None


def test_the_first_rows_are_shown_as_json_has_them(models: SourceModelService, people: str) -> None:
    _add(models, sql=f"SELECT *, [1, 2] AS tags, DATE '2026-01-02' AS day FROM {people} ORDER BY id -- all")
    found = models.preview("people")
    assert found.columns == ("id", "name", "score", "paid", "tags", "day")
    assert found.rows[0] == {"id": 1, "name": "a", "score": 1.5, "paid": True, "tags": [1, 2], "day": "2026-01-02"}
    assert [row["name"] for row in found.rows] == ["a", "b", None]
    models.edit("people", {"sql": "SELECT id FROM UNNEST(GENERATE_ARRAY(1, 30)) AS id"})
    assert len(models.preview("people").rows) == 10
    models.edit("people", {"sql": "SELECT 1 AS id LIMIT 0"})
    assert models.preview("people").rows == ()


def test_keys_that_are_none_are_counted_with_examples(installation: Installation, models: SourceModelService) -> None:
    twice = " UNION ALL ".join(f"SELECT {number} AS a, 'x' AS b FROM UNNEST([1, 2])" for number in range(7))
    rows = f"{twice} UNION ALL SELECT 7, 'x' FROM UNNEST([1, 2, 3]) UNION ALL SELECT 8, 'y' UNION ALL SELECT NULL, 'z'"
    table = _table(installation, "pairs", rows)
    _add(models, table=table, key=("a", "b"))
    found = models.check("people")
    assert (found.rows, found.null_rows, found.duplicate_keys, found.duplicate_rows) == (19, 1, 8, 17)
    assert not found.good
    assert len(found.examples) == 5
    assert found.examples[0] == {"key": {"a": 7, "b": "x"}, "rows": 3}
    models.edit("people", {"sql": f"SELECT DISTINCT a, b FROM {table} WHERE a IS NOT NULL"})
    assert models.check("people").good
    models.edit("people", {"sql": f"SELECT a, b FROM {table} WHERE FALSE"})
    assert (models.check("people").rows, models.check("people").good) == (0, True)


def test_a_look_costs_nothing_and_runs_nothing(
    installation: Installation, models: SourceModelService, people: str
) -> None:
    _add(models, table=people)
    before = len(installation.local.requests())
    found = models.look("people")
    jobs = [one for one in installation.local.requests()[before:] if one["path"].endswith("/jobs")]
    assert [one["body"]["configuration"]["dryRun"] for one in jobs] == [True]
    assert found.dollars == 0  # the embedded BigQuery bills nothing


def test_statements_are_bounded(installation: Installation, models: SourceModelService, people: str) -> None:
    _add(models, table=people, max_bytes_billed=20_000_000)
    before = len(installation.local.requests())
    models.preview("people")
    models.check("people")
    sent = [
        one["body"]["configuration"]
        for one in installation.local.requests()[before:]
        if one["method"] == "POST" and one["path"].endswith("/jobs")
    ]
    bounds = [one["query"].get("maximumBytesBilled") for one in sent if not one.get("dryRun")]
    assert bounds == ["20000000", "20000000"]
    limit = {"path": "/jobs$", "method": "POST", "nth": 2, "fault": "job_error"}
    said = "Query exceeded limit for bytes billed: 20000000. 40000000 or higher required."
    installation.local.set_faults([{**limit, "reason": "bytesBilledLimitExceeded", "message": said}])
    with pytest.raises(ConfigError, match="40000000 or higher") as caught:
        models.preview("people")
    installation.local.set_faults([])
    assert caught.value.code == "bytes_billed_limit"
    assert "tidemill model edit" in caught.value.hint


def test_a_column_without_a_name_is_refused(models: SourceModelService, people: str) -> None:
    with pytest.raises(ConfigError, match="have no name; BigQuery calls the first f0_") as e:
        _add(models, sql=f"SELECT id, COUNT(*) FROM `{people}` GROUP BY id")
    assert "alias" in e.value.hint
