"""Connections and exports by the HTTP API: made, seen, changed, run and deleted; and no secret in any answer."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.api_client import Client, assert_problem, work
from tests.installation import CONNECTION, Installation, write_events

from tidemill.access.permissions import Permission
from tidemill.app import App


def make(client: Client, token: str, name: str = "daily", **fields: Any) -> dict[str, Any]:
    """A new export by hand."""
    wanted = {"name": name, "connection": CONNECTION, "table": name, "interval": "none", **fields}
    answer = client.ask("POST", "/exports", token, json=wanted)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/exports/{name}"
    found: dict[str, Any] = answer.json() | {"etag": answer.headers["etag"]}
    return found


def test_a_connection_from_its_key_to_its_end(installation: Installation, app: App, client: Client, token: str) -> None:
    key = installation.local.key("tidemill")
    secret = key["private_key"]
    wanted = {"name": "warehouse", "dataset": installation.dataset, "key": key}
    made = client.ask("POST", "/connections", token, json=wanted)
    assert made.status_code == 201, made.text
    assert (made.json()["connected_by"], made.json()["account"]) == ("token t0", key["client_email"])
    as_text = {**wanted, "name": "other", "key": json.dumps(key)}
    assert client.ask("POST", "/connections", token, json=as_text).status_code == 201
    assert_problem(client.ask("POST", "/connections", token, json=wanted), 409, "connection_exists")
    for wrong in (
        {**wanted, "key": "{" + secret},
        {**wanted, "key": {"private_key": secret}},
        {**wanted, "adc": secret},
    ):
        assert client.ask("POST", "/connections", token, json=wrong).status_code == 422
    tested = client.ask("POST", "/connections/warehouse/test", token).json()
    assert tested["passed"], tested
    assert [step["status"] for step in tested["steps"]].count("passed") > 3
    draft = client.ask("POST", "/connections/test", token, json={**wanted, "dataset": "nothing_there"}).json()
    assert not draft["passed"]
    assert next(step["hint"] for step in draft["steps"] if step["status"] == "failed")
    assert installation.dataset in [
        one["name"] for one in client.ask("GET", "/connections/other/datasets", token).json()
    ]
    commands = client.ask("GET", "/connections/other/set-up", token, params={"use": "streaming"}).json()["commands"]
    assert any(key["client_email"] in command for command in commands)
    assert client.ask("GET", "/connections/warehouse/status", token).json()["test"]["steps"] == tested["steps"]
    upload = client.ask("POST", "/exports/test", token, json={"name": "daily", "connection": "warehouse"}).json()
    assert upload["passed"]
    assert upload["upload"]["target"].endswith(f".{installation.dataset}.events")
    make(client, token)
    assert client.ask("POST", "/exports/daily/test", token).json()["upload"]["returned"] == upload["upload"]["rows"]
    found = client.ask("GET", "/connections", token).json()["items"]
    stand = [(one["name"], one["used_by"], one["status"]["state"]) for one in found]
    assert stand == [("warehouse", {"export": 1}, "ready"), ("other", {}, "untested")]
    of_nothing = client.ask("GET", "/connections", token, params={"used_by": "nothing", "connected_by": "TOKEN t0"})
    assert [one["name"] for one in of_nothing.json()["items"]] == ["other"]
    late = client.ask("GET", "/connections", token, params={"connected_after": "2100-01-01T00:00:00Z"})
    assert late.json() == {"items": [], "next": None}
    uses = client.ask("GET", "/connections/warehouse/uses", token).json()
    assert uses == [{"kind": "export", "name": "daily", "at_work": []}]
    tag = {"if-match": client.ask("GET", "/connections/warehouse", token).headers["etag"]}
    assert_problem(client.ask("DELETE", "/connections/warehouse", token, headers=tag), 409, "connection_in_use")
    done = client.ask("DELETE", "/connections/warehouse?with_uses=true", token, headers=tag)
    assert (done.status_code, done.json()["uses"]) == (200, uses), done.text
    assert client.ask("GET", "/exports/daily", token).status_code == 404
    renamed = client.ask("PATCH", "/connections/other", token, json={"name": "mine"}, headers={"if-match": "*"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "mine")
    assert not [said for said in client.said if secret in said or json.dumps(secret)[1:60] in said]
    with app.database.begin() as connection:
        written = str(connection.execute(sa.text("SELECT log::text FROM tidemill.audit_log log")).all())
    assert "BEGIN" not in written


def test_an_export_runs_when_it_is_triggered(
    installation: Installation, app: App, client: Client, token: str, tmp_path: Path
) -> None:
    installation.connect(app)
    uuids = write_events(tmp_path / "events.jsonl", 50)
    app.events.load(str(tmp_path / "events.jsonl"))
    make(client, token)
    status = client.ask("GET", "/exports/daily/status", token).json()
    assert (status["waiting_rows"], status["last_status"]) == (50, None)
    asked = client.ask("POST", "/exports/daily/trigger", token)
    assert (asked.status_code, asked.json()["status"], asked.json()["already"]) == (202, "waiting", False), asked.text
    again = client.ask("POST", "/exports/daily/trigger", token).json()
    assert (again["id"], again["already"]) == (asked.json()["id"], True)
    assert int(client.ask("GET", asked.headers["location"], token).headers["retry-after"]) >= 1
    work(app)
    done = client.ask("GET", asked.headers["location"], token).json()
    assert (done["status"], done["is_over"], len(done["runs"]), done["error"]) == ("completed", True, 1, None)
    assert installation.uuids("daily") == uuids
    (run,) = client.ask("GET", "/exports/daily/runs", token).json()["items"]
    assert run["id"] == done["runs"][0]
    assert (run["status"], run["rows_done"], run["created_by"]) == ("completed", 50, "token t0")
    assert client.ask("GET", "/runs?status=failed", token).json()["items"] == []
    whole = client.ask("GET", f"/exports/daily/runs/{run['id'][:8]}", token).json()
    assert sum(chunk["rows"] for chunk in whole["chunks_detail"]) == 50
    app.seeing.book.flush()
    lines = client.all(f"/exports/daily/runs/{run['id']}/logs", token, limit=2)
    assert [line["id"] for line in lines] == sorted({line["id"] for line in lines})
    assert lines
    searched = client.ask("GET", f"/exports/daily/runs/{run['id']}/logs?search=nowhere to be found", token).json()
    assert searched["items"] == []
    nothing = client.ask("POST", "/exports/daily/trigger", token).json()
    work(app)
    assert client.ask("GET", nothing["url"], token).json()["runs"] == []
    whole_again = client.ask("POST", f"/exports/daily/runs/{run['id']}/again", token)
    work(app)
    assert client.ask("GET", whole_again.headers["location"], token).json()["status"] == "completed"
    assert installation.uuids("daily") == uuids
    checked = client.ask("POST", "/exports/daily/table/check", token).json()
    assert (checked["rows"], checked["missing"], checked["duplicated"]) == (50, 0, 0)
    assert client.ask("POST", "/exports/daily/table/example", token).json()["columns"]
    assert client.ask("POST", "/exports/daily/table/verify", token, json={"days": 400}).json()["different"] == []
    repaired = client.ask("POST", "/exports/daily/table/repair", token)
    assert (repaired.status_code, repaired.json()["backfill"]) == (202, None)
    bigquery = installation.client()
    bigquery.google().query_and_wait(f"DELETE FROM `{installation.dataset}.daily` WHERE event = 'event 1'")
    bigquery.close()
    repaired = client.ask("POST", "/exports/daily/table/repair", token)
    assert repaired.json()["verified"]["different"]
    work(app)
    assert installation.uuids("daily") == uuids
    over = client.ask("GET", f"/exports/daily/backfills/{repaired.json()['backfill']['id']}", token).json()
    assert over["status"] == "completed"
    assert_problem(client.ask("POST", "/exports/daily/table/settle", token), 409, "no_doubt")


def test_what_cannot_be_done_is_told_by_who_was_to_do_it(
    installation: Installation, app: App, client: Client, token: str, tmp_path: Path
) -> None:
    installation.connect(app)
    write_events(tmp_path / "events.jsonl", 10)
    app.events.load(str(tmp_path / "events.jsonl"))
    make(client, token)
    installation.local.key("tidemill", deny=["bigquery.tables.create"])
    asked = client.ask("POST", "/exports/daily/trigger", token).json()
    work(app)
    failed = client.ask("GET", asked["url"], token).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "permission_missing"), failed
    (run,) = client.ask("GET", "/exports/daily/runs?status=failed", token).json()["items"]
    assert run["error"]["hint"]
    installation.local.key("tidemill")
    retried = client.ask("POST", f"/exports/daily/runs/{run['id']}/retry", token).json()
    assert (retried["what"], retried["run"]) == ("retry", run["id"])
    work(app)
    assert client.ask("GET", retried["url"], token).json()["runs"] == [run["id"]]
    assert client.ask("GET", f"/exports/daily/runs/{run['id']}", token).json()["status"] == "completed"
    for what, code in (("cancel", "run_over"), ("retry", "run_completed")):
        assert_problem(client.ask("POST", f"/exports/daily/runs/{run['id']}/{what}", token), 409, code)
    make(client, token, "other")
    for path in ("", "/logs", "/events"):
        of_other = client.ask("GET", f"/exports/other/runs/{run['id']}{path}", token)
        assert_problem(of_other, 404, "run_unknown")
    make(client, token, "live", mode="stream", interval=None)
    assert_problem(client.ask("POST", "/exports/live/trigger", token), 422, "export_streams")


def test_backfills_by_workers(installation: Installation, app: App, client: Client, token: str, tmp_path: Path) -> None:
    installation.connect(app)
    write_events(tmp_path / "events.jsonl", 40)
    app.events.load(str(tmp_path / "events.jsonl"))
    make(client, token)
    wanted = {"time_from": "2026-01-01", "time_to": "2026-01-06", "every": "day"}
    early = client.ask("POST", "/exports/daily/backfills", token, json=wanted)
    assert_problem(early, 422, "backfill_before_run")
    client.ask("POST", "/exports/daily/trigger", token)
    work(app)
    estimated = client.ask("POST", "/exports/daily/backfills/estimate", token, json=wanted).json()
    assert (estimated["intervals"], estimated["rows"]) == (5, 10)
    begun = client.ask("POST", "/exports/daily/backfills", token, json={**wanted, "parallel": 2})
    assert (begun.status_code, begun.json()["status"]) == (202, "running"), begun.text
    url = begun.headers["location"]
    assert client.ask("POST", f"{url}/pause", token).json()["status"] == "paused"
    assert_problem(client.ask("POST", "/exports/daily/backfills", token, json=wanted), 409, "backfill_unfinished")
    assert client.ask("POST", f"{url}/resume", token, json={"parallel": 2}).json()["status"] == "running"
    work(app)
    over = client.ask("GET", url, token).json()
    assert (over["status"], over["intervals_done"], over["percent"]) == ("completed", 5, 100)
    assert client.ask("GET", "/exports/daily/backfills", token).json()["items"] == [over]
    runs = client.all(f"/exports/daily/runs?backfill={over['id']}", token, limit=2)
    assert {run["kind"] for run in runs} == {"backfill"}
    assert len(runs) == 5
    assert_problem(client.ask("POST", f"{url}/cancel", token), 409, "backfill_over")


def test_who_has_not_seen_a_change_does_not_undo_it(
    installation: Installation, app: App, client: Client, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.connect(app)
    made = make(client, token, include_events=["a"])
    shown = client.ask("GET", "/exports/daily", token)
    assert shown.headers["etag"] == made["etag"]
    same = client.ask("GET", "/exports/daily", token, headers={"if-none-match": f'"x", W/{made["etag"]}'})
    assert (same.status_code, same.text, same.headers["etag"]) == (304, "", made["etag"])
    path, seen = "/exports/daily", {"if-match": made["etag"]}
    assert_problem(client.ask("PATCH", path, token, json={"run_log": True}), 428, "if_match_missing")
    changed = client.ask("PATCH", path, token, json={"exclude_events": ["b"]}, headers=seen)
    assert (changed.status_code, changed.json()["spec"]["include_events"]) == (200, ["a"]), changed.text
    assert changed.headers["etag"] == client.ask("GET", path, token).headers["etag"] != made["etag"]
    assert_problem(client.ask("PATCH", path, token, json={"run_log": True}, headers=seen), 412, "changed_meanwhile")
    assert_problem(client.ask("DELETE", path, token, headers=seen), 412, "changed_meanwhile")
    # Somebody is quicker, after it was looked whether anybody was.
    edit = app.exports.edit

    def overtaken(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(app.exports, "edit", edit)
        app.exports.edit("daily", {"run_log": True})
        return edit(*arguments, **named)

    monkeypatch.setattr(app.exports, "edit", overtaken)
    late = client.ask("PATCH", path, token, json={"name": "mine"}, headers={"if-match": changed.headers["etag"]})
    assert_problem(late, 412, "changed_meanwhile")
    found = client.ask("GET", path, token)
    assert (found.json()["spec"]["run_log"], found.json()["name"]) == (True, "daily")
    gone = client.ask("DELETE", path, token, headers={"if-match": found.headers["etag"]})
    assert (gone.status_code, gone.text) == (204, "")
    assert_problem(client.ask("GET", path, token), 404, "export_unknown")


def test_lists_while_others_add_to_them(installation: Installation, app: App, client: Client, token: str) -> None:
    installation.connect(app)
    for number in range(7):
        make(client, token, f"e{number}")
    make(client, token, "s", mode="stream", interval=None)

    def add(page: int) -> None:
        make(client, token, f"a{page}")

    found = client.all("/exports", token, limit=3, between=add)
    assert [one["name"] for one in found] == [*(f"e{number}" for number in range(7)), "s"]
    streams = client.ask("GET", "/exports?mode=stream", token).json()["items"]
    assert [(one["name"], one["mode"], one["interval"]) for one in streams] == [("s", "stream", None)]
    assert client.ask("GET", "/exports?search=E3", token).json()["items"][0]["name"] == "e3"
    first = client.ask("GET", "/exports?limit=1", token).json()["next"]
    for other in (f"/exports?limit=1&mode=batch&cursor={first}", f"/runs?cursor={first}", "/exports?cursor=nonsense"):
        assert_problem(client.ask("GET", other, token), 422, "cursor_invalid")
    for limit in (0, 201, "x"):
        assert_problem(client.ask("GET", f"/exports?limit={limit}", token), 422, "request_invalid")
    client.ask("POST", "/exports/e1/pause", token)
    (paused,) = client.ask("GET", "/exports?status=paused", token).json()["items"]
    assert (paused["name"], paused["paused_by"]) == ("e1", "token t0")
    assert client.ask("POST", "/exports/e1/unpause", token).json() == {"rows_left_out": 0}


def test_the_same_key_is_the_same_call(installation: Installation, app: App, client: Client, token: str) -> None:
    installation.connect(app)
    wanted = {"name": "daily", "connection": CONNECTION, "table": "t"}
    key = {"idempotency-key": "once"}

    def create(**options: Any) -> Any:
        return client.ask("POST", "/exports", token, **{"json": wanted, "headers": key, **options})

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = [one.result() for one in [pool.submit(create) for _ in range(2)]]
    done = [one for one in both if one.status_code == 201]
    busy = [one for one in both if one.status_code != 201]
    assert done
    for one in busy:
        assert_problem(one, 409, "idempotency_key_busy")
    again = create()
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, done[0].json(), done[0].headers["etag"])
    assert_problem(create(json={**wanted, "run_log": True}), 422, "idempotency_key_reused")
    assert_problem(create(headers={"idempotency-key": "another"}), 409, "export_exists")
    assert_problem(create(headers={"idempotency-key": "k" * 256}), 422, "idempotency_key_invalid")
    wrong = {"idempotency-key": "wrong at first"}
    assert create(json={**wanted, "name": "!"}, headers=wrong).status_code == 422
    assert create(json={**wanted, "name": "second", "table": "u"}, headers=wrong).status_code == 201
    reads = client.token(Permission.EXPORTS_READ)
    assert_problem(client.ask("POST", "/exports", reads, json=wanted, headers=key), 403, "scope_missing")
    with app.database.begin() as connection:
        assert "daily" not in str(connection.execute(sa.text("SELECT * FROM tidemill.calls")).all())
        connection.execute(sa.text("UPDATE tidemill.calls SET at = at - interval '25 hours'"))
    assert_problem(create(), 409, "export_exists")


def test_who_may_not_changes_nothing(installation: Installation, app: App, client: Client, token: str) -> None:
    installation.connect(app)
    make(client, token)
    reads = client.token(Permission.EXPORTS_READ)
    for method, path in (
        ("POST", "/exports"),
        ("PATCH", "/exports/daily"),
        ("DELETE", "/exports/daily"),
        ("POST", "/exports/daily/trigger"),
        ("POST", "/exports/daily/pause"),
        ("POST", "/exports/daily/backfills"),
        ("POST", "/exports/daily/rejects/dismiss"),
    ):
        answer = client.ask(method, path, reads, headers={"if-match": "*"})
        assert_problem(answer, 403, "scope_missing")
        assert 'scope="exports:write"' in answer.headers["www-authenticate"]
    assert client.ask("GET", "/connections", reads).status_code == 403
    assert client.ask("GET", "/exports/daily", reads).json()["name"] == "daily"
    with app.database.begin() as connection:
        found = connection.execute(sa.text("SELECT actor, action, outcome FROM tidemill.audit_log ORDER BY id")).all()
    assert ("t0", "export.create", "done") in [tuple(row) for row in found]


def test_models_say_what_can_be_exported(client: Client, token: str) -> None:
    names = [model["name"] for model in client.ask("GET", "/export-models", token).json()]
    assert {"events", "persons", "sessions"} <= set(names)
    events = client.ask("GET", "/export-models/events", token).json()
    assert all(column["description"] for column in events["columns"])
    assert events["key"]
    assert_problem(client.ask("GET", "/export-models/none", token), 404, "model_unknown")
