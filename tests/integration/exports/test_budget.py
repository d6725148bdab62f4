"""So many jobs of a connection are at work at once: one too many waits, and can be cancelled while it does."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.installation import Installation
from tests.schedules import due, of_schedule, record, work
from tests.streams import eventually

from tidemill.app import App
from tidemill.store.jobs import Jobs


def places(app: App, worker: str, number: int) -> list[int]:
    """Places of the connection, taken by that worker."""
    jobs, connection = Jobs(app.database), record(app).connection_id
    found = [jobs.take(connection, worker, 100) for _ in range(number)]
    return [place for place in found if place is not None]


def waits(app: App) -> bool:
    """Whether the run has written its file and waits."""
    run = next(iter(app.exports.runs.find("hourly", limit=1)), None)
    return bool(run and [chunk.status for chunk in run.chunks] == ["written"])


def test_a_job_waits_until_there_is_a_place(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, uuids):
        app.engine.launch()
        taken = places(app, app.engine.worker, app.settings.connection_jobs)
        working = threading.Thread(target=work, args=(app,))
        working.start()
        eventually(lambda: waits(app), "the run waits")
        assert installation.uuids("hourly") == []
        Jobs(app.database).free(taken[0])
        working.join()
        assert of_schedule(app) == [("completed", 20)]
        assert installation.uuids("hourly") == sorted(uuids)
        assert len(places(app, "x", 100)) == 100 - len(taken) + 1, "the place was given back"


def test_places_of_the_dead_are_free(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, uuids):
        places(app, "of nobody", app.settings.connection_jobs)
        work(app)
        assert installation.uuids("hourly") == sorted(uuids)


def test_what_waits_for_a_place_is_cancelled_at_once(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, _):
        app.engine.launch()
        places(app, app.engine.worker, app.settings.connection_jobs)
        working = threading.Thread(target=work, args=(app,))
        working.start()
        eventually(lambda: waits(app), "the run waits")
        app.exports.runs.cancel(app.exports.runs.find("hourly", limit=1)[0].id.hex)
        working.join()
        assert of_schedule(app) == [("cancelled", 0)]
