"""What goes wrong with a sync that runs by itself is told, with what to do; and that it is over."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.notices import made_sync
from tests.receivers import Post
from tests.syncs import NAME, Crm, People, prepare, run

from tidemill.app import App
from tidemill.schedules import telling
from tidemill.store.database import Database
from tidemill.store.records_notify import Cause

DENIED = Reply(403, {"error": "no"})


@pytest.fixture
def app(installation: Installation, post: Post) -> Any:
    """An installation in which Ana is told by e-mail."""
    with installation.app(outbound_allow="127.0.0.1", retry_deadline_seconds=0.2) as opened:
        fields = {"to": ["ana@example.com"], "sender": "t@example.com", "host": "127.0.0.1", "port": post.port}
        opened.notify.add("email", "ops", {**fields, "security": "none"}, by="tester")
        yield opened


def mails(app: App, post: Post) -> list[str]:
    """Send what is due; gives the texts of all mails of before and now."""
    app.notify.sender.look()
    app.notify.sender.drain(60)
    bodies = [mail.get_payload(decode=True) for _, mail in post.mails]
    return [body.decode().replace("\r\n", "\n") for body in bodies if isinstance(body, bytes)]


def work(app: App) -> None:
    """It is due, and a worker runs it."""
    syncs = app._sync_books.syncs
    syncs.settle(app.reverse_etl.syncs.get(NAME).id, next_at=syncs.now())
    while app.worker.look():
        app.worker.drain()


def troubles(app: App) -> list[str]:
    return [trouble.cause for trouble in app.reverse_etl.syncs.get(NAME).troubles]


def doctor(app: App) -> list[tuple[str, str]]:
    """What it says of the sync."""
    return [(check.status, f"{check.detail} {check.hint}") for check in app.doctor() if check.name == f"sync {NAME}"]


def test_a_failure_and_a_pause_are_told_with_what_to_do_and_one_message_ends_both(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week", pause_after="2")
    crm.faults = [DENIED] * 3
    work(app)
    (said,) = mails(app, post)
    assert said.startswith(f"Sync {NAME} fails.\n")
    assert "\nModel: people\nDestination: hook\n" in said
    assert "[destination_denied]" in said
    assert "It is run again at " in said
    assert "After 1 more failure it is paused." in said
    assert f"tidemill sync run {NAME}" in said
    assert troubles(app) == ["failed"]
    ((status, shown),) = doctor(app)
    assert status == "wrong"
    assert "Since " in shown
    work(app)
    _, paused = mails(app, post)
    assert paused.startswith(f"Sync {NAME} is paused.\n")
    assert "It failed 2 times." in paused
    assert f"tidemill sync unpause {NAME}" in paused
    assert "It is paused: " in doctor(app)[0][1]
    crm.faults = []
    app.reverse_etl.syncs.unpause(NAME)
    work(app)
    assert crm.people == people.expected()
    *_, over = mails(app, post)
    assert over.startswith(f"Sync {NAME} is well again.\n")
    assert "It failed: from " in over
    assert "It was paused: from " in over
    assert troubles(app) == []
    assert doctor(app) == []
    work(app)
    assert len(mails(app, post)) == 3


def test_a_missing_permission_is_named_with_its_grant(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week")
    installation.local.key("tidemill", deny=["bigquery.tables.getData"])
    work(app)
    (said,) = mails(app, post)
    assert said.startswith(f"Sync {NAME} fails.\n")
    assert "Missing permission: bigquery.tables.getData" in said
    assert "Grant roles/bigquery.dataEditor on the project (it has bigquery.tables.getData):\n" in said
    assert "gcloud projects add-iam-policy-binding tidemill-local " in said
    installation.local.key("tidemill")  # all is allowed
    run(app)  # by hand: it is mended all the same
    _, over = mails(app, post)
    assert over.startswith(f"Sync {NAME} is well again.\n")
    assert troubles(app) == []


def test_a_run_by_hand_that_fails_is_told_to_who_began_it_alone(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week")
    crm.faults = [DENIED]
    assert run(app).status == "failed"
    assert mails(app, post) == []
    assert troubles(app) == []
    assert "The last run failed: " in doctor(app)[0][1]


def test_what_passes_by_itself_is_told_if_it_does_not(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week")
    busy = [{"path": "/bigquery/", "fault": "status", "status": 503, "times": 100_000}]
    installation.local.set_faults(busy)
    work(app)
    assert mails(app, post) == []
    with app.database.begin() as connection:
        change = "UPDATE tidemill.troubles SET began_at = began_at - %s"
        connection.exec_driver_sql(change, (telling.PASSES_WITHIN,))
    work(app)
    (said,) = mails(app, post)
    assert "It should pass by itself. It is run again at " in said
    installation.local.set_faults([])
    work(app)
    assert mails(app, post)[-1].startswith(f"Sync {NAME} is well again.\n")


def test_rows_that_are_refused_are_told_above_the_share_once(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week", reject_share=0.1)
    people.rows |= {n: (f"p{n}@example.com", "bad") for n in (0, 1)}
    people.save()
    work(app)
    assert mails(app, post) == []
    people.rows[20] = ("p20@example.com", "free")
    people.save()
    work(app)  # the same two are refused again, of three
    assert app.reverse_etl.syncs.get(NAME).last is not None
    assert mails(app, post) == []
    people.rows |= {n: (f"q{n}@example.com", "bad") for n in (30, 31)} | {32: ("q32@example.com", "free")}
    people.save()
    work(app)
    (said,) = mails(app, post)
    assert said.startswith(f"Rows of sync {NAME} are refused.\n")
    assert "2 of 3 rows were refused: 66.7%, more than 10%." in said
    assert "no such plan" in said
    assert f"tidemill sync rejects list {NAME}" in said
    assert troubles(app) == ["rejects"]
    assert doctor(app)[0][0] == "warning"
    people.rows = {n: (email, "free") for n, (email, _) in people.rows.items()}
    people.save()
    work(app)
    assert "Too many rows were refused: from " in mails(app, post)[-1]
    assert troubles(app) == []


def test_an_unusual_number_of_rows_is_told_against_the_last_runs(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week", deviation=0.5)

    def change(*numbers: int) -> None:
        for number in numbers:
            email, plan = people.rows[number]
            people.rows[number] = (f"x{email}", plan)
        people.save()
        work(app)

    work(app)  # all of them, the first time
    for _ in range(5):
        change(1, 2)
    assert mails(app, post) == []
    change(*range(10))
    (said,) = mails(app, post)
    assert said.startswith(f"Sync {NAME} has an unusual number of rows.\n")
    assert "The run had 10 rows to deliver. The median of the last 6 runs is 2: 400% more" in said
    assert crm.people == people.expected()
    change(1, 2)
    assert "The number of rows was unusual: from " in mails(app, post)[-1]
    assert app.reverse_etl.syncs.edit(NAME, {"deviation": "none"}).spec.deviation is None
    change(*range(10))
    assert len(mails(app, post)) == 2


def test_one_that_workers_die_of_is_told_and_waits_for_its_schedule(
    installation: Installation, app: App, people: People, crm: Crm, post: Post
) -> None:
    prepare(app, installation, people, crm, interval="week")
    books = app._sync_books
    sync = app.reverse_etl.syncs.get(NAME)
    for tries in (1, 2, 3):
        books.syncs.settle(sync.id, next_at=books.syncs.now())
        (taken,) = books.syncs.take("gone", 5)
        assert taken.tries == tries
        assert mails(app, post) == []
        for queue in app.worker._queues:
            queue.abandon("gone")
    (said,) = mails(app, post)
    assert "It was begun 3 times and never ended" in said
    found = books.syncs.by_id(sync.id)
    assert (found.worker, found.tries, found.failures) == (None, 0, 1)
    assert found.next_at == sync.next_at  # the next week


def test_one_that_nobody_begins_is_overdue_until_somebody_does(app: App, post: Post) -> None:
    ago = app._sync_books.syncs.now() - telling.LATE
    minute = dt.timedelta(minutes=1)
    database: Database = app.database
    late = made_sync(database, "late", next_at=ago - minute)
    made_sync(database, "soon", next_at=ago + minute)
    made_sync(database, "paused", next_at=ago - minute, paused_at=ago, paused_by="me")
    made_sync(database, "by hand")
    app.sync_lookout.look()  # no worker has ever run here
    assert mails(app, post) == []
    app._sync_books.runs.begin(late.id, {}, "schedule")
    app.sync_lookout.look()
    app.sync_lookout.look()
    (said,) = mails(app, post)
    assert said.startswith("Sync late is overdue.\n")
    assert "tidemill doctor" in said
    app.lookout.look()  # of exports: it does not end what it does not know
    assert [one.export_id for one in app._sync_books.troubles.lasting(Cause.OVERDUE, syncs=True)] == [late.id]
    app._sync_books.syncs.settle(late.id, worker="w")
    app.sync_lookout.look()
    assert mails(app, post)[-1].startswith("Sync late is well again.\n")
    app._sync_books.syncs.settle(late.id, worker=None)
    app.sync_lookout.look()  # once a day
    app._sync_books.syncs.settle(late.id, paused_at=ago)
    app.sync_lookout.look()
    assert len(mails(app, post)) == 2
    assert app._sync_books.troubles.lasting(Cause.OVERDUE, syncs=True) == []
