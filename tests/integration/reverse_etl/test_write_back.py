"""What a run did is written into the state dataset, once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import CONNECTION, Installation
from tests.integration.reverse_etl.test_syncs import ALLOWED, dying
from tests.syncs import MAPPING, NAME, Crm, Killed, People, prepare, quiet
from tests.syncs import run as run_once

from tidemill.app import App
from tidemill.bigquery.tables import Layout
from tidemill.errors import ConfigError, ConflictError
from tidemill.models.model import Column
from tidemill.models.types import Type
from tidemill.reverse_etl.plan.written import Writer
from tidemill.reverse_etl.views import RunView

_MINE = Column("mine", Type.STRING, "")


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(**ALLOWED) as opened:
        yield opened


def run(app: App, **options: Any) -> RunView:
    """Run the sync to its end. The lock of the last run may be held until the database has noticed that it is over."""
    while True:
        try:
            return run_once(app, **options)
        except ConflictError as error:
            if error.code != "sync_running":
                raise


class Written:
    """What people who look with SQL see."""

    def __init__(self, installation: Installation, people: People) -> None:
        self._dataset, self._people = f"{installation.dataset}_state", people

    def runs(self) -> list[tuple[Any, ...]]:
        """Number, status and counts of runs."""
        counts = "added, updated, deleted, unchanged, retried, invalid, written, rejected, to_retry"
        return self._ask(f"SELECT run_number, status, {counts} FROM `{self._dataset}.sync_runs` ORDER BY run_number")

    def rows(self) -> list[tuple[Any, ...]]:
        """Of rows that did not succeed, or were no additions: run, key, op, status, code, reason, tries, first run."""
        return self._ask(
            "SELECT run_number, row_key, op, status, failure_code, failure_reason, tries, first_run\n"
            f"FROM `{self._dataset}.sync_changelog` WHERE status != 'succeeded' OR op != 'added' OR run_number > 1\n"
            "ORDER BY run_number, CAST(row_key AS INT64)"
        )

    def statuses(self) -> dict[tuple[int, str], int]:
        """How many rows of each run are of each status."""
        asked = f"SELECT run_number, status, COUNT(*) FROM `{self._dataset}.sync_changelog` GROUP BY 1, 2"
        return {(number, status): count for number, status, count in self._ask(asked)}

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """By key: status, op, code, reason, tries, and the run that changed it."""
        names = "row_key, status, op, failure_code, failure_reason, tries, run_number"
        return {str(row[0]): row[1:] for row in self._ask(f"SELECT {names} FROM `{self._dataset}.sync_snapshot`")}

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._people.ask(sql)


@pytest.fixture
def written(installation: Installation, people: People) -> Written:
    return Written(installation, people)


def test_runs_and_rows_are_written_with_what_became_of_them(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, write_back_days=30)
    assert run(app).notes == ()
    assert written.runs() == [(1, "completed", 20, 0, 0, 0, 0, 0, 19, 1, 0)]
    refused = ("webhook_rejected", "no such plan")
    assert written.rows() == [(1, "7", "added", "rejected", *refused, 1, 1)]
    assert written.statuses() == {(1, "succeeded"): 19, (1, "rejected"): 1}

    people.rows[3] = ("new@example.com", "pro")
    del people.rows[5]
    people.save()
    run(app)
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    run(app)
    assert written.rows()[1:] == [
        (2, "3", "updated", "succeeded", None, None, 1, 2),
        (2, "5", "deleted", "succeeded", None, None, 1, 2),
        (2, "7", "added", "rejected", *refused, 2, 1),
        (3, "7", "added", "succeeded", None, None, None, 3),
    ]
    assert written.runs()[1:] == [
        (2, "completed", 0, 1, 1, 17, 1, 0, 2, 1, 0),
        (3, "completed", 0, 0, 0, 18, 1, 0, 1, 0, 0),
    ]
    assert run(app).status == "skipped"
    assert written.runs()[3] == (4, "skipped", 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_the_snapshot_tells_how_each_row_stands(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    people.rows[7] = people.rows[8] = ("p@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, write_back_days=30)
    run(app)
    del people.rows[5]
    people.save()
    run(app)
    app.reverse_etl.rejects.drop(NAME, keys=("8",))
    found = written.snapshot()
    assert found.pop("7") == ("rejected", "added", "webhook_rejected", "no such plan", 2, 2)
    assert found.pop("8")[0] == "dropped"
    assert {one[:5] for one in found.values()} == {("succeeded", None, None, None, 0)}
    assert len(found) == 17


def test_rows_that_could_not_be_taken_or_were_not_sent_are_told_apart(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    prepare(app, installation, people, crm, write_back_days=30)
    crm.faults = [Reply(cut=True, after=True), *(Reply(503, {}) for _ in range(4))]
    watch = quiet()
    watch.sleep = lambda seconds: watch.check()  # type: ignore[method-assign] # noqa: ARG005
    app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert written.statuses() == {(1, "retry"): 20}
    crm.faults = [Reply(401, {"error": "who are you?"})]
    assert run(app).status == "failed"
    assert {key: count for key, count in written.statuses().items() if key[0] == 2} == {(2, "unsent"): 20}
    assert {row[6:] for row in written.rows() if row[0] == 2} == {(1, 1)}, "tried once, by the first run"
    assert written.runs()[1][:2] == (2, "failed")
    assert {row[0] for row in written.snapshot().values()} == {"retry"}


def test_by_full_extraction_rows_that_are_refused_are_told(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, write_back_days=30, mode="upsert", extraction="full")
    assert run(app).notes == ()
    assert written.statuses() == {(1, "succeeded"): 19, (1, "rejected"): 1}


def test_a_run_that_does_not_begin_to_deliver_is_written_too(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    prepare(app, installation, people, crm, write_back_days=30, delete_brake=0.2)
    run(app)
    people.rows = {n: row for n, row in people.rows.items() if n < 10}
    people.save()
    assert run(app).status == "failed"
    assert written.runs()[1][:2] == (2, "failed")
    dataset = f"{installation.dataset}_state"
    (said,) = people.ask(
        f"SELECT error_code, sync_name, model, destination FROM `{dataset}.sync_runs` WHERE run_number = 2"
    )
    assert said == ("delete_brake", NAME, "people", "hook")
    assert (2, "succeeded") not in written.statuses()


def test_who_dies_between_any_two_steps_writes_no_row_twice(
    installation: Installation,
    app: App,
    people: People,
    crm: Crm,
    written: Written,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, write_back_days=30)
    run(app)
    del people.rows[5]
    people.rows[3] = ("new@example.com", "pro")
    people.save()
    planner = "tidemill.reverse_etl.plan.warehouse.WarehousePlanner"
    deaths = [
        f"{planner}.commit",
        "tidemill.store.sync_things.Syncs.settle",
        "tidemill.reverse_etl.plan.written.Writer.write_rows",
        "tidemill.reverse_etl.plan.written.Writer.write_run",
        "tidemill.reverse_etl.plan.written.Writer.ensure_snapshot",
        f"{planner}.clean",
    ]
    for place in deaths:
        with pytest.raises(Killed), dying(monkeypatch, place, 1):
            run(app)
    over = run(app)
    assert (over.number, over.status, over.notes) == (2, "completed", ())
    assert written.runs()[1:] == [(2, "completed", 0, 1, 1, 17, 1, 0, 2, 1, 0)]
    assert [row[:4] for row in written.rows()[1:]] == [
        (2, "3", "updated", "succeeded"),
        (2, "5", "deleted", "succeeded"),
        (2, "7", "added", "rejected"),
    ]


def test_answers_that_are_lost_double_nothing(fresh_installation: Installation, crm: Crm) -> None:
    people = People(fresh_installation)
    people.rows = {n: (f"p{n}@example.com", "free") for n in range(3)}
    people.save()
    with fresh_installation.app(**ALLOWED) as app:
        prepare(app, fresh_installation, people, crm, write_back_days=30)
        lost = {"path": "/projects/[^/]+/jobs$", "method": "POST", "fault": "cut", "after_commit": True}
        fresh_installation.local.set_faults([{**lost, "nth": number} for number in range(1, 12)])
        try:
            over = run(app)
        finally:
            fresh_installation.local.set_faults([])
    written = Written(fresh_installation, people)
    assert (over.status, over.notes) == ("completed", ())
    assert (len(written.runs()), written.statuses()) == (1, {(1, "succeeded"): 3})


def test_a_run_that_failed_and_is_gone_on_with_has_failed(
    installation: Installation,
    app: App,
    people: People,
    crm: Crm,
    written: Written,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(app, installation, people, crm, write_back_days=30, delete_brake=0.2)
    run(app)
    kept = dict(people.rows)
    people.rows = {n: row for n, row in kept.items() if n < 10}
    people.save()
    with pytest.raises(Killed), dying(monkeypatch, f"{Writer.__module__}.Writer.write_run", 1):
        run(app)
    people.rows = kept | {99: ("p99@example.com", "free")}
    people.save()  # it would succeed now; but it has failed, and that is written
    assert (run(app).status, written.runs()[1][:2]) == ("failed", (2, "failed"))
    assert run(app).written == 1


def test_what_cannot_be_written_is_a_note_and_no_failure(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    prepare(app, installation, people, crm, write_back_days=30)
    dataset, client = f"{installation.dataset}_state", installation.client()
    client.create_table(dataset, "sync_runs", Layout((_MINE,)))
    over = run(app)
    assert (over.status, over.written) == ("completed", 20)
    (note,) = over.notes
    assert f"{dataset}.sync_runs is none that this can be written into" in note
    assert "Rename or drop it" in note
    client.delete_table(dataset, "sync_runs")
    assert run(app, force=True).notes == ()
    assert [row[0] for row in written.runs()] == [2]
    client.close()


def test_rows_are_kept_as_long_as_any_sync_wants_them(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, write_back_days=30)
    dataset, client = f"{installation.dataset}_state", installation.client()

    def days() -> set[dt.timedelta | None]:
        tables = [client.get_table(dataset, name) for name in ("sync_runs", "sync_changelog")]
        assert [table.partition for table in tables if table] == [("began_at", "DAY"), ("recorded_at", "DAY")]
        return {table.partition_expires for table in tables if table}

    run(app)
    assert days() == {dt.timedelta(days=30)}
    spec = app.reverse_etl.syncs.get(NAME).spec
    other = {"name": "other", "mapping": spec.mapping, "mode": "upsert", "interval": "none", "write_back_days": "90"}
    app.reverse_etl.syncs.create("people", "hook", other, by="me")
    del people.rows[5]
    people.save()
    run(app)
    assert days() == {dt.timedelta(days=90)}
    client.close()


def test_it_is_ended_and_nothing_more_is_written(
    installation: Installation, app: App, people: People, crm: Crm, written: Written
) -> None:
    prepare(app, installation, people, crm, write_back_days=30)
    run(app)
    app.reverse_etl.syncs.edit(NAME, {"write_back_days": "none"})
    assert app.reverse_etl.syncs.get(NAME).spec.write_back_days is None
    assert run(app, force=True).status == "completed"
    assert len(written.runs()) == 1
    with pytest.raises(ConfigError, match="no number of days"):
        app.reverse_etl.syncs.edit(NAME, {"write_back_days": "soon"})


def test_by_the_command_line(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    assert installation.run("sync", "edit", NAME, "--write-back", "7").returncode == 0
    assert "7 days" in installation.run("sync", "show", NAME).stdout
    with contextlib.closing(installation.client()) as client:
        client.create_table(f"{installation.dataset}_state", "sync_changelog", Layout((_MINE,)))
    run(app)
    shown = installation.run("sync", "run", "show", NAME).stdout
    assert "sync_changelog is none that this can be written into" in shown
    assert installation.run("sync", "edit", NAME, "--write-back", "none").returncode == 0
    assert app.reverse_etl.syncs.get(NAME).spec.write_back_days is None
    refused = installation.run("sync", "edit", NAME, "--write-back", "soon")
    assert refused.returncode
    assert "Write 30, or none." in refused.stderr


def test_a_source_that_may_only_be_read_is_not_written_into(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    installation.connect(app)
    steps = list(app.reverse_etl.sources.enable(CONNECTION, {"access": "read-only"}, by="me"))
    assert not [step for step in steps if step.status == "failed"], steps
    app.reverse_etl.models.add(CONNECTION, {"name": "people", "table": people.table, "key": ("id",)}, by="me")
    settings = app.reverse_etl.destinations.make("webhook", crm.settings())
    app.reverse_etl.destinations.add("webhook", "hook", settings, by="me")
    fields = {"name": NAME, "mapping": MAPPING, "mode": "mirror", "interval": "none"}
    with pytest.raises(ConfigError) as caught:
        app.reverse_etl.syncs.create("people", "hook", {**fields, "write_back_days": "30"}, by="me")
    assert caught.value.code == "write_back_read_only"
    assert not app.reverse_etl.syncs.find()


def test_syncs_without_it_write_nothing(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    run(app)
    client = installation.client()
    assert not [name for name in client.list_tables(f"{installation.dataset}_state") if name.startswith("sync_")]
    client.close()
