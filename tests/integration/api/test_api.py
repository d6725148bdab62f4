"""The HTTP API: who may do what, what is answered, and that a run is triggered once, and seen to its end."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import api_client
from tests.api_client import assert_problem, work
from tests.capture_server import free_port, until
from tests.installation import Installation
from tests.served import Server
from tests.syncs import NAME, Crm, People, prepare

from tidemill.access.permissions import Permission
from tidemill.api.v1.bodies import MOST_BYTES
from tidemill.app import App

BOTH = (Permission.SYNCS_TRIGGER, Permission.SYNCS_READ)
TRIGGER = f"/api/v1/syncs/{NAME}/trigger"


class Client(api_client.Client):
    """The same, of syncs."""

    def token(self, *scopes: Permission, seconds: int | None = None) -> str:
        """A new one."""
        return super().token(*(scopes or BOTH), seconds=seconds)

    def trigger(self, token: str, path: str = TRIGGER, **options: Any) -> httpx.Response:
        """Have the sync run."""
        return self.ask("POST", path, token, **options)


@pytest.fixture
def client(app: App) -> Client:
    return Client(app)


def test_a_run_is_triggered_and_seen_to_its_end(
    installation: Installation, app: App, people: People, crm: Crm, client: Client
) -> None:
    prepare(app, installation, people, crm)
    token = client.token()
    answer = client.trigger(token)
    assert answer.status_code == 202
    url = f"/api/v1/syncs/{NAME}/runs/1"
    assert answer.json() == {"sync": NAME, "run": 1, "already": False, "url": url}
    assert answer.headers["location"] == url
    assert client.trigger(token).json()["already"] is True
    waits = client.ask("GET", url, token)
    assert (waits.json()["status"], waits.json()["is_over"], waits.json()["counts"]) == ("waiting", False, None)
    assert int(waits.headers["retry-after"]) >= 1
    work(app)
    assert crm.people == people.expected()
    over = client.ask("GET", url, token)
    assert "retry-after" not in over.headers
    said = over.json()
    assert (said["status"], said["is_over"], said["counts"]["written"]) == ("completed", True, 20)
    assert said["began_by"].startswith("token ")
    assert (said["error"], said["counts"]["rejected"]) == (None, 0)
    assert client.trigger(token, json={"force": True}).json()["run"] == 2
    work(app)
    assert client.ask("GET", url.replace("runs/1", "runs/2"), token).json()["status"] == "completed"


def test_twice_at_once_is_one_run(
    installation: Installation, app: App, people: People, crm: Crm, client: Client
) -> None:
    prepare(app, installation, people, crm)
    token = client.token()
    keys: list[dict[str, str]] = [{}, {}, {"idempotency-key": "a"}, {"idempotency-key": "a"}]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client.trigger, token, headers=key) for key in keys]
        found = [one.result() for one in asked]
    assert [one.status_code for one in found] == [202] * 4
    assert {one.json()["run"] for one in found} == {1}
    assert found[2].json() == found[3].json()
    work(app)
    assert [one.number for one in app.reverse_etl.syncs.runs(NAME)] == [1]


def test_the_same_key_is_the_same_call(
    installation: Installation, app: App, people: People, crm: Crm, client: Client
) -> None:
    prepare(app, installation, people, crm)
    token, key = client.token(), {"idempotency-key": "run of the 26th"}
    first = client.trigger(token, headers=key)
    work(app)
    again = client.trigger(token, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    app.reverse_etl.syncs.pause(NAME, "me")
    assert client.trigger(token, headers=key).json() == first.json()
    app.reverse_etl.syncs.unpause(NAME)
    assert not app.worker.look()
    assert_problem(client.trigger(token, headers=key, json={"force": True}), 422, "idempotency_key_reused")
    assert client.trigger(client.token(), headers=key).json()["run"] == 2  # of somebody else it is another one
    work(app)
    import sqlalchemy as sa

    with app.database.begin() as connection:
        connection.execute(sa.text("UPDATE tidemill.sync_triggers SET at = at - interval '25 hours'"))
    assert client.trigger(token, headers=key).json()["run"] == 3


def test_who_may_not_is_told_why(
    installation: Installation, app: App, people: People, crm: Crm, client: Client
) -> None:
    prepare(app, installation, people, crm)
    for token in (None, "nonsense", "tma_" + "a" * 40, "tm_" + "a" * 40):
        answer = client.ask("POST", TRIGGER, token)
        assert_problem(answer, 401, "token_invalid")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    revoked = client.token()
    app.tokens.revoke("t0")
    assert_problem(client.trigger(revoked), 401, "token_invalid")
    expired = client.token(seconds=60)
    import sqlalchemy as sa

    with app.database.begin() as connection:
        connection.execute(sa.text("UPDATE tidemill.tokens SET expires_at = now() WHERE expires_at IS NOT NULL"))
    assert app.tokens.find()[0].expires_at is not None
    assert_problem(client.trigger(expired), 401, "token_invalid")
    reads = client.token(Permission.SYNCS_READ)
    answer = client.trigger(reads)
    assert_problem(answer, 403, "scope_missing")
    assert 'scope="syncs:trigger"' in answer.headers["www-authenticate"]
    triggers = client.token(Permission.SYNCS_TRIGGER)
    assert_problem(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/1", triggers), 403, "scope_missing")
    key, _ = app.keys.create(team_id=1, name=None, events_per_second=None, by="me")
    assert_problem(client.trigger(key), 401, "token_invalid")
    assert not app._sync_books.syncs.any_due()


def test_what_is_wrong_is_told(installation: Installation, app: App, people: People, crm: Crm, client: Client) -> None:
    prepare(app, installation, people, crm)
    token = client.token()
    assert_problem(client.trigger(token, "/api/v1/syncs/other/trigger"), 404, "sync_unknown")
    assert_problem(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/7", token), 404, "sync_run_unknown")
    assert_problem(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/{2**40}", token), 422, "request_invalid")
    assert_problem(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/x", token), 422, "request_invalid")
    assert_problem(client.trigger(token, "/api/v1/syncs/a%00b/trigger"), 422, "request_invalid")
    assert_problem(client.ask("GET", "/api/v1/nothing", token), 404, "address_unknown")
    assert_problem(client.ask("GET", "/api/v2/syncs", token), 404, "address_unknown")
    assert_problem(client.ask("GET", TRIGGER, token), 405, "method_unknown")
    json_kind = {"content-type": "application/json"}
    said = assert_problem(client.trigger(token, json={"force": "secret words"}), 422, "request_invalid")
    assert "secret words" not in json.dumps(said)
    assert said["errors"][0]["where"] == "body.force"
    assert_problem(client.trigger(token, json={"forced": True}), 422, "request_invalid")
    assert_problem(client.trigger(token, content=b"{", headers=json_kind), 422, "request_invalid")
    assert_problem(client.trigger(token, content=b"\xff\xfe{", headers=json_kind), 400, "body_not_json")
    assert_problem(client.trigger(token, content=b"force=1"), 415, "body_not_json")
    large = b" " * (MOST_BYTES + 1)
    assert_problem(client.trigger(token, content=large, headers=json_kind), 413, "body_too_large")
    assert_problem(client.trigger(token, headers={"idempotency-key": "k" * 256}), 422, "request_invalid")
    app.reverse_etl.syncs.pause(NAME, "me")
    assert "unpause" in assert_problem(client.trigger(token), 409, "sync_paused")["hint"]
    assert not app._sync_books.triggers.waiting(app._sync_books.syncs.get(NAME).id)


def test_a_bug_is_told_as_one_and_no_token_is_logged(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = client.token()

    def fails(*_: object, **__: object) -> None:
        raise ValueError("something else")

    monkeypatch.setattr(app.sync_triggers, "trigger", fails)
    said = assert_problem(client.trigger(token), 500, "bug")
    assert "something else" not in json.dumps(said)
    assert "something else" in caplog.text
    assert_problem(client.trigger(token[:-1] + "!"), 401, "token_invalid")
    for secret in (token, token[4:], token[-20:]):
        assert secret not in caplog.text
        assert not [said for said in client.said if secret in said]


def test_the_description_is_true(
    installation: Installation, app: App, people: People, crm: Crm, client: Client
) -> None:
    import jsonschema

    prepare(app, installation, people, crm)
    answer = client.ask("GET", "/api/v1/openapi.json")
    described = answer.json()
    of_syncs = ("/api/v1/syncs/{name}/trigger", "/api/v1/syncs/{name}/runs/{number}")
    of_dbt = {f"/api/v1/dbt/{{name}}/{what}" for what in ("in-use", "readable", "webhook")}
    of_kinds = ("/api/v1/destination-kinds", "/api/v1/destination-kinds/{name}")
    assert {*of_syncs, *of_dbt, *of_kinds} <= set(described["paths"])
    assert client.ask("GET", "/api/v1/openapi.json").json() == described
    token = client.token()

    def check(answer: httpx.Response, path: str, method: str) -> None:
        response = described["paths"][path][method]["responses"][str(answer.status_code)]
        kind, content = next(iter(response["content"].items()))
        assert answer.headers["content-type"] == kind
        schema = {**content["schema"], "components": described["components"]}
        jsonschema.validate(answer.json(), schema)

    trigger, run = of_syncs
    for one in (token, None, client.token(Permission.SYNCS_READ)):
        check(client.ask("POST", TRIGGER, one), trigger, "post")
    check(client.trigger(token, json={"x": 1}), trigger, "post")
    check(client.trigger(token, content=b"x"), trigger, "post")
    for number in (1, 2):
        check(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/{number}", token), run, "get")
    reader = client.token(Permission.DESTINATIONS_READ)
    for path in of_kinds:
        check(client.ask("GET", path.replace("{name}", "hubspot"), reader), path, "get")
    work(app)
    check(client.ask("GET", f"/api/v1/syncs/{NAME}/runs/1", token), run, "get")


def test_a_server_answers_and_its_worker_does_it(
    installation: Installation, app: App, people: People, crm: Crm, tmp_path: Path
) -> None:
    prepare(app, installation, people, crm)
    token, _ = app.tokens.create(name="airflow", scopes=BOTH, expires_seconds=None, by="me")
    port, server = free_port(), Server(installation, tmp_path / "log")
    url = f"http://127.0.0.1:{port}"
    server.start("--port", str(port), "--role", "api", "--role", "worker", TIDEMILL_OUTBOUND_ALLOW="127.0.0.1")
    try:
        until(lambda: _ready(url), "the server is ready")
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
            asked = client.post(TRIGGER)
            assert asked.status_code == 202, asked.text
            until(lambda: client.get(asked.headers["location"]).json()["is_over"], "the run is over")
            assert client.get(asked.headers["location"]).json()["status"] == "completed"
            assert client.get("/health").json() == {"alive": True}
            assert 'api="api",status="202"' in client.get("/metrics").text
    finally:
        server.stop()
    assert crm.people == people.expected()
    assert token not in server.said
    assert token[4:] not in server.said


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_the_command_line_does_the_same(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    done = installation.run("sync", "trigger", NAME, "--json")
    assert json.loads(done.stdout) == {"sync": NAME, "number": 1, "already": False}
    assert "Nothing more is begun" in installation.run("sync", "trigger", NAME).stderr
    work(app)
    assert installation.run("sync", "trigger", "other").returncode == 4
    made = installation.run("token", "create", "ci", "--scope", "syncs:trigger", "--expires", "90d")
    holder = app.tokens.holder(made.stdout.strip())
    assert holder is not None
    assert holder.expires_at is not None
    assert dt.timedelta(days=89) < holder.expires_at - holder.created_at < dt.timedelta(days=91)
    assert made.stdout.strip() not in installation.run("token", "list").stdout
    assert installation.run("token", "revoke", "CI").returncode == 0
    assert app.tokens.holder(made.stdout.strip()) is None


def test_what_destinations_take_is_told_to_who_may_see_it(client: Client) -> None:
    token = client.token(Permission.DESTINATIONS_READ)
    every = client.ask("GET", "/api/v1/destination-kinds", token).json()
    assert {"webhook", "hubspot"} <= {one["name"] for one in every}
    assert "tidemill" not in {one["name"] for one in every}
    found = client.ask("GET", "/api/v1/destination-kinds/webhook", token).json()
    assert found["settings"]["properties"]["token"]["anyOf"][0]["writeOnly"]
    assert [action["name"] for action in found["actions"]] == ["send"]
    assert client.ask("GET", "/api/v1/destination-kinds/none", token).status_code == 404
    assert client.ask("GET", "/api/v1/destination-kinds", client.token(Permission.SYNCS_READ)).status_code == 403
    assert client.ask("GET", "/api/v1/destination-kinds").status_code == 401
