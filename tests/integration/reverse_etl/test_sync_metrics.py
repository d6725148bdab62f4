"""What `/metrics` tells of syncs is what the command line tells of their runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, run

from tidemill.app import App
from tidemill.reverse_etl import figures
from tidemill.store import sync_totals
from tidemill.store.database import HEAD

PREFIX = "tidemill_sync_"


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def told(app: App) -> dict[str, float]:
    """By the rest of the name, and the state or outcome."""
    found = {}
    for family in text_string_to_metric_families(figures.text_of(*sync_totals.read(app.database))):
        for sample in family.samples:
            assert (sample.labels["sync"], sample.labels["model"], sample.labels["destination"]) == (
                NAME,
                "people",
                "hook",
            )
            more = sample.labels.get("state") or sample.labels.get("outcome")
            found[sample.name.removeprefix(PREFIX) + (f"_{more}" if more else "")] = sample.value
    return found


def test_runs_and_rows_are_counted_by_how_they_ended(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    assert b"tidemill_sync" not in app.figures()
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, interval="day")
    new = told(app)
    assert (new["runs_total_completed"], new["runs_running"], new["paused"], new["overdue_seconds"]) == (0, 0, 0, 0)
    assert "last_success_timestamp_seconds" not in new
    crm.faults = [Reply(403, {})]
    run(app)
    failed = told(app)
    assert (failed["runs_total_failed"], failed["last_run_failed"], failed["rows_total_written"]) == (1, 1, 0)
    assert "rows_to_retry" not in failed
    over = run(app)
    done = told(app)
    assert (done["runs_total_completed"], done["last_run_failed"], done["rows_to_retry"]) == (1, 0, 1)
    assert (done["rows_total_written"], done["rows_total_rejected"], done["rows_total_retry"]) == (19, 1, 0)
    assert over.finished_at is not None
    assert abs(done["last_success_timestamp_seconds"] - over.finished_at.timestamp()) < 0.01
    assert done["run_duration_seconds_count"] == 1
    assert done["run_duration_seconds_sum"] == pytest.approx(done["last_run_duration_seconds"], abs=0.01)
    people.rows[7] = ("p7@example.com", "free")
    people.save()
    run(app)
    assert run(app).status == "skipped"
    last = told(app)
    assert (last["runs_total_completed"], last["runs_total_skipped"], last["rows_to_retry"]) == (2, 1, 0)
    assert last["last_success_timestamp_seconds"] > last["last_run_timestamp_seconds"]
    app.reverse_etl.syncs.pause(NAME, "me")
    assert told(app)["paused"] == 1
    assert "next_run_timestamp_seconds" not in told(app)
    _history_is_counted_the_same(app)


def _history_is_counted_the_same(app: App) -> None:
    before = told(app)
    with app.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE tidemill.sync_totals"))
        connection.execute(sa.text("UPDATE tidemill.alembic_version SET version_num = '0023'"))
    app.database._upgrade("0024")
    with app.database.begin() as connection:
        connection.execute(sa.text(f"UPDATE tidemill.alembic_version SET version_num = '{HEAD}'"))
    assert told(app) == before
