"""A token gives away no more than it has: nothing that outlives it, nobody above it, no names that it may not see."""

from __future__ import annotations

import threading
from typing import Any

from tests.api_client import Client, assert_problem
from tests.installation import CONNECTION, Installation

from tidemill.access.permissions import Permission as P  # noqa: N817
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.app import App

PASSWORD = "salt lamp otter nine"


def wanted(name: str, role: str) -> dict[str, Any]:
    return {"name": name, "role": role, "password": PASSWORD}


def test_what_a_token_that_expires_makes_does_not_outlive_it(
    installation: Installation, app: App, client: Client, token: str
) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "model": "events"}, by="me")
    app.users.create("root", role=Role.ADMIN, password=PASSWORD, by="me")
    app.users.create("ben", role=Role.VIEWER, password=PASSWORD, by="me")
    short = client.token(seconds=60)
    for path, body in (
        ("/users", wanted("eve", "viewer")),
        ("/users/ben/password", {"password": "another lamp otter"}),
        ("/keys", {"team_id": 1}),
        ("/exports/daily/hooks", None),
    ):
        said = assert_problem(client.ask("POST", path, short, json=body), 403, "not_allowed")
        assert "outlive" in said["detail"]
    match = {"if-match": client.ask("GET", "/users/ben", short).headers["etag"]}
    raised = client.ask("PATCH", "/users/ben", short, json={"role": "admin"}, headers=match)
    assert_problem(raised, 403, "not_allowed")
    assert client.ask("PATCH", "/users/ben", short, json={"disabled": True}, headers=match).status_code == 200
    assert [user.name for user in app.users.find()] == ["ben", "root"]
    assert (app.keys.find(), app.export_hooks.find("daily")) == ([], [])
    assert client.ask("POST", "/users", token, json=wanted("eve", "viewer")).status_code == 201


def test_a_small_token_unlocks_nobody_above_it_and_learns_no_names(app: App, client: Client, token: str) -> None:
    app.users.create("root", role=Role.ADMIN, password=PASSWORD, by="me")
    small = client.token(P.USERS_READ, P.USERS_WRITE, P.DBT_WRITE, P.DBT_RUN)
    assert_problem(client.ask("POST", "/users/root/unlock", small), 403, "scope_missing")
    assert client.ask("POST", "/users/root/unlock", token).status_code == 204
    app.connections.add(app.connections.draft(name="hidden", dataset="d", project="acme-123456", adc=True), by="me")
    project = {"name": "shop", "git": "https://git.example.com/shop", "connection": "other"}
    for holder, told in ((small, False), (token, True)):
        said = client.ask("POST", "/dbt-projects", holder, json=project).json()
        assert (said["code"], "hidden" in str(said)) == ("connection_unknown", told)


def test_who_deletes_a_connection_with_its_uses_may_delete_those(
    installation: Installation, app: App, client: Client
) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "model": "events"}, by="me")
    small = client.token(P.CONNECTIONS_READ, P.CONNECTIONS_WRITE)
    enough = client.token(P.CONNECTIONS_READ, P.CONNECTIONS_WRITE, P.EXPORTS_WRITE)
    path = f"/connections/{CONNECTION}"
    match = {"if-match": client.ask("GET", path, small).headers["etag"]}
    said = assert_problem(client.ask("DELETE", f"{path}?with_uses=true", small, headers=match), 403, "scope_missing")
    assert "exports:write" in said["detail"]
    assert [export.name for export in app.exports.find()] == ["daily"]
    (refused,) = app.audit.find(action="connection.delete")
    assert refused.outcome == "refused"
    assert client.ask("DELETE", f"{path}?with_uses=true", enough, headers=match).status_code == 200
    assert app.exports.find() == []


def test_of_two_who_delete_the_same_at_once_one_is_told_that_it_is_gone(
    installation: Installation, app: App, client: Client, token: str
) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "model": "events"}, by="me")
    match = {"if-match": client.ask("GET", "/exports/daily", token).headers["etag"]}
    both, answered = threading.Barrier(2), []
    books = app.exports._exports
    deleting = books.delete

    def delete(*given: Any, **named: Any) -> None:
        both.wait(30)  # both have seen it
        deleting(*given, **named)

    books.delete = delete  # type: ignore[method-assign]
    threads = [
        threading.Thread(
            target=lambda: answered.append(client.ask("DELETE", "/exports/daily", token, headers=match).status_code)
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answered) == [204, 404]


def test_viewers_have_no_tool_sent_anything(client: Client) -> None:
    looks = client.token(*PERMISSIONS[Role.VIEWER])
    assert_problem(client.ask("POST", "/destinations/crm/test", looks), 403, "scope_missing")
    assert_problem(client.ask("POST", "/sources/crm/test", looks), 403, "scope_missing")
