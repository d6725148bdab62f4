"""What a run did not deliver comes with the next one, though no table has changed; and what cannot be delivered does
not make runs that are for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import MAPPING, NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.reverse_etl.watch import Watch

_DENIED = Reply(401, {"error": "who are you?"})


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.mark.parametrize("fields", [{}, {"access": "read-only"}, {"mode": "insert"}])
def test_a_resend_that_fails_is_gone_on_with_by_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm, fields: dict[str, str]
) -> None:
    prepare(app, installation, people, crm, **fields)
    run(app)
    app.reverse_etl.syncs.reset(NAME, "resend")
    crm.faults, crm.sent = [_DENIED], []
    over = run(app)
    assert (over.status, over.written, over.unsent) == ("failed", 0, 20)
    assert run(app).written == 20
    assert len(crm.sent) == 20
    assert run(app).status == "skipped"


def test_rows_of_another_mapping_that_were_not_sent_come_with_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    app.reverse_etl.syncs.edit(NAME, {"mapping": {**MAPPING, "kind": "person"}}, reset="resend")
    crm.faults = [_DENIED]
    assert run(app).status == "failed"
    shown = installation.run("sync", "show", NAME)
    assert "20 not sent" in shown.stdout
    assert run(app).written == 20
    assert {row["kind"] for row in crm.people.values()} == {"person"}


def test_what_is_cancelled_after_all_was_forgotten_comes_with_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    app.reverse_etl.syncs.reset(NAME, "forget")
    crm.sent = []
    watch = Watch(lambda _what, _done, _all: None)
    watch.stop_when(lambda: app.reverse_etl.syncs.show_run(NAME).step == "deliver")
    over = app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert (over.status, over.written) == ("cancelled", 0)
    assert run(app).written == 20


def test_rows_that_insert_leaves_out_are_noted(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm, mode="insert")
    run(app)
    people.rows |= {3: ("new@example.com", "pro"), 99: ("p99@example.com", "free")}
    del people.rows[5]
    people.save()
    crm.sent = []
    over = run(app)
    assert (over.added, over.updated, over.deleted, over.unchanged) == (1, 1, 1, 18)
    assert (over.extracted, over.noted) == (1, 2)
    assert [row["key"] for row in crm.sent] == ["99"]
    assert run(app, force=True).noted == 0, "each change is noted once"


def test_invalid_keys_alone_end_each_run_alike(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    people.ask(f"INSERT INTO `{people.table}` (id, email, plan) VALUES (NULL, 'x', 'y')")
    ended = [
        installation.run("sync", "run", NAME, *options, TIDEMILL_OUTBOUND_ALLOW="127.0.0.1")
        for options in ((), (), ("--force",))
    ]
    assert [one.returncode for one in ended] == [0, 0, 0]
    assert "1 row of the model cannot be delivered" in ended[0].stdout + ended[0].stderr


def _nested(people: People, levels: int) -> None:
    deep = f"PARSE_JSON(CONCAT(REPEAT('[', {levels}), REPEAT(']', {levels})))"
    people.ask(
        f"CREATE OR REPLACE TABLE `{people.table}` AS SELECT 1 AS id, PARSE_JSON('1') AS j UNION ALL SELECT 2, {deep}"
    )


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_a_row_that_is_nested_too_deep_is_set_aside_and_the_others_are_sent(
    installation: Installation, app: App, people: People, crm: Crm, access: str
) -> None:
    _nested(people, 497)
    prepare(app, installation, people, crm, mapping={"n": {"@path": "$.id"}, "j": {"@path": "$.j"}}, access=access)
    over = run(app)
    assert (over.status, over.written, over.rejected) == ("completed", 1, 1)
    (kept,) = app.reverse_etl.rejects.find(NAME)
    assert (kept.key, kept.code, (kept.row or {})["id"]) == ("2", "nested_too_deep", 2)
    _nested(people, 190)
    assert run(app).written == 1
    assert not list(app.reverse_etl.rejects.find(NAME))


def stopped_by_a_bug(app: App, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def wrong(*_: object) -> None:
        raise RecursionError("p3@example.com")

    with monkeypatch.context() as patched, pytest.raises(RecursionError):
        patched.setattr(f"tidemill.reverse_etl.run.Runner.{place}", wrong)
        run(app)


def test_a_run_that_a_bug_stops_has_failed_and_the_next_one_does_its_work(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    stopped_by_a_bug(app, monkeypatch, "_piece")
    over = app.reverse_etl.syncs.show_run(NAME)
    assert (over.status, (over.error or {})["code"]) == ("failed", "bug")
    assert "example.com" not in str(over.error)
    after = run(app)
    assert (after.number, after.written) == (2, 20)
    assert crm.people == people.expected()


def test_what_was_delivered_is_not_forgotten_for_a_bug_when_it_is_to_be_remembered(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    stopped_by_a_bug(app, monkeypatch, "_commit")
    assert app.reverse_etl.syncs.show_run(NAME).status == "running"
    after = run(app)
    assert (after.number, after.status, after.written) == (1, "completed", 20)
    assert len(crm.sent) == len(set(crm.ids)) == 20, "nothing is sent again, nor under another id"
    assert run(app).status == "skipped"


def test_a_row_that_the_mapping_refuses_does_not_have_the_model_run_again(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows = {n: ("", str(n)) for n in range(20)} | {7: ("", "no number")}
    people.save()
    mapping = {"n": {"@path": "$.id"}, "plan": {"@number": {"value": {"@path": "$.plan"}}}}
    prepare(app, installation, people, crm, mapping=mapping)
    over = run(app)
    assert (over.written, over.rejected) == (19, 1)
    assert run(app).status == "skipped"
    assert [one.key for one in app.reverse_etl.rejects.find(NAME)] == ["7"]
    again = app.reverse_etl.rejects.retry(NAME, quiet(), by="me")
    assert again is not None
    assert again.rejected == 1
    app.reverse_etl.syncs.edit(NAME, {"mapping": {**mapping, "plan": {"@path": "$.plan"}}}, reset="leave")
    assert run(app).written == 1, "by another mapping it is taken"
