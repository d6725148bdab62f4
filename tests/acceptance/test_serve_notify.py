"""`tidemill serve` tells people what is wrong with an export, and when it is over; also if it is killed meanwhile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installation import Installation
from tests.receivers import PASSWORD, USER, Opened, Post, Web, authenticator
from tests.schedules import due, hasten
from tests.served import Server
from tests.streams import eventually

from tidemill.app import App

PATH = "/services/s3cr3t"


@pytest.fixture
def failing(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[App, Server]]:
    """An export that may not make its table, and whose interval is due; the server is not begun."""
    monkeypatch.setitem(installation.environment, "TIDEMILL_OUTBOUND_ALLOW", "127.0.0.1")
    with due(installation, tmp_path, deny=["bigquery.tables.create"]) as (app, _):
        server = Server(installation, tmp_path / "server.log")
        yield app, server
        server.kill()


def run(installation: Installation, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command, with something in its standard input."""
    return subprocess.run(
        installation.command(*words),
        env=installation.environment, input=given, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_missing_permission_is_told_by_mail_and_slack_and_that_it_is_over(
    installation: Installation, failing: tuple[App, Server], posts: Opened, web: Web
) -> None:
    app, server = failing
    post: Post = posts(authenticator=authenticator, auth_require_tls=False)
    words = ["notify", "add", "email", "ops", "--to", "ana@example.com", "--from", "t@example.com", "--host"]
    words += ["127.0.0.1", "--port", str(post.port), "--security", "none", "--user", USER, "--password", "-"]
    said = [run(installation, *words, given=f"{PASSWORD}\n")]
    said.append(run(installation, "notify", "add", "slack", "team", "--url", "-", given=web.url(PATH)))
    said.append(run(installation, "notify", "test"))
    assert [done.returncode for done in said] == [0, 0, 0], said
    assert (len(post.mails), len(web.requests)) == (1, 1)
    server.start()
    eventually(lambda: len(post.mails) == 2 and len(web.requests) == 2, "the failure is told")
    body = post.mails[1][1].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"Missing permission: bigquery.tables.create" in body
    assert "GRANT `roles/bigquery.dataEditor`" in json.loads(web.requests[1].body)["text"]
    installation.local.key("tidemill")  # all is allowed
    hasten(app)
    eventually(lambda: len(post.mails) == 3 and len(web.requests) == 3, "the end of it is told")
    assert post.mails[2][1]["Subject"] == "[Tidemill] Export hourly is well again"
    assert server.stop() == 0, server.said
    said += [run(installation, "notify", "show", "team", "--json"), run(installation, "doctor")]
    shown = json.loads(said[3].stdout)
    assert [message["status"] for message in shown["messages"]] == ["sent", "sent"]
    assert "2 channels" in said[4].stdout
    everything = server.said + "".join(done.stdout + done.stderr for done in said)
    assert not [secret for secret in (PASSWORD, PATH, "s3cr3t") if secret in everything]


def test_a_message_that_is_on_its_way_when_the_process_is_killed_is_sent_by_the_next_one(
    installation: Installation, failing: tuple[App, Server], web: Web
) -> None:
    app, server = failing
    assert run(installation, "notify", "add", "webhook", "hook", "--url", web.url()).returncode == 0
    web.hangs = "/hook"
    server.start()
    eventually(lambda: web.requests, "the message is on its way")
    found = server.background()
    assert found is not None
    found.kill()
    web.let_go.set()
    with app.database.begin() as connection:  # some minutes pass
        connection.exec_driver_sql("UPDATE tidemill.channels SET leased_until = now()")
    eventually(lambda: len(web.requests) == 2, "it is sent again")
    eventually(lambda: not app.notify.get("hook").waiting, "that is written down")
    assert len({request.headers["webhook-id"] for request in web.requests}) == 1
    assert server.stop() == 0, server.said
