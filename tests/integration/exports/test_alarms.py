"""What goes wrong with an export that runs by itself is told, with what to do; and that it is over."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, write_events
from tests.receivers import Post
from tests.schedules import NAME, due, hasten, load, make, now, queue, work
from tests.streams import NAME as LIVE
from tests.streams import make_stream, send_all

from tidemill.app import App
from tidemill.exports import alarms
from tidemill.exports.stream import journal
from tidemill.store.streams import Streams

HOUR = dt.timedelta(hours=1)
LOADS = "/upload/bigquery/"


def tell(app: App, post: Post) -> None:
    """People are told by e-mail."""
    fields = {"to": ["ana@example.com"], "sender": "t@example.com", "host": "127.0.0.1", "port": post.port}
    app.notify.add("email", "ops", {**fields, "security": "none"}, by="tester")


def mails(app: App, post: Post) -> list[str]:
    """Send what is due; gives the texts of all mails of before and now."""
    app.notify.sender.look()
    app.notify.sender.drain(60)
    bodies = [mail.get_payload(decode=True) for _, mail in post.mails]
    return [body.decode().replace("\r\n", "\n") for body in bodies if isinstance(body, bytes)]


def began_earlier(app: App, by: dt.timedelta) -> None:
    """What is wrong has begun so much earlier."""
    with app.database.begin() as connection:
        change = "UPDATE tidemill.troubles SET began_at = began_at - %s, seen_at = seen_at - %s"
        connection.exec_driver_sql(change, (by, by))


def test_a_missing_permission_is_named_with_its_grant_and_then_that_it_is_over(
    installation: Installation, tmp_path: Path, post: Post
) -> None:
    with due(installation, tmp_path, deny=["bigquery.tables.create"]) as (app, uuids):
        tell(app, post)
        work(app)
        (said,) = mails(app, post)
        assert said.startswith("Export hourly fails.\n")
        assert f"Table: tidemill-local.{installation.dataset}.hourly" in said
        assert "Missing permission: bigquery.tables.create" in said
        assert "GRANT `roles/bigquery.dataEditor`" in said
        assert "gcloud iam roles create" in said
        assert "After 9 more failures it is paused." in said
        assert "tidemill export run hourly" in said
        hasten(app)
        work(app)
        assert len(mails(app, post)) == 1
        installation.local.key("tidemill")  # all is allowed
        hasten(app)
        work(app)
        assert installation.uuids(NAME) == uuids
        _, over = mails(app, post)
        assert over.startswith("Export hourly is well again.\n")
        assert "It failed: from " in over
        queue(app, [now() + HOUR])
        work(app)
        assert len(mails(app, post)) == 2


def test_a_pause_is_told_beside_the_failure_and_one_message_ends_both(
    installation: Installation, tmp_path: Path, post: Post
) -> None:
    with due(installation, tmp_path, deny=["bigquery.tables.create"], pause_after="1") as (app, _):
        tell(app, post)
        work(app)
        (said,) = mails(app, post)
        assert said.startswith("Export hourly fails.\nExport hourly is paused.\n")
        assert "It is paused now." in said
        assert "tidemill export unpause hourly" in said
        installation.local.key("tidemill")
        app.exports.schedules.unpause(NAME, skip=False)
        work(app)
        _, over = mails(app, post)
        assert "It failed: from " in over
        assert "It was paused: from " in over


def test_what_passes_by_itself_is_told_if_it_does_not(installation: Installation, tmp_path: Path, post: Post) -> None:
    plan = [{"path": LOADS, "fault": "status", "status": 503, "times": 1_000}]
    with installation.app(outbound_allow="127.0.0.1", retry_deadline_seconds=0.2) as app:
        installation.connect(app)
        make(app)
        tell(app, post)
        load(app, tmp_path, 20)
        queue(app, [now()])
        installation.local.set_faults(plan)
        work(app)
        assert mails(app, post) == []
        installation.local.set_faults([])
        hasten(app)
        work(app)
        assert mails(app, post) == []
        load(app, tmp_path, 20, first=20)
        queue(app, [now()])
        installation.local.set_faults(plan)
        work(app)
        began_earlier(app, alarms.PASSES_WITHIN)
        hasten(app)
        work(app)
        (said,) = mails(app, post)
        assert "It should pass by itself. It is tried again at" in said
        installation.local.set_faults([])


def test_rows_that_were_set_aside_are_told_above_the_share(
    installation: Installation, tmp_path: Path, post: Post
) -> None:
    def batch(app: App, first: int, large: int) -> None:
        write_events(tmp_path / "small.jsonl", 10 - large, first=first)
        write_events(tmp_path / "large.jsonl", large, first=first + 10 - large, size=4_000)
        for name in ("small", "large"):
            app.events.load(str(tmp_path / f"{name}.jsonl"))
        queue(app, [now()])
        work(app)

    with installation.app(outbound_allow="127.0.0.1", max_row_bytes=2_000) as app:
        installation.connect(app)
        make(app, reject_share="20%")
        tell(app, post)
        batch(app, 0, 2)
        assert mails(app, post) == []
        batch(app, 10, 3)
        (said,) = mails(app, post)
        assert "Export hourly sets rows aside." in said
        assert "3 of 10 rows were set aside: 30%, more than 20%. 3 with row_too_large." in said
        assert "tidemill export rejects list hourly" in said
        queue(app, [now() + HOUR])  # there is nothing in it, which says nothing
        work(app)
        assert len(mails(app, post)) == 1
        batch(app, 20, 1)
        assert "It set too many rows aside: from " in mails(app, post)[-1]
        assert app.exports.edit(NAME, {"reject_share": "none"}).reject_share == "none"
        batch(app, 30, 9)
        assert len(mails(app, post)) == 2


def test_a_run_that_somebody_cancelled_is_told_to_nobody(
    installation: Installation, tmp_path: Path, post: Post
) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    with due(installation, tmp_path) as (app, _):
        tell(app, post)
        installation.local.set_faults(plan)
        assert app.worker.look() == 1
        while not (found := app.exports.runs.find(NAME, limit=1)) or found[0].status != "running":
            pass
        app.exports.runs.cancel(str(found[0].id))
        app.worker.drain()
        installation.local.set_faults([])
        assert mails(app, post) == []


def test_a_task_at_which_workers_die_is_told(installation: Installation, post: Post) -> None:
    with installation.app(outbound_allow="127.0.0.1") as app:
        installation.connect(app)
        make(app)
        tell(app, post)
        queue(app, [now()])
        with app.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tidemill.tasks SET worker = 'gone', tries = 3")
        app.worker._take_over()
        (said,) = mails(app, post)
        assert "has ended 3 times" in said


def test_what_lasts_is_told_again_each_day(installation: Installation, tmp_path: Path, post: Post) -> None:
    with due(installation, tmp_path, deny=["bigquery.tables.create"], pause_after="none") as (app, _):
        tell(app, post)
        work(app)
        assert len(mails(app, post)) == 1
        day = dt.timedelta(days=1)
        began_earlier(app, day)
        with app.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tidemill.troubles SET told_at = told_at - %s", (day,))
        hasten(app)
        work(app)
        assert [said.splitlines()[0] for said in mails(app, post)] == ["Export hourly fails."] * 2


@pytest.mark.parametrize("enough", [False, True])
def test_a_stream_that_sets_rows_aside_is_told_when_its_run_ends_or_sooner_if_they_are_many(
    installation: Installation, tmp_path: Path, post: Post, monkeypatch: pytest.MonkeyPatch, enough: bool
) -> None:
    ended: list[Any] = []
    end_run = Streams.end_run
    monkeypatch.setattr(journal, "_ENOUGH_ROWS", 10 if enough else 1_000)

    def noted(streams: Streams, *arguments: Any) -> Any:
        ended.append(len(mails(app, post)))
        return end_run(streams, *arguments)

    monkeypatch.setattr(Streams, "end_run", noted)
    with installation.app(outbound_allow="127.0.0.1", max_row_bytes=2_000) as app:
        installation.connect(app)
        make_stream(app, reject_share="10%")
        tell(app, post)
        write_events(tmp_path / "small.jsonl", 8)
        write_events(tmp_path / "large.jsonl", 2, first=8, size=4_000)
        for name in ("small", "large"):
            app.events.load(str(tmp_path / f"{name}.jsonl"))
        send_all(app)
        (said,) = mails(app, post)
        assert f"Export {LIVE} sets rows aside." in said
        assert "2 of 10 rows were set aside: 20%, more than 10%." in said
        assert ended == [1 if enough else 0]
        write_events(tmp_path / "more.jsonl", 8, first=10)
        app.events.load(str(tmp_path / "more.jsonl"))
        send_all(app)
        assert "It set too many rows aside" in mails(app, post)[-1]
