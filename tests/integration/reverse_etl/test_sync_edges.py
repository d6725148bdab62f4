"""What a sync does when its model, its mapping or somebody's mind changes between runs, or in one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import MAPPING, NAME, Crm, Killed, People, prepare, quiet, run

from tidemill.app import App
from tidemill.errors import ConfigError
from tidemill.reverse_etl.plan.port import Piece, PlanRows, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.run import Runner
from tidemill.reverse_etl.watch import Interrupted
from tidemill.reverse_etl.work import Job

UPPER = {**MAPPING, "email": {"@case": {"operator": "upper", "value": {"@path": "$.email"}}}}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def test_another_statement_of_the_model_is_not_skipped(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    upper = f"SELECT id, UPPER(email) AS email, plan FROM `{people.table}`"
    app.reverse_etl.models.edit("people", {"sql": upper})
    assert run(app).updated == 20
    assert crm.people["3"]["email"] == "P3@EXAMPLE.COM"
    assert run(app).status == "skipped"


def test_a_model_that_calls_a_function_is_not_skipped(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    function = f"`{installation.dataset}.best`"
    people.ask(f"CREATE FUNCTION {function}() AS ('free')")
    app.reverse_etl.models.edit("people", {"sql": f"SELECT id, email, {function}() AS plan FROM `{people.table}`"})
    assert run(app).added == 20
    people.ask(f"CREATE OR REPLACE FUNCTION {function}() AS ('pro')")
    assert run(app).updated == 20
    assert crm.people["3"]["plan"] == "pro"


def test_another_mode_holds_from_then_on_and_all_is_made_up_for_if_that_is_wanted(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, mode="insert")
    run(app)
    people.rows[3] = ("new@example.com", "pro")
    people.save()
    assert run(app).written == 0
    app.reverse_etl.syncs.edit(NAME, {"mode": "mirror"})
    assert (run(app).updated, crm.people["3"]["plan"]) == (0, "free"), "it was noted, and not sent"
    people.rows[4] = ("new4@example.com", "pro")
    people.save()
    assert (run(app).updated, crm.people["4"]["plan"]) == (1, "pro")
    app.reverse_etl.syncs.reset(NAME, "resend")
    assert (run(app).status, crm.people) == ("completed", people.expected())
    assert run(app).status == "skipped"
    with pytest.raises(ConfigError, match="mode"):
        app.reverse_etl.syncs.edit(NAME, {"mode": "sometimes"})
    with pytest.raises(ConfigError, match="extraction cannot be changed") as caught:
        app.reverse_etl.syncs.edit(NAME, {"extraction": "full"})
    assert "--adopt" in caught.value.hint


def stopped_at(app: App, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Run until this step, before which the process stops."""

    def stop(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Runner, step, stop)
        run(app)


def test_a_mapping_that_changes_during_the_first_run_is_asked_about_and_delivered(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    stopped_at(app, monkeypatch, "_commit")
    with pytest.raises(ConfigError, match="delivered already"):
        app.reverse_etl.syncs.edit(NAME, {"mapping": UPPER})
    app.reverse_etl.syncs.edit(NAME, {"mapping": UPPER}, reset="resend")
    assert (run(app).number, crm.people["3"]["email"]) == (1, "p3@example.com")
    assert run(app).updated == 20
    assert crm.people["3"]["email"] == "P3@EXAMPLE.COM"


def test_what_was_asked_for_is_pending_until_a_run_has_done_it(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2)
    syncs = app.reverse_etl.syncs
    run(app)
    syncs.edit(NAME, {"mapping": {"n": MAPPING["n"], "email": MAPPING["email"]}}, reset="resend")
    for number in range(10):
        del people.rows[number]
    people.save()
    stopped = run(app).error
    assert stopped is not None
    assert (stopped["code"], syncs.get(NAME).pending) == ("delete_brake", "resend")
    over = run(app, deletes=True)
    assert (over.status, over.deleted, over.updated, syncs.get(NAME).pending) == ("completed", 10, 10, None)

    for step, sent in [("_planned", 0), ("_commit", 10)]:  # a run that began before it was asked for, and one that does
        stopped_at(app, monkeypatch, step)
        syncs.reset(NAME, "resend")
        assert (run(app).updated, syncs.get(NAME).pending) == (sent, "resend")
    assert (run(app).updated, syncs.get(NAME).pending) == (10, None)
    assert run(app).status == "skipped"


def test_rows_that_leave_a_model_stop_no_sync_that_deletes_nothing(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2, mode="upsert")
    run(app)
    for number in range(10):
        del people.rows[number]
        people.rows[number + 30] = (f"p{number + 30}@example.com", "free")
    people.save()
    over = run(app)
    assert (over.status, over.added, over.written) == ("completed", 10, 10)
    assert len(crm.people) == 30


def test_rows_that_cannot_be_sent_do_not_have_a_model_run_that_has_not_changed(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    people.ask(f"INSERT INTO `{people.table}` (id, email, plan) VALUES (3, 'twice', 'pro')")
    prepare(app, installation, people, crm)
    assert (run(app).invalid, run(app).retried) == (2, 1), "the one that was refused is tried again"
    app.reverse_etl.rejects.drop(NAME, code="webhook_rejected")
    assert run(app).status == "skipped"
    assert [one.code for one in app.reverse_etl.rejects.find(NAME)] == ["key_duplicate"], "it is still told of"


def test_who_goes_on_with_a_run_does_not_read_pieces_that_are_through(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    asked, read, piece = vars(Job)["wanted"].fget, WarehousePlanner.rows, Runner._piece
    monkeypatch.setattr(Job, "wanted", property(lambda job: dataclasses.replace(asked(job), piece_rows=5)))
    numbers: list[int] = []

    def rows(planner: WarehousePlanner, wanted: Wanted, piece: Piece) -> PlanRows:
        numbers.append(piece.number)
        return read(planner, wanted, piece)

    def first_two(runner: Runner, job: Any, one: Piece, *rest: Any) -> None:
        if one.number == 2:
            raise Killed
        piece(runner, job, one, *rest)

    monkeypatch.setattr(WarehousePlanner, "rows", rows)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Runner, "_piece", first_two)
        run(app)
    assert 0 < len(crm.sent) < 20
    numbers.clear()
    over = run(app)
    assert (over.number, over.written, len(crm.sent)) == (1, 20, 20)
    assert numbers == [2, 3]


def test_a_row_that_was_sent_for_a_try_is_sent_as_the_same_after_runs_that_sent_nothing(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2)
    run(app)
    people.rows[3] = ("new@example.com", "pro")
    for number in range(10, 20):
        del people.rows[number]
    people.save()
    crm.sent.clear()
    app.reverse_etl.trials.send_one(NAME, quiet(), "3")
    assert run(app).status == "failed", "the delete brake"
    crm.faults = [Reply(401, {"error": "who are you?"})]
    assert run(app, deletes=True).status == "failed"
    assert run(app, deletes=True).written == 11
    tried = [row["id"] for row in crm.sent if row["key"] == "3"]
    assert len(tried) == 2
    assert len(set(tried)) == 1

    for email in ("p3@example.com", "new@example.com"):
        people.rows[3] = (email, "pro")
        people.save()
        run(app)
    assert len({row["id"] for row in crm.sent if row["key"] == "3"}) == 3, "what comes again later is another version"


def test_a_dry_run_has_rows_of_each_operation(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    run(app)
    people.rows |= {3: ("new@example.com", "pro"), 77: ("p77@example.com", "free")}
    del people.rows[5]
    people.save()
    found = app.reverse_etl.trials.estimate(NAME, quiet())
    assert [(one["key"], one["op"]) for one in found.samples] == [("77", "added"), ("3", "updated"), ("5", "deleted")]
