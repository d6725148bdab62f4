"""The configuration as code by the HTTP API: read, planned and applied; what is wrong; who may; and what nobody may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api_client import Client, assert_problem
from tests.installation import CONNECTION, Installation

from tidemill.access.permissions import Permission
from tidemill.app import App
from tidemill.errors import ConflictError
from tidemill.exports.service import ExportService

READS = [one for one in Permission if one.endswith(":read")]
FILE = "tidemill.yaml"
SECRET = "a secret of a webhook that nobody sees"
EXPORTS = """\
exports:
  daily:
    connection: c
    exclude_events: [debug]
    schedule: {interval: day}
"""
HOOK = """\
destinations:
  hook: {kind: webhook, url: {env: HOOK_URL}, token: {env: HOOK_TOKEN}, calls_per_second: 20}
"""
HOOK_SECRETS = {"HOOK_URL": "http://127.0.0.1:1/x", "HOOK_TOKEN": SECRET}


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        installation.connect(opened)
        yield opened


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"files": {FILE: text}, **more}


def planned(client: Client, token: str, text: str, **more: Any) -> dict[str, Any]:
    answer = client.ask("POST", "/configuration/plan", token, json=body(text, **more))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def applied(client: Client, token: str, text: str, **more: Any) -> dict[str, Any]:
    looked = {name: value for name, value in more.items() if name in {"secrets", "prune"}}
    wanted = body(text, plan=planned(client, token, text, **looked)["id"], **{"test": False, **more})
    answer = client.ask("POST", "/configuration/apply", token, json=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def steps(plan: dict[str, Any]) -> list[str]:
    return [f"{one['act']} {one['kind']} {one['name']}" for one in plan["steps"]]


def test_it_is_read_planned_and_applied(installation: Installation, app: App, client: Client, token: str) -> None:
    text = client.ask("GET", "/configuration", token)
    assert text.headers["content-type"].startswith("application/yaml")
    assert planned(client, token, text.text)["steps"] == [], "secrets that do not come stay as they are"
    wanted = EXPORTS.replace("connection: c", f"connection: {CONNECTION}")
    plan = planned(client, token, wanted)
    assert steps(plan) == ["create export daily"]
    assert plan["counts"]["create"] == 1
    assert plan["scopes"] == ["exports:write"]
    assert {"name": "exclude_events", "before": None, "after": ["debug"]} in plan["steps"][0]["fields"]
    other = body(wanted.replace("debug", "trace"), plan=plan["id"], test=False)
    assert_problem(client.ask("POST", "/configuration/apply", token, json=other), 409, "plan_outdated")
    done = applied(client, token, wanted)
    assert (done["done"], done["error"]) == ([{"act": "create", "kind": "export", "name": "daily"}], None)
    assert "exclude_events:" in client.ask("GET", "/configuration", token).text
    assert planned(client, token, wanted)["steps"] == []
    record = app.audit.find(action="export.create", limit=1)[0]
    assert (record.actor_kind, record.name) == ("token", "daily")
    moved = text.text.replace(f"dataset: {installation.dataset}", "dataset: another_one")
    assert [one["name"] for one in planned(client, token, moved)["steps"][0]["fields"]] == ["dataset"]
    applied(client, token, moved)
    assert app.connections.get(CONNECTION).dataset == "another_one"
    assert app.connections.differing(CONNECTION, {}) == ("key",), "it stays"
    gone = applied(client, token, "exports: {}", prune=True)
    assert gone["done"] == [{"act": "delete", "kind": "export", "name": "daily"}]


def test_what_is_wrong_is_told_with_its_place_and_what_is_too_large(client: Client, token: str) -> None:
    files = {"a.yaml": "exports:\n  daily: {connection: nowhere}\n", "b.yaml": "syncs:\n  x: {modle: m}\n"}
    said = assert_problem(
        client.ask("POST", "/configuration/plan", token, json={"files": files}), 422, "configuration_invalid"
    )
    places = [(one["where"], one["line"], one["column"]) for one in said["errors"]]
    assert ("a.yaml", 2, 23) in places
    assert ("b.yaml", 2, 7) in places
    assert any("nowhere" in one["message"] for one in said["errors"])
    broken = client.ask("POST", "/configuration/plan", token, json=body("exports: [\n"))
    assert "no YAML" in assert_problem(broken, 422, "configuration_invalid")["errors"][0]["message"]
    large = "# " + "x" * 100_000 + "\nversion: 1\n"
    assert planned(client, token, large)["steps"] == []
    much = client.ask("POST", "/configuration/plan", token, json=body("# " + "x" * 1_100_000))
    assert_problem(much, 413, "body_too_large")
    assert client.ask("POST", "/exports", token, json={"x": "y" * 70_000}).status_code == 413
    schema = client.ask("GET", "/configuration/schema", token)
    assert schema.json()["properties"]["exports"]


def test_nothing_of_the_server_is_read(
    client: Client, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a secret of the server would be sent to a destination of theirs."""
    (tmp_path / "secret").write_text("from a file of the server")
    monkeypatch.setenv("HOOK_TOKEN", "from the environment of the server")
    given = {"HOOK_URL": HOOK_SECRETS["HOOK_URL"]}
    answer = client.ask("POST", "/configuration/plan", token, json=body(HOOK, secrets=given))
    said = assert_problem(answer, 422, "configuration_invalid")
    assert "Give it in secrets" in said["errors"][0]["message"]
    text = HOOK.replace("{env: HOOK_TOKEN}", f"{{file: {tmp_path}/secret}}")
    answer = client.ask("POST", "/configuration/plan", token, json=body(text, secrets=given))
    assert "No file of the server" in assert_problem(answer, 422, "configuration_invalid")["errors"][0]["message"]
    folder = f"dbt_projects:\n  shop: {{folder: {tmp_path}}}\n"
    answer = client.ask("POST", "/configuration/plan", token, json=body(folder))
    assert "command line only" in assert_problem(answer, 422, "configuration_invalid")["errors"][0]["message"]
    assert "from a file" not in "".join(client.said)
    assert "from the environment" not in "".join(client.said)


def test_secrets_go_in_stay_and_are_never_told(client: Client, app: App, token: str) -> None:
    done = applied(client, token, HOOK, secrets=HOOK_SECRETS)
    assert [one["name"] for one in done["done"]] == ["hook"]
    assert planned(client, token, HOOK)["steps"] == [], "what does not come stays"
    assert planned(client, token, HOOK, secrets=HOOK_SECRETS)["steps"] == [], "it is the same"
    other = planned(client, token, HOOK, secrets={"HOOK_TOKEN": "quite another one"})
    assert other["steps"][0]["fields"] == [{"name": "token", "before": "(secret)", "after": "(another secret)"}]
    faster = HOOK.replace("20", "30")
    assert [one["name"] for one in planned(client, token, faster)["steps"][0]["fields"]] == ["calls_per_second"]
    applied(client, token, faster)
    (account,) = app.reverse_etl.destinations.find()
    assert app.reverse_etl.destinations.differing("hook", {}) == ("url", "token")
    assert account.settings["calls_per_second"] == 30
    unused = client.ask("POST", "/configuration/plan", token, json=body(HOOK, secrets={"HOOK_TOKN": "x"}))
    assert "HOOK_TOKN" in assert_problem(unused, 422, "configuration_invalid")["errors"][0]["message"]
    without = faster.replace("token: {env: HOOK_TOKEN}, ", "")
    assert planned(client, token, without)["steps"][0]["fields"] == [
        {"name": "token", "before": "(secret)", "after": None}
    ]
    written = client.ask("GET", "/configuration", token).text
    assert planned(client, token, written)["steps"] == []
    assert SECRET not in "".join(client.said)


def test_a_secret_that_stays_goes_to_no_other_server(client: Client, token: str) -> None:
    applied(client, token, HOOK, secrets=HOOK_SECRETS)
    mail = "channels:\n  mail: {kind: email, to: [a@example.com], sender: t@example.com, host: %s, user: u, "
    mail += "password: {env: MAIL_PASSWORD}}\n"
    applied(client, token, mail % "smtp.example.com", secrets={"MAIL_PASSWORD": SECRET})
    moved = client.ask("POST", "/configuration/plan", token, json=body(mail % "smtp.example.org"))
    assert "secrets" in assert_problem(moved, 422, "configuration_invalid")["errors"][0]["message"]
    again = planned(client, token, mail % "smtp.example.org", secrets={"MAIL_PASSWORD": SECRET})
    assert [one["name"] for one in again["steps"][0]["fields"]] == ["host"]


def test_nobody_may_more_than_by_single_calls(app: App, client: Client, token: str) -> None:
    """All is refused before anything is done; and who may not change a secret may not guess it."""
    both = EXPORTS.replace("connection: c", f"connection: {CONNECTION}") + HOOK
    reader = client.token(*READS)
    assert client.ask("GET", "/configuration", reader).status_code == 200
    assert planned(client, reader, both.replace(HOOK, ""))["scopes"] == ["exports:write"]
    editor = client.token(*READS, Permission.EXPORTS_WRITE)
    shown = planned(client, editor, both, secrets=HOOK_SECRETS)
    assert shown["scopes"] == ["destinations:write", "exports:write"]
    asked = body(both, secrets=HOOK_SECRETS, plan=shown["id"], test=False)
    refused = client.ask("POST", "/configuration/apply", editor, json=asked)
    said = assert_problem(refused, 403, "scope_missing")
    assert "destinations:write" in said["detail"]
    assert 'scope="destinations:write"' in refused.headers["www-authenticate"]
    assert client.ask("GET", "/exports/daily", token).status_code == 404
    record = app.audit.find(limit=1)[0]
    assert (record.outcome, record.code, record.name) == ("refused", "scope_missing", "/api/v1/configuration/apply")
    for missing in (Permission.CHANNELS_READ, Permission.DBT_READ):
        some = client.token(*(one for one in Permission if one != missing))
        assert_problem(client.ask("GET", "/configuration", some), 403, "scope_missing")
    applied(client, token, HOOK, secrets=HOOK_SECRETS)
    assert planned(client, reader, HOOK)["steps"] == []
    guess = client.ask("POST", "/configuration/plan", reader, json=body(HOOK, secrets=HOOK_SECRETS))
    assert_problem(guess, 403, "scope_missing")


def test_it_stops_at_the_first_that_fails(client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was done: it is a problem. Something was: it is told what."""

    def failing(*_: Any, **__: Any) -> None:
        raise ConflictError("export_exists", "Somebody was quicker.", hint="Look at it.")

    monkeypatch.setattr(ExportService, "create", failing)
    export = EXPORTS.replace("connection: c", f"connection: {CONNECTION}")
    asked = body(export, plan=planned(client, token, export)["id"])
    assert_problem(client.ask("POST", "/configuration/apply", token, json=asked), 409, "export_exists")
    told = applied(client, token, export + HOOK, secrets=HOOK_SECRETS)
    assert [one["name"] for one in told["done"]] == ["hook"]
    assert (told["failed"]["name"], told["error"]["code"], told["not_done"]) == ("daily", "export_exists", [])
