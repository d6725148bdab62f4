"""Messages on their way, from the database to real servers: none is lost, none holds up another."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.notices import ALARM, made_export, shift
from tests.receivers import Post, Web

from tidemill.notify import channel as channels
from tidemill.notify.sender import Sender
from tidemill.notify.service import MessageView, NotifyService
from tidemill.settings import Settings
from tidemill.store.channels import Channels
from tidemill.store.database import Database
from tidemill.store.outbox import LEASE, Outbox
from tidemill.store.records_notify import Cause
from tidemill.store.secrets import Secrets
from tidemill.store.troubles import Troubles

PATH = "/services/s3cr3t"
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def notify(database: Database, tmp_path: Path) -> NotifyService:
    secrets = Secrets(Settings(home=tmp_path))
    secrets.ensure()
    return NotifyService.of(database, secrets, "/srv/.tidemill", "127.0.0.1")


def add(notify: NotifyService, name: str, url: str, kind: str = "webhook", **filters: Any) -> None:
    notify.add(kind, name, {"url": SecretStr(url)}, by="me", **filters)


def add_mail(notify: NotifyService, post: Post, *to: str) -> None:
    fields = {"to": to, "sender": "t@example.com", "host": "127.0.0.1", "port": post.port, "security": "none"}
    notify.add("email", "mail", fields, by="me")


def wrong(database: Database, name: str = "e", cause: Cause = Cause.FAILED) -> None:
    """Something is wrong with an export."""
    Troubles(database).seen(made_export(database, name).id, dataclasses.replace(ALARM, cause=cause))


def send(notify: NotifyService) -> int:
    """Send what is due, and wait for it. Gives by how many channels."""
    begun = notify.sender.look()
    notify.sender.drain(60)
    return begun


def later(database: Database, by: dt.timedelta = HOUR) -> None:
    """Time passes."""
    shift(database, by)


def only(notify: NotifyService, name: str) -> MessageView:
    (found,) = notify.messages(name, limit=10)
    return found


def test_each_message_goes_to_each_channel_once(
    notify: NotifyService, database: Database, web: Web, post: Post
) -> None:
    add(notify, "hook", web.url("/hook"))
    add(notify, "team", web.url(PATH), "slack")
    add_mail(notify, post, "ana@example.com")
    assert send(notify) == 0
    wrong(database)
    assert send(notify) == 3
    assert send(notify) == 0
    assert sorted(request.path for request in web.requests) == ["/hook", PATH]
    assert len(post.mails) == 1
    assert {(c.name, c.waiting, c.given_up, c.trouble) for c in notify.find()} == {
        (name, 0, 0, None) for name in ("hook", "team", "mail")
    }
    assert only(notify, "mail").status == "sent"


def test_many_at_once_are_one_mail_and_a_request_each(
    notify: NotifyService, database: Database, web: Web, post: Post
) -> None:
    add(notify, "hook", web.url())
    add_mail(notify, post, "ana@example.com")
    number = channels.TOGETHER["email"] + 2
    for count in range(number):
        wrong(database, f"e{count}")
    send(notify)
    assert [json.loads(request.body)["data"]["export"] for request in web.requests] == [f"e{n}" for n in range(number)]
    assert [mail["Subject"] for _, mail in post.mails] == [
        f"[Tidemill] Export e0 fails, and {number - 3} more",
        f"[Tidemill] Export e{number - 2} fails, and 1 more",
    ]


def test_a_channel_that_hangs_holds_up_no_other(notify: NotifyService, database: Database, web: Web) -> None:
    web.hangs = "/hangs"
    add(notify, "hangs", web.url("/hangs"))
    add(notify, "works", web.url("/works"))

    def number(path: str) -> int:
        return [request.path for request in web.requests].count(path)

    for count in (1, 2):
        wrong(database, f"e{count}")
        while number("/works") < count or not number("/hangs"):
            notify.sender.look()
    assert number("/hangs") == 1
    notify.sender.drain(0.01)  # a server that stops does not wait for it
    assert waiting(notify, "hangs") == 2
    web.let_go.set()
    notify.sender.drain(60)
    assert (number("/hangs"), waiting(notify, "hangs")) == (2, 0)


def waiting(notify: NotifyService, name: str) -> int:
    return notify.get(name).waiting


def test_one_that_fails_is_tried_again_and_its_trouble_is_shown_until_it_is_over(
    notify: NotifyService, database: Database, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    add(notify, "team", web.url(PATH), "slack")
    web.answers = [(404, {}, f"no_service {PATH}".encode()), (503, {}, b"")]
    wrong(database)
    send(notify)
    view = notify.get("team")
    assert (view.waiting, view.given_up) == (1, 0)
    assert view.trouble is not None
    assert "404 Not Found: no_service ********" in view.trouble
    assert view.what_to_do
    assert send(notify) == 0
    message = only(notify, "team")
    assert (message.status, message.tries) == ("waiting", 1)
    for _ in range(2):
        later(database)
        send(notify)
    assert only(notify, "team").status == "sent"
    view = notify.get("team")
    assert (view.waiting, view.trouble, view.failing_since) == (0, None, None)
    assert len(web.requests) == 3
    assert "s3cr3t" not in f"{caplog.text} {notify.find()} {notify.messages('team', limit=9)}"


def test_it_is_given_up_after_a_day_with_the_reason(notify: NotifyService, database: Database, web: Web) -> None:
    add(notify, "team", web.url(PATH), "slack")
    web.answers = [(403, {}, b"action_prohibited")] * 100
    wrong(database)
    while (message := only(notify, "team")).status == "waiting":
        send(notify)
        later(database)
    assert message.status == "given up"
    assert message.error is not None
    assert "action_prohibited" in message.error
    assert 4 <= len(web.requests) <= 9
    assert (notify.get("team").given_up, notify.get("team").waiting) == (1, 0)
    wrong(database, "another")  # it is tried none the less
    web.answers = []
    send(notify)
    assert notify.get("team").trouble is None


def test_a_message_that_is_refused_holds_up_no_other(notify: NotifyService, database: Database, web: Web) -> None:
    add(notify, "hook", web.url())
    web.answers = [(400, {}, b"what is that?")]
    for name in ("one", "two"):
        wrong(database, name)
    send(notify)
    assert [message.status for message in notify.messages("hook", limit=9)] == ["sent", "sent"]
    assert [json.loads(request.body)["data"]["export"] for request in web.requests] == ["one", "two", "one"]


def test_recipients_who_were_refused_get_it_later_and_others_no_second_time(
    notify: NotifyService, database: Database, post: Post
) -> None:
    add_mail(notify, post, "ana@example.com", "ben@example.com")
    post.refused = {"ben@example.com": "451 4.7.1 Greylisted"}
    wrong(database)
    send(notify)
    assert only(notify, "mail").status == "waiting"
    assert "ben@example.com" in str(notify.get("mail").trouble)
    post.refused = {}
    later(database)
    wrong(database, "two")
    send(notify)
    assert sorted(to for to, _ in post.mails) == [
        ["ana@example.com"],
        ["ana@example.com", "ben@example.com"],
        ["ben@example.com"],
    ]
    assert notify.get("mail").trouble is None


def test_a_process_that_dies_before_it_has_sent_has_another_one_send_it(
    notify: NotifyService, database: Database, web: Web
) -> None:
    add(notify, "hook", web.url())
    wrong(database)
    dead = Outbox(database)
    taken = dead.take()
    assert taken is not None
    assert len(dead.next(taken, 10)) == 1
    assert send(notify) == 0
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE tidemill.channels SET leased_until = leased_until - %s", (LEASE,))
    assert send(notify) == 1
    assert (only(notify, "hook").status, only(notify, "hook").tries, len(web.requests)) == ("sent", 2, 1)


def test_servers_side_by_side_send_each_message_once(notify: NotifyService, database: Database, web: Web) -> None:
    add(notify, "hook", web.url())
    senders = [Sender(Outbox(database), notify._secrets, "/srv", notify._guard) for _ in range(3)]
    for number in range(9):
        wrong(database, f"e{number}")
        for sender in senders:
            sender.look()
    while Outbox(database).any_due():
        for sender in senders:
            sender.look()
            sender.drain(60)
    for sender in senders:
        sender.drain(60)
    assert len(web.requests) == len({request.headers["webhook-id"] for request in web.requests}) == 9


def test_a_secret_that_cannot_be_read_is_said_and_one_that_is_given_anew_mends_it(
    notify: NotifyService, database: Database, web: Web, tmp_path: Path
) -> None:
    add(notify, "team", web.url(PATH), "slack")
    wrong(database)
    other = Secrets(Settings(home=tmp_path / "other"))
    other.ensure()
    elsewhere = NotifyService.of(database, other, "/srv", "127.0.0.1")
    send(elsewhere)
    assert "secret key" in str(elsewhere.get("team").trouble)
    (tested,) = elsewhere.test("team")
    assert tested.error is not None
    elsewhere.edit("team", {"url": SecretStr(web.url(PATH))})
    send(elsewhere)
    assert only(elsewhere, "team").status == "sent"


def test_a_bug_is_told_without_what_it_was_about(
    notify: NotifyService, database: Database, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill.notify import webhook

    def broken(*_: object) -> None:
        raise KeyError(PATH)

    monkeypatch.setattr(webhook, "payload", broken)
    add(notify, "hook", web.url(PATH))
    wrong(database)
    send(notify)
    assert notify.get("hook").trouble == "This is a bug in Tidemill: KeyError while sending."


def test_a_test_message_sends_what_waits(notify: NotifyService, database: Database, web: Web) -> None:
    add(notify, "hook", web.url())
    web.answers = [(503, {}, b""), (503, {}, b"")]
    wrong(database)
    send(notify)
    (tested,) = notify.test("hook")
    assert tested.error is not None
    assert send(notify) == 0
    (tested,) = notify.test()
    assert tested.error is None
    assert json.loads(web.requests[-1].body)["type"] == "test"
    assert send(notify) == 1
    assert only(notify, "hook").status == "sent"


def test_secrets_are_encrypted_at_rest_and_never_shown(notify: NotifyService, database: Database, post: Post) -> None:
    fields = {"to": ["a@b.c"], "sender": "t@b.c", "host": "127.0.0.1", "port": post.port, "user": "me"}
    notify.add("email", "mail", {**fields, "security": "none", "password": SecretStr("s3cr3t")}, by="me")
    _, key = notify.add("webhook", "hook", {"url": SecretStr(f"https://example.com{PATH}")}, by="me")
    assert key is not None
    (saved, mail) = Channels(database).find()
    assert saved.secret is not None
    assert mail.secret is not None
    stored = f"{saved!r} {mail!r}".encode() + saved.secret + mail.secret
    shown = f"{notify.find()} {notify.get('mail')} {notify.messages('hook', limit=1)}".encode()
    for secret in ("s3cr3t", key):
        assert secret.encode() not in stored + shown
    assert notify.get("hook").to == "https://example.com/…"
