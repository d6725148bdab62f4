"""Our dbt package: what it says of tables is what Tidemill's models say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import dbt_package, dbt_program, zetasql_check
from tests.dbt_package import Package
from tests.dbt_program import needs_dbt

from tidemill.bigquery import written_sql
from tidemill.dbt import manifest
from tidemill.models.amplitude_events import AMPLITUDE_EVENTS
from tidemill.models.events import EVENTS
from tidemill.models.merge_ids import MERGE_IDS
from tidemill.models.model import Column
from tidemill.models.persons import PERSONS
from tidemill.models.run_log import RUN_LOG
from tidemill.models.sessions import SESSIONS

MODELS = (EVENTS, PERSONS, SESSIONS, AMPLITUDE_EVENTS, MERGE_IDS)
TABLES: dict[str, tuple[str, Sequence[Column]]] = {
    **{model.name: (model.description, model.columns) for model in MODELS},
    "runs": (RUN_LOG.description, RUN_LOG.columns),
    "sync_runs": (written_sql.NAMES["sync_runs"], written_sql.RUNS),
    "sync_changelog": (written_sql.NAMES["sync_changelog"], written_sql.CHANGELOG),
    "sync_snapshot": (written_sql.NAMES["sync_snapshot"], written_sql.SNAPSHOT),
}
#: All models, on and off.
USES = {f"tidemill_use_{name}": True for name in ("events", "persons", "sessions", "amplitude", "runs", "syncs")}


def sources() -> dict[str, dict[str, Any]]:
    listed = dbt_package.document("models/sources.yml")["sources"]
    return {table["name"]: table for source in listed for table in source["tables"]}


def test_there_is_a_source_for_each_table_that_is_written() -> None:
    assert set(sources()) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_columns_of_a_source_are_those_of_the_model(name: str) -> None:
    description, columns = TABLES[name]
    found = sources()[name]
    assert found["description"] == description
    assert {one["name"]: one["description"] for one in found["columns"]} == {
        column.name: column.description for column in columns
    }


def test_each_source_has_a_staging_model_that_is_described() -> None:
    described = {model["name"] for model in dbt_package.document("models/staging.yml")["models"]}
    package = Package("p", "d", {})
    assert described == set(package.models())
    read = {
        name
        for model in package.models()
        for name in re.findall(r"source\('\w+', '(\w+)'\)", (dbt_package.MODELS / f"{model}.sql").read_text())
    }
    assert read == set(TABLES)


def test_variables_say_where_tables_are() -> None:
    package = Package("p", "d", {"tidemill_project": "q", "tidemill_dataset": "x", "tidemill_events_table": "live"})
    assert "from `q.x.live`" in package.sql("stg_tidemill__events")
    assert "from `q.__tidemill_reverse_etl.sync_runs`" in package.sql("stg_tidemill__sync_runs")
    assert "from `p.product_data.persons`" in Package("p", "d", {}).sql("stg_tidemill__person_distinct_ids")


def test_old_events_can_be_left_unread() -> None:
    assert "interval 30 day" in Package("p", "d", {"tidemill_days": 30}).sql("stg_tidemill__events")
    assert "where true" in Package("p", "d", {}).sql("stg_tidemill__events")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("model", Package("p", "d", {}).models())
def test_googles_own_analyzer_understands_each_model(model: str, as_json: bool) -> None:
    names = {"amplitude_events": "EVENTS_1", "merge_ids": "MERGE_IDS_1", "runs": "tidemill_runs"}
    tables = {
        f"p.{'__tidemill_reverse_etl' if name.startswith('sync') else 'product_data'}.{names.get(name, name)}": {
            column.name: _kind(column, as_json) for column in columns
        }
        for name, (_, columns) in TABLES.items()
    }
    zetasql_check.analyze(Package("p", "d", {"tidemill_days": 30}).whole_sql(model), tables)


def _kind(column: Column, as_json: bool) -> str:
    kind = "JSON" if column.json and as_json else column.type.name
    return f"ARRAY<{kind}>" if column.repeated else kind


def profiles(folder: Path, **more: Any) -> Path:
    """A folder with a profile, of which nothing is asked unless it has more."""
    output = {"type": "bigquery", "method": "oauth", "project": "prod-1", "dataset": "marts", "threads": 1, **more}
    written = {"tidemill": {"target": "prod", "outputs": {"prod": output}}}
    (folder / "profiles.yml").write_text(json.dumps(written))  # JSON is YAML
    return folder


@needs_dbt
@pytest.mark.parametrize("on", [True, False])
def test_dbt_parses_it_without_a_warning_and_tidemill_knows_its_keys(on: bool, tmp_path: Path) -> None:
    words = ["parse", "--profile", "tidemill", "--target-path", str(tmp_path / "target")]
    words += ["--log-path", str(tmp_path), "--warn-error", "--vars", json.dumps(dict.fromkeys(USES, on))]
    done = dbt_program.run(*words, folder=dbt_package.FOLDER, profiles=profiles(tmp_path))
    assert done.returncode == 0, done.stdout
    found = manifest.read((tmp_path / "target" / "manifest.json").read_bytes())
    assert set(found.models) == ({f"model.tidemill.{name}" for name in Package("p", "d", {}).models()} if on else set())
    if on:
        assert found.find("stg_tidemill__events").keys == (("team_id", "uuid"),)
        assert found.find("stg_tidemill__sync_snapshot").keys == (("sync_id", "row_key"),), "not sync_id alone"
        assert found.find("stg_tidemill__merge_ids").keys == (("amplitude_id",),)
        assert str(found.find("stg_tidemill__events").relation) == "prod-1.marts.stg_tidemill__events"
