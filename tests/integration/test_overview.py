"""What Home shows: how all stands, from the database."""

from __future__ import annotations

import datetime as dt

import psycopg
from tests.acceptance.web.filled import fill
from tests.installation import Installation


def test_how_all_stands(installation: Installation) -> None:
    with installation.app() as app:
        assert app.overview.look().is_empty
        fill(app)
        state = app.overview.look()
        assert not state.is_empty
        assert {name: state.counts[name] for name in ("exports", "connections", "failed", "syncs")} == {
            "exports": 4, "connections": 1, "failed": 2, "syncs": 0,
        }  # fmt: skip
        assert [(run.name, run.done, run.planned) for run in state.running] == [("sessions", 2_000, 4_000)]
        assert {failed.code for failed in state.failed} == {"table_gone"}
        assert [fresh.name for fresh in state.fresh][-1] == "events", "the oldest come first"
        assert {decision.cause for decision in state.decisions} == {"failed"}
        assert len(app.overview.look(most=1).failed) == 1


def test_rows_are_counted_by_the_hour_and_hours_that_are_over_are_asked_for_once(installation: Installation) -> None:
    with installation.app() as app:
        fill(app)
        hours = app.overview.look(hours=12).hours
        assert len(hours) == 12
        assert [hour.start for hour in hours] == sorted(hour.start for hour in hours)
        assert all(hour.start.minute == 0 and hour.start.tzinfo is dt.UTC for hour in hours)
        exported = [hour.exported for hour in hours]
        assert exported[2] > 0
        assert exported[2] % 1_000 == 0
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            session.execute("DELETE FROM tidemill.runs WHERE status = 'completed'")
        assert app.overview.look(hours=12).hours[2].exported == exported[2], "it is over, and known"
