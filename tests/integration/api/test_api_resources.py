"""Syncs, imports and what they are made of, by the HTTP API; keys, tokens, users, channels, the audit log, events and
persons; and no secret in any answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.api_client import Client, assert_problem, work
from tests.installation import CONNECTION, Installation, write_events
from tests.syncs import MAPPING, Crm, People

from tidemill.access.permissions import Permission
from tidemill.app import App

ANY = {"if-match": "*"}


def done(client: Client, method: str, path: str, token: str, status: int = 200, **options: Any) -> Any:
    """What is answered, if it is that."""
    answer = client.ask(method, path, token, **options)
    assert answer.status_code == status, (method, path, answer.text)
    return answer.json() if answer.text else None


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a destination, as JSON has them."""
    return {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in settings.items()}


def source(client: Client, token: str, installation: Installation, app: App) -> None:
    """A connection that is a source."""
    installation.connect(app)
    wanted = {"access": "full", "state_dataset": f"{installation.dataset}_state"}
    assert done(client, "POST", f"/sources/{CONNECTION}/enable", token, json=wanted)["passed"]


def test_a_sync_from_its_source_to_its_end(
    installation: Installation, app: App, client: Client, token: str, people: People, crm: Crm
) -> None:
    source(client, token, installation, app)
    assert done(client, "POST", f"/sources/{CONNECTION}/test", token)["passed"]
    assert [one["connection"] for one in done(client, "GET", "/sources", token)["items"]] == [CONNECTION]
    assert done(client, "GET", f"/sources/{CONNECTION}/set-up", token)["statements"]
    model = {"name": "people", "connection": CONNECTION, "table": people.table, "key": ["id"]}
    made = client.ask("POST", "/source-models", token, json=model)
    assert (made.status_code, made.json()["key"]) == (201, ["id"]), made.text
    assert client.ask("GET", made.headers["location"], token).headers["etag"] == made.headers["etag"]
    assert done(client, "POST", "/source-models/people/check", token)["good"]
    assert len(done(client, "POST", "/source-models/people/preview?rows=3", token)["rows"]) == 3
    assert done(client, "POST", "/source-models/people/look", token)["columns"][0]["name"] == "id"
    changed = {"description": "whom we know", "max_bytes_billed": "20GB"}
    assert_problem(client.ask("PATCH", "/source-models/people", token, json=changed), 428, "if_match_missing")
    assert done(client, "PATCH", "/source-models/people", token, json=changed, headers=ANY)["max_bytes_billed"] > 0
    hook = {"name": "hook", "kind": "webhook", "settings": plain(crm.settings())}
    assert done(client, "POST", "/destinations", token, 201, json=hook)["kind"] == "webhook"
    assert done(client, "POST", "/destinations/hook/test", token)["said"]
    wanted = {"model": "people", "destination": "hook"}
    assert isinstance(done(client, "POST", "/syncs/suggest", token, json=wanted)["mapping"], dict)
    sync = {**wanted, "name": "crm", "mapping": MAPPING, "mode": "mirror", "delete_brake": 1.0, "interval": "none"}
    assert done(client, "POST", "/syncs", token, 201, json=sync)["spec"]["mode"] == "mirror"
    assert done(client, "POST", "/syncs/crm/dry-run", token)["counts"]["added"] == 20
    tried = done(client, "POST", "/syncs/crm/test", token, json={"key": "3"})
    assert (tried["key"], tried["status"]) == ("3", "written")
    runs(app, client, token, people)
    assert_problem(client.ask("DELETE", "/destinations/hook", token, headers=ANY), 409, "destination_in_use")
    assert_problem(client.ask("GET", "/imports/crm2", token), 404, "import_unknown")
    done(client, "DELETE", "/syncs/crm2", token, headers=ANY)
    done(client, "DELETE", "/destinations/hook", token, 204, headers=ANY)
    done(client, "DELETE", "/source-models/people", token, 204, headers=ANY)
    done(client, "POST", f"/sources/{CONNECTION}/disable", token, 204)
    assert_problem(client.ask("GET", f"/sources/{CONNECTION}", token), 422, "no_source")


def runs(app: App, client: Client, token: str, people: People) -> None:
    """The sync is run, looked at, paused, reset and renamed."""
    people.rows[0] = ("p0@example.com", "bad")
    people.save()
    asked = done(client, "POST", "/syncs/crm/trigger", token, 202)
    work(app)
    run = done(client, "GET", asked["url"], token)
    assert (run["status"], run["counts"]["written"], run["counts"]["rejected"]) == ("completed", 19, 1)
    assert [one["run"] for one in client.all("/syncs/crm/runs", token, limit=1)] == [1]
    assert [one["sync"] for one in done(client, "GET", "/sync-runs?status=completed", token)["items"]] == ["crm"]
    (reject,) = done(client, "GET", "/syncs/crm/rejects", token)["items"]
    assert (reject["key"], reject["status"]) == ("0", "rejected")
    (line,) = client.ask("GET", "/syncs/crm/rejects/export", token).text.splitlines()
    assert (json.loads(line)["key"], json.loads(line)["row"]["plan"]) == ("0", "bad")
    header, row = client.ask("GET", "/syncs/crm/rejects/export?form=csv", token).text.splitlines()
    assert (header, row.split(",")[:3]) == (
        "key,op,status,code,message,tries,last_run,row",
        ["0", "added", "rejected"],
    )
    assert_problem(client.ask("GET", "/syncs/nothing/rejects/export", token), 404, "sync_unknown")
    wanted = {"keys": ["0"]}
    asked = done(client, "POST", "/syncs/crm/rejects/retry", token, 202, json=wanted)
    again = done(client, "POST", "/syncs/crm/rejects/retry", token, 202, json=wanted)
    assert (asked["status"], asked["already"], again["already"], again["id"]) == ("waiting", False, True, asked["id"])
    work(app)
    tried = done(client, "GET", asked["url"], token)
    assert (tried["status"], tried["run"], tried["is_over"]) == ("completed", 2, True)
    assert done(client, "GET", "/syncs/crm/runs/2", token)["counts"]["extracted"] == 1, "of these rows alone"
    nothing = client.ask("POST", "/syncs/crm/rejects/retry", token, json={"code": "other"})
    assert_problem(nothing, 404, "row_unknown")
    assert_problem(client.ask("POST", "/syncs/crm/rejects/drop", token, json={}), 422, "rejects_which")
    assert done(client, "POST", "/syncs/crm/rejects/drop", token, json={"all": True}) == {"number": 1}
    app.seeing.book.flush()
    assert client.all("/syncs/crm/runs/1/logs", token, limit=2)
    assert_problem(client.ask("POST", "/syncs/crm/cancel", token), 404, "sync_not_running")
    done(client, "POST", "/syncs/crm/pause", token, 204)
    assert done(client, "GET", "/syncs/crm/status", token)["paused_by"].startswith("token ")
    done(client, "POST", "/syncs/crm/unpause", token, 204)
    done(client, "POST", "/syncs/crm/reset", token, 204, json={"how": "resend"})
    assert done(client, "GET", "/syncs?destination=HOOK", token)["items"][0]["pending"] == "resend"
    renamed = done(client, "PATCH", "/syncs/crm", token, json={"name": "crm2", "interval": "day"}, headers=ANY)
    assert renamed["name"] == "crm2"


def test_secrets_of_destinations_go_in_and_never_out(client: Client, token: str) -> None:
    secret = "a very secret text of a token"
    settings = {"url": "http://127.0.0.1:1/x", "token": secret}
    made = client.ask("POST", "/destinations", token, json={"name": "h", "kind": "webhook", "settings": settings})
    assert made.status_code == 201, made.text
    assert "token" in made.json()["secrets"]
    wrong = {"name": "i", "kind": "webhook", "settings": {"url": secret, "token": 7, secret: 1}}
    assert client.ask("POST", "/destinations", token, json=wrong).status_code == 422
    edited = {"settings": {"token": secret + "2"}}
    assert done(client, "PATCH", "/destinations/h", token, json=edited, headers=ANY)["name"] == "h"
    channel = {"name": "ops", "kind": "slack", "settings": {"url": f"https://hooks.example.com/{secret[-5:]}/s3cret"}}
    assert done(client, "POST", "/channels", token, 201, json=channel)["key"] is None
    hook = {"name": "hook", "kind": "webhook", "settings": {"url": "https://example.com/x"}}
    key = done(client, "POST", "/channels", token, 201, json=hook)["key"]
    client.said.clear()
    for path in ("/destinations", "/destinations/h", "/channels", "/channels/ops", "/channels/hook", "/audit"):
        done(client, "GET", path, token)
    said = "".join(client.said)
    assert secret not in said
    assert key not in said
    assert "s3cret" not in said
    assert done(client, "GET", "/channels/hook/messages", token) == []
    tested = done(client, "POST", "/channels/test", token)
    assert {one["channel"] for one in tested} == {"ops", "hook"}
    assert "s3cret" not in "".join(client.said)
    done(client, "PATCH", "/channels/ops", token, json={"causes": ["failed"]}, headers=ANY)
    done(client, "DELETE", "/channels/ops", token, 204, headers=ANY)


def test_an_import_from_its_draft_to_its_end(
    installation: Installation, app: App, client: Client, token: str, people: People
) -> None:
    source(client, token, installation, app)
    wanted = {"name": "signups", "connection": CONNECTION, "table": people.table, "key": ["id"]}
    made = done(client, "POST", "/imports", token, 201, json=wanted)
    assert (made["kind"], made["spec"]) == (None, None)
    assert done(client, "GET", "/imports?status=draft", token)["items"][0]["name"] == "signups"
    assert done(client, "POST", "/imports/signups/look", token)["columns"]
    assert len(done(client, "POST", "/imports/signups/preview?rows=2", token)["rows"]) == 2
    assert done(client, "POST", "/imports/signups/suggest?kind=people", token)["properties"]
    mapping = {"kind": "people", "identity": "email", "properties": [{"column": "plan", "name": "plan"}]}
    part = client.ask("PUT", "/imports/signups/mapping", token, json=mapping, headers=ANY)
    assert part.status_code == 422
    mapping["skipped"] = ["id"]
    assert done(client, "PUT", "/imports/signups/mapping", token, json=mapping, headers=ANY)["kind"] == "people"
    assert done(client, "POST", "/imports/signups/dry-run", token, json={"rows": 5})["good"] == 5
    assert_problem(client.ask("POST", "/syncs/signups/dry-run", token), 404, "sync_unknown")
    assert_problem(client.ask("POST", "/syncs/signups/test", token), 404, "sync_unknown")
    asked = done(client, "POST", "/imports/signups/trigger", token, 202)
    assert asked["url"] == "/api/v1/imports/signups/runs/1"
    work(app)
    assert done(client, "GET", asked["url"], token)["counts"]["written"] == 20
    person = done(client, "GET", "/persons?distinct_id=p3@example.com", token)
    assert json.loads(person["properties"])["plan"] == "free"
    assert done(client, "GET", "/persons/ids?distinct_id=p3@example.com", token)["distinct_ids"] == ["p3@example.com"]
    assert done(client, "GET", "/imports/signups/status", token)["health"] == "green"
    assert done(client, "PATCH", "/imports/signups", token, json={"most_rejects": 10}, headers=ANY)["name"] == "signups"
    assert done(client, "GET", "/imports/signups/rejects", token)["items"] == []
    assert client.ask("GET", "/imports/signups/rejects/export", token).text == ""
    assert done(client, "POST", "/imports/signups/stop", token)["status"] == "stopped"
    asked = done(client, "POST", "/imports/signups/undo", token, 202)
    assert done(client, "GET", "/persons?distinct_id=p3@example.com", token), "a worker does it"
    assert app.audit.find(action="import.undo")[0].outcome == "begun"
    work(app)
    over = done(client, "GET", asked["url"], token)
    assert (over["status"], over["done"], over["total"], over["error"]) == ("completed", 20, 20, None)
    assert [(one["place"], one["rows"], one["error"]) for one in over["places"]] == [
        ("events", 20, None),
        ("persons", 20, None),
    ]
    (record,) = app.audit.find(action="import.undo")
    assert (record.name, record.outcome, record.actor_kind) == ("signups", "done", "token")
    assert_problem(client.ask("GET", "/persons?distinct_id=p3@example.com", token), 404, "person_unknown")
    done(client, "DELETE", "/imports/signups", token, headers=ANY)
    assert done(client, "GET", "/imports", token)["items"] == []
    assert done(client, "GET", asked["url"], token)["status"] == "completed", "that of an import that is gone"
    assert_problem(client.ask("GET", asked["url"].replace("signups", "other"), token), 404, "operation_unknown")


def test_events_and_persons(app: App, client: Client, token: str, tmp_path: Path) -> None:
    write_events(tmp_path / "events.jsonl", 30)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write("{nonsense\n[1, 2]\n")
    app.events.load(str(tmp_path / "events.jsonl"))
    assert done(client, "GET", "/events/count", token) == [{"value": None, "events": 30}]
    (newest,) = done(client, "GET", "/events?limit=1", token)
    assert done(client, "GET", f"/events?uuid={newest['uuid']}", token) == [newest]
    lines = client.all("/events/rejects", token, limit=1)
    assert [line["id"] for line in lines] == sorted((line["id"] for line in lines), reverse=True)
    assert len(lines) > 1
    assert done(client, "POST", "/events/rejects/retry", token)["rejects"] == len(lines)
    assert_problem(client.ask("POST", "/events/rejects/dismiss", token, json={}), 422, "rejects_unclear")
    assert done(client, "POST", "/events/rejects/dismiss", token, json={"all": True})["number"] == len(lines)
    done(client, "POST", "/events/compact", token)
    assert done(client, "GET", "/persons/refused", token) == []
    who = newest["distinct_id"]
    asked = done(client, "DELETE", f"/persons?distinct_id={who}&with_events=true", token, 202)
    assert [one["name"] for one in done(client, "GET", "/persons/deletions", token)] == [who]
    work(app)
    deleted = done(client, "GET", asked["url"], token)
    assert (deleted["status"], deleted["name"]) == ("completed", ""), "nothing of the person is kept"
    assert {one["place"] for one in deleted["places"]} >= {"persons", "events"}
    assert done(client, "GET", "/persons/deletions", token) == []
    unknown = client.ask("DELETE", "/persons?distinct_id=nobody&with_events=true", token)
    assert_problem(unknown, 404, "person_unknown")
    assert done(client, "GET", f"/events?distinct_id={who}", token) == []


def test_nobody_is_given_more_than_the_token_has(client: Client, token: str) -> None:
    some = client.token(Permission.TOKENS_WRITE, Permission.USERS_WRITE, Permission.USERS_READ, Permission.AUDIT_READ)
    wanted: dict[str, Any] = {"name": "more", "scopes": ["exports:write"]}
    assert_problem(client.ask("POST", "/tokens", some, json=wanted), 403, "scope_missing")
    made = done(client, "POST", "/tokens", some, 201, json={"name": "less", "scopes": ["audit:read"]})
    assert done(client, "GET", "/audit", made["token"])["items"][0]["action"] == "token.create"
    done(client, "POST", "/tokens/less/revoke", some)
    assert client.ask("GET", "/audit", made["token"]).status_code == 401
    anna = {"name": "anna", "role": "admin", "password": "correct horse battery staple"}
    assert_problem(client.ask("POST", "/users", some, json=anna), 403, "scope_missing")
    assert done(client, "POST", "/users", token, 201, json=anna)["role"] == "admin"
    for method, path, body in (
        ("PATCH", "/users/anna", {"disabled": True}),
        ("DELETE", "/users/anna", None),
        ("POST", "/users/anna/password", {"password": "something else, and long"}),
    ):
        answer = client.ask(method, path, some, headers=ANY, **({"json": body} if body else {}))
        assert_problem(answer, 403, "scope_missing")
    assert_problem(client.ask("DELETE", "/users/anna", token, headers=ANY), 409, "last_administrator")
    done(client, "POST", "/users", token, 201, json={**anna, "name": "ben", "role": "viewer"})
    assert done(client, "PATCH", "/users/ben", token, json={"role": "editor"}, headers=ANY)["role"] == "editor"
    done(client, "POST", "/users/ben/password", token, 204, json={"password": "something else, and long"})
    done(client, "POST", "/users/ben/unlock", token, 204)
    assert [one["name"] for one in client.all("/users", token, limit=1)] == ["anna", "ben"]
    done(client, "DELETE", "/users/ben", token, 204, headers=ANY)
    assert "correct horse" not in "".join(client.said)


def test_keys_the_audit_log_and_health(client: Client, token: str) -> None:
    made = done(client, "POST", "/keys", token, 201, json={"team_id": 2, "name": "web"})
    client.said.clear()
    assert [one["name"] for one in done(client, "GET", "/keys", token)["items"]] == ["web"]
    assert done(client, "POST", "/keys/web/revoke", token)["revoked_at"]
    assert [one["name"] for one in done(client, "GET", "/keys?revoked=true", token)["items"]] == ["web"]
    records = client.all("/audit", token, limit=1)
    assert [one["action"] for one in records] == ["key.revoke", "key.create"]
    assert done(client, "GET", "/audit?action=key.revoke", token)["items"][0]["actor"] == "t0"
    lines = client.ask("GET", "/audit/export", token).text.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["key.revoke", "key.create"]
    assert client.ask("GET", "/audit/export?form=csv", token).text.startswith("id,at,actor")
    found = done(client, "GET", "/health", token)
    assert {"PostgreSQL", "event store"} <= {check["name"] for check in found["checks"]}
    assert made["key"] not in "".join(client.said)
