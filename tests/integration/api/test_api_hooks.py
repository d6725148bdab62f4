"""Addresses by which somebody outside has an export or a sync run: shown once, revocable, and telling nothing."""

from __future__ import annotations

import pytest
from tests.api_client import Client, assert_problem
from tests.installation import CONNECTION, Installation
from tests.syncs import Crm, People, prepare

from tidemill.access import hooks
from tidemill.access.permissions import Permission
from tidemill.app import App


def test_a_hook_has_an_export_run_until_it_is_revoked(installation: Installation, app: App, client: Client) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "t", "interval": "none"}, by="me")
    token = client.token()
    created = client.ask("POST", "/exports/daily/hooks", token)
    assert created.status_code == 201, created.text
    made = created.json()
    asked = client.ask("POST", made["url"], json={"any": "thing"})
    assert (asked.status_code, asked.json()) == (202, {"already": False}), asked.text
    again = client.ask("POST", made["url"], content=b"a=b", headers={"content-type": "text/plain"})
    assert again.json() == {"already": True}
    client.said.clear()
    (listed,) = client.ask("GET", "/exports/daily/hooks", token).json()["items"]
    assert listed["start"] == made["start"]
    assert listed["last_used_at"]
    record = app.audit.find()[0]
    assert (record.actor, record.actor_kind, record.action) == (made["start"], "hook", "export.trigger")
    assert made["secret"] not in "".join(client.said)
    with app.database.begin() as connection:
        import sqlalchemy as sa

        kept = str(connection.execute(sa.text("SELECT h::text FROM tidemill.hooks h")).all())
    assert made["secret"] not in kept
    assert client.ask("DELETE", f"/exports/daily/hooks/{made['start']}", token).status_code == 204
    told = [client.ask("POST", f"/hooks/{text}") for text in (made["secret"], "tmh_" + "a" * 40, "nonsense", "x" * 200)]
    assert {answer.status_code for answer in told} == {404}
    assert len({answer.text for answer in told}) == 1
    assert_problem(client.ask("DELETE", f"/exports/daily/hooks/{made['start']}", token), 404, "hook_unknown")


def test_a_hook_of_a_sync_by_the_command_line(
    installation: Installation, app: App, client: Client, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    done = installation.run("sync", "hook", "create", "crm")
    url = done.stdout.strip()
    assert client.ask("POST", url).json() == {"already": False}
    waiting = app._sync_books.triggers.waiting(app._sync_books.syncs.get("crm").id)
    start = app.sync_hooks.find("crm")[0].start
    assert [one.by for one in waiting] == [f"hook {start}"]
    assert start in installation.run("sync", "hook", "list", "crm").stdout
    assert installation.run("sync", "hook", "revoke", "crm", start).returncode == 0
    assert client.ask("POST", url).status_code == 404
    assert installation.run("sync", "hook", "create", "other").returncode == 4


def test_a_hook_that_is_called_too_often_is_told_when_it_may(
    installation: Installation, app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "MOST", 1)
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "t", "interval": "none"}, by="me")
    url = client.ask("POST", "/exports/daily/hooks", client.token()).json()["url"]
    assert client.ask("POST", url).status_code == 202
    answer = client.ask("POST", url)
    assert_problem(answer, 429, "hook_too_often")
    assert 1 <= int(answer.headers["retry-after"]) <= hooks.SECONDS
    reader = client.token(Permission.EXPORTS_READ)
    assert_problem(client.ask("POST", "/exports/daily/hooks", reader), 403, "scope_missing")


def test_paces_forget() -> None:
    now = [0.0]
    paces = hooks.Paces(lambda: now[0])
    assert [paces.wait("a") for _ in range(hooks.MOST)] == [0.0] * hooks.MOST
    assert paces.wait("a") == hooks.SECONDS
    assert paces.wait("b") == 0.0
    now[0] = hooks.SECONDS
    assert paces.wait("a") == 0.0
