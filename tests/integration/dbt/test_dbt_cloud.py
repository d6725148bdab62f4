"""Webhooks of dbt Cloud: a run that succeeded has the syncs of what it built run, once, and nobody else can do that."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import hashlib
import hmac
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from tests.capture_server import until
from tests.dbt_projects import Project
from tests.dbt_syncs import SHOP, Shop
from tests.installation import Installation
from tests.syncs import NAME, Crm, People
from tests.syncs import run as run_sync

from tidemill.access.permissions import Permission
from tidemill.api import upkeep
from tidemill.api.v1.application import application
from tidemill.app import App
from tidemill.dbt import cloud
from tidemill.errors import ConfigError
from tidemill.settings import Settings
from tidemill.store.postgres import Postgres

SECRET, TOKEN = "s3cret-of-the-webhook", "dbtc_s3cret-token"
HERE = f"/api/v1/dbt/{SHOP}/webhook"
MANIFESTS = Path(__file__).parents[2] / "data" / "dbt"
RUN = "/api/v2/accounts/1/runs/77/"


class DbtCloud:
    """A server that answers as dbt Cloud's Administrative API does. `steps`: what each step's run_results.json says,
    None if it wrote none; `refuses`: the status of all answers."""

    def __init__(self) -> None:
        self.steps: list[dict[str, str] | None] = []
        self.refuses: int | None = None
        self.asked: list[tuple[str, str]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if self.refuses is not None:
            return self.refuses, {"status": {"user_message": "no"}}
        if path == RUN and query == {"include_related": ['["run_steps"]']}:
            return 200, {"data": {"id": 77, "run_steps": [{"index": n + 1} for n in range(len(self.steps))]}}
        if path == f"{RUN}artifacts/run_results.json":
            written = self.steps[int(query["step"][0]) - 1]
            return (404, {}) if written is None else (200, results(written))
        return 404, {}

    def _handler(cloud) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - beside the handler's own self
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                cloud.asked.append((self.path, self.headers.get("Authorization", "")))
                status, said = cloud.answer(parts.path, urllib.parse.parse_qs(parts.query))
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        return Handler


def results(statuses: dict[str, str]) -> dict[str, Any]:
    head = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}
    return {"metadata": head, "results": [{"unique_id": name, "status": said} for name, said in statuses.items()]}


def told(run: str = "77", **changes: Any) -> bytes:
    """What dbt Cloud tells of a run."""
    kind = changes.pop("kind", "job.run.completed")
    at = changes.pop("at", dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z"))
    data = {"jobId": "5", "jobName": "Daily", "runId": run, "runStatus": "Success", "runStatusCode": 10, **changes}
    event = {"accountId": 1, "webhookId": "wsu_1", "eventId": "wev_1", "timestamp": at, "eventType": kind, "data": data}
    return json.dumps(event).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Sender:
    """Sends what dbt Cloud would."""

    def __init__(self, app: App) -> None:
        self._api = application(app)

    def send(self, body: bytes, sign: str | None = None, path: str = HERE) -> httpx.Response:
        headers = {"content-type": "application/json"}
        headers |= {"authorization": signature(body) if sign is None else sign}
        return self.ask("POST", path, headers, body)

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._api)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(asked())


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.fixture
def dbt_cloud() -> Iterator[DbtCloud]:
    server = DbtCloud()
    yield server
    server.close()


@pytest.fixture
def sender(app: App, shop: Shop) -> Sender:
    assert shop.dataset
    app.dbt.edit(SHOP, {"webhook_secret": SECRET})
    return Sender(app)


def due_now(app: App) -> None:
    """What is to be tried again later is so now."""
    with app.database.begin() as connection:
        connection.execute(
            sa.text("UPDATE tidemill.dbt_cloud_runs SET next_at = now() - interval '1 s' WHERE next_at IS NOT NULL")
        )


def triggered(app: App) -> list[tuple[str, int]]:
    return [(one["sync"], one["number"]) for run in app.dbt_webhooks.told(SHOP) for one in run.syncs if one["number"]]


def test_a_run_that_succeeded_triggers_the_syncs_of_the_project_once(app: App, sender: Sender) -> None:
    body = told()
    assert (sender.send(body).status_code, sender.send(body).json()) == (202, {"news": False})
    assert app.any_cloud_run_due()
    assert app.dbt_models.after_cloud()
    assert not app.dbt_models.after_cloud()
    assert triggered(app) == [(NAME, 2)]
    assert sender.send(body).json() == {"news": False}
    assert not app.any_cloud_run_due(), "told once more it does nothing more"
    run = app.dbt_webhooks.told(SHOP)[0]
    assert (run.run, run.job, run.status) == ("77", "Daily", "Success")
    assert "no token" in run.note
    token, _ = app.tokens.create(name="reader", scopes=[Permission.DBT_READ], expires_seconds=None, by="tests")
    path, headers = f"/api/v1/dbt-projects/{SHOP}/cloud-runs", {"authorization": f"Bearer {token}"}
    (answer,) = sender.ask("GET", path, headers).json()
    assert (answer["run"], answer["is_done"]) == ("77", True)
    assert [(one["sync"], one["number"]) for one in answer["syncs"]] == [(NAME, 2)]
    assert sender.send(told("78")).json() == {"news": True}


def test_a_run_that_did_not_succeed_triggers_nothing_and_is_told(app: App, sender: Sender) -> None:
    ends = {"1": ("Error", 20), "2": ("Cancelled", 30), "3": ("Errored", None)}
    for run, (status, code) in ends.items():
        assert sender.send(told(run, runStatus=status, runStatusCode=code)).status_code == 202
    assert not app.any_cloud_run_due()
    found = {run.run: (run.status, run.syncs, run.note) for run in app.dbt_webhooks.told(SHOP)}
    note = "The run has not succeeded, so nothing was triggered."
    assert found == {run: (status, [], note) for run, (status, _) in ends.items()}


def test_nobody_else_triggers_anything(app: App, sender: Sender) -> None:
    body = told()
    for signs in ("", signature(body, "another secret of somebody"), signature(body, TOKEN), f"Bearer {SECRET}"):
        answers = [sender.send(body, signs), sender.send(body, signs, HERE.replace(SHOP, "other"))]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert answers[0].content == answers[1].content, "nobody learns which projects there are"
    assert sender.send(told("78"), signature(body)).status_code == 401, "the signature of another body"
    assert app.dbt_webhooks.told(SHOP) == []


def test_the_secret_can_be_changed_and_taken_away_and_is_never_shown(app: App, sender: Sender) -> None:
    body = told()
    view = app.dbt.edit(SHOP, {"webhook_secret": "the new secret of it"})
    assert view.secrets == ("webhook_secret",)
    assert "secret of it" not in repr(vars(view))
    assert sender.send(body).status_code == 401
    assert sender.send(body, signature(body, "the new secret of it")).status_code == 202
    app.dbt.edit(SHOP, {"webhook_secret": None})
    assert sender.send(body, signature(body, "the new secret of it")).status_code == 401
    with app.database.begin() as connection:
        assert "secret of it" not in str(connection.execute(sa.text("SELECT * FROM tidemill.dbt_projects")).all())


def test_what_is_no_event_is_refused_though_it_is_signed(app: App, sender: Sender) -> None:
    for body in (b"{", b"[]", b'{"eventType": "job.run.completed"}', b"\xff", told("1/../2")):
        assert sender.send(body).status_code == 422
    assert sender.send(b" " * 70_000).status_code == 413
    assert app.dbt_webhooks.told(SHOP) == []


def test_other_events_and_old_ones_do_nothing(app: App, sender: Sender) -> None:
    for body in (told(kind="job.run.started"), told(at="2020-01-31T19:29:35.789265936Z")):
        assert (sender.send(body).status_code, sender.send(body).json()) == (202, {"news": False})
    assert app.dbt_webhooks.told(SHOP) == []


def test_what_the_run_built_is_asked_of_dbt_cloud(app: App, sender: Sender, dbt_cloud: DbtCloud) -> None:
    app.dbt.edit(SHOP, {"cloud_host": dbt_cloud.url, "cloud_token": TOKEN})
    dbt_cloud.steps = [None, {"model.shop.people": "success"}, {"test.shop.unique_people_id": "pass"}]
    sender.send(told())
    assert app.dbt_models.after_cloud()
    assert triggered(app) == [(NAME, 2)]
    assert {said for _, said in dbt_cloud.asked} == {f"Token {TOKEN}"}
    assert app.dbt_webhooks.told(SHOP)[0].note == ""


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{"model.shop.orders": "success"}], None),
        ([{"model.shop.people": "success"}, {"test.shop.unique_people_id": "fail"}], "Tests do not hold"),
    ],
)
def test_syncs_of_what_it_did_not_build_or_that_is_wrong_are_not_triggered(
    steps: list[dict[str, str] | None], reason: str | None, app: App, sender: Sender, dbt_cloud: DbtCloud
) -> None:
    app.dbt.edit(SHOP, {"cloud_host": dbt_cloud.url, "cloud_token": TOKEN})
    dbt_cloud.steps = steps
    sender.send(told())
    assert app.dbt_models.after_cloud()
    assert triggered(app) == []
    said = [str(one["reason"]) for one in app.dbt_webhooks.told(SHOP)[0].syncs]
    assert [one.partition(":")[0] for one in said] == ([reason] if reason else [])


def test_while_dbt_cloud_is_away_it_is_asked_again_and_at_last_gone_on_without(
    app: App, sender: Sender, dbt_cloud: DbtCloud
) -> None:
    app.dbt.edit(SHOP, {"cloud_host": dbt_cloud.url, "cloud_token": TOKEN})
    sender.send(told())
    for status in (500, 429, 503, 502, 500):
        dbt_cloud.refuses = status
        assert app.dbt_models.after_cloud()
        assert triggered(app) == []
        assert "Asked again later" in app.dbt_webhooks.told(SHOP)[0].note
        assert not app.dbt_models.after_cloud(), "not at once"
        due_now(app)
    assert app.dbt_models.after_cloud()
    assert triggered(app) == [(NAME, 2)]
    note = app.dbt_webhooks.told(SHOP)[0].note
    assert "is not known" in note
    assert TOKEN not in note


def test_it_comes_back_in_time(app: App, sender: Sender, dbt_cloud: DbtCloud) -> None:
    app.dbt.edit(SHOP, {"cloud_host": dbt_cloud.url, "cloud_token": TOKEN})
    dbt_cloud.refuses = 503
    sender.send(told())
    assert app.dbt_models.after_cloud()
    dbt_cloud.refuses, dbt_cloud.steps = None, [{"model.shop.orders": "success"}]
    due_now(app)
    assert app.dbt_models.after_cloud()
    assert triggered(app) == []
    assert not app.any_cloud_run_due()


def test_a_token_that_is_refused_holds_nothing_up_and_is_told(app: App, sender: Sender, dbt_cloud: DbtCloud) -> None:
    app.dbt.edit(SHOP, {"cloud_host": dbt_cloud.url, "cloud_token": TOKEN})
    for status in (401, 404):
        dbt_cloud.refuses = status
        sender.send(told(str(status)))
        assert app.dbt_models.after_cloud()
        assert triggered(app)[0] == (NAME, 2)
        assert "Look at its token" in app.dbt_webhooks.told(SHOP)[0].note


def test_who_dies_over_it_leaves_it_to_the_next(app: App, sender: Sender) -> None:
    sender.send(told())
    assert app.dbt_webhooks.take() is not None
    assert not app.dbt_models.after_cloud(), "somebody is at it"
    due_now(app)
    assert app.dbt_models.after_cloud()
    assert triggered(app) == [(NAME, 2)]


def test_a_sync_that_was_at_work_before_dbt_was_done_runs_once_more(
    app: App, sender: Sender, people: People, crm: Crm
) -> None:
    """The run that is at work has read what was there before."""
    plan = crm.handle

    def meanwhile(asked: Any) -> Any:
        crm.handle = plan  # type: ignore[method-assign]
        people.rows[3] = ("new@example.com", "pro")
        people.save()
        sender.send(told())
        assert app.dbt_models.after_cloud()
        return plan(asked)

    crm.handle = meanwhile  # type: ignore[method-assign]
    people.rows[4] = ("first@example.com", "pro")
    people.save()
    run_sync(app)
    waits = app.dbt_webhooks.told(SHOP)[0]
    assert (waits.note, waits.syncs) == (f"Waits for the end of {NAME} (run 2), then once more.", [])
    due_now(app)
    assert app.dbt_models.after_cloud()
    assert triggered(app) == [(NAME, 3)]
    assert not app.any_cloud_run_due()
    assert app.worker.look()
    app.worker.drain()
    assert crm.people == people.expected()


def test_a_paused_sync_is_told_of_and_holds_nothing_up(app: App, sender: Sender) -> None:
    app.reverse_etl.syncs.pause(NAME, "me")
    sender.send(told())
    assert app.dbt_models.after_cloud()
    run = app.dbt_webhooks.told(SHOP)[0]
    assert run.next_at is None
    assert [(one["sync"], one["number"]) for one in run.syncs] == [(NAME, None)]
    assert "paused" in run.syncs[0]["reason"]


def test_a_token_is_for_its_host_alone(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    fields = {"name": "other", "manifest": str(tmp_path / "manifest.json"), "cloud_host": "a.dbt.com"}
    with pytest.raises(ConfigError, match="both are needed"):
        app.dbt.add(fields, by="me")
    app.dbt.add({**fields, "cloud_token": TOKEN}, by="me")
    with pytest.raises(ConfigError, match="both are needed"):
        app.dbt.edit("other", {"cloud_host": "b.dbt.com"})
    assert app.dbt.edit("other", {"refresh": 60}).secrets == ("cloud_token",)
    view = app.dbt.edit("other", {"cloud_host": None, "cloud_token": None})
    assert (view.secrets, "cloud_host" in view.spec) == ((), False)


def test_a_project_that_is_deleted_takes_its_runs_with_it(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    fields = {"name": "other", "manifest": str(tmp_path / "manifest.json"), "webhook_secret": SECRET}
    app.dbt.add(fields, by="me")
    body = told()
    assert app.dbt_webhooks.receive("other", body, signature(body)) is True
    app.dbt.delete("other")
    assert not app.any_cloud_run_due()


def test_a_body_of_any_letters_and_a_signature_of_any_letters_can_be_compared() -> None:
    assert cloud.is_signed(b"\xff", signature(b"\xff").upper(), SECRET)
    assert not cloud.is_signed(b"x", "ü" * 64, SECRET)


def test_the_command_line_shows_what_was_told(installation: Installation, app: App, sender: Sender) -> None:
    sender.send(told())
    waiting = installation.run("dbt", "runs", SHOP)
    assert "It is seen to within a minute." in waiting.stdout
    assert app.dbt_models.after_cloud()
    shown = json.loads(installation.run("dbt", "runs", SHOP, "--json").stdout)
    assert [(one["run"], one["is_done"], one["syncs"][0]["sync"]) for one in shown] == [("77", True, NAME)]
    assert f"{NAME} (run 2)" in installation.run("dbt", "runs", SHOP).stdout
    secret = installation.home / "secret"
    secret.write_text("of the command line\n")
    changed = installation.run("dbt", "edit", SHOP, "--webhook-secret-file", str(secret), "--json")
    assert "of the command line" not in changed.stdout + changed.stderr
    body = told("79")
    assert sender.send(body, signature(body, "of the command line")).status_code == 202
    assert installation.run("dbt", "edit", SHOP, "--no-cloud").returncode == 0
    assert sender.send(body, signature(body, "of the command line")).status_code == 401


def test_a_server_sees_to_it_by_itself_and_a_project_that_is_due_is_read_beside(
    app: App, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_READS_EVERY_SECONDS", 0.01)
    stopping = threading.Event()
    reading = threading.Thread(target=upkeep.keep_reading, args=(app, stopping))
    reading.start()
    try:
        sender.send(told())
        until(lambda: bool(triggered(app)), "the sync is triggered")
        before = app.dbt.edit(SHOP, {"refresh": 60}).read_at
        with app.database.begin() as connection:
            connection.execute(sa.text("UPDATE tidemill.dbt_projects SET next_at = now()"))
        until(lambda: app.dbt.get(SHOP).read_at > before, "the project is read anew")
    finally:
        stopping.set()
        reading.join()


def test_a_key_that_is_lost_is_not_replaced_while_a_project_has_a_secret(postgres: Postgres, tmp_path: Path) -> None:
    found = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    url = f"postgresql://postgres@/{found['dbname']}?host={found['host']}&port={found['port']}"
    settings, file = Settings(home=tmp_path / "home", database_url=url), tmp_path / "manifest.json"
    file.write_bytes(gzip.decompress((MANIFESTS / "v12_manifest_1.9.json.gz").read_bytes()))
    with App(settings) as app:
        app.dbt.add({"name": SHOP, "manifest": str(file)}, by="me")
        app.dbt.edit(SHOP, {"webhook_secret": SECRET})
    (settings.home_path / "secret.key").unlink()
    with App(settings):
        assert not (settings.home_path / "secret.key").exists()
