"""Rows that exports set aside, downloaded, mended and sent again; and what is told of an installation beside."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api_client import Client, assert_problem, work
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT

LARGE = "x" * 5_000


@pytest.fixture
def app(installation: Installation, tmp_path: Path) -> Iterator[App]:
    with installation.app(max_row_bytes=4_000, egress_ips="203.0.113.5") as opened:
        installation.connect(opened)
        events = [
            {"event": "=formula", "distinct_id": "ana", "timestamp": "2026-01-02T03:04:05Z", "properties": {"x": text}}
            for text in ("short", LARGE)
        ]
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
        opened.events.load(str(tmp_path / "events.jsonl"))
        yield opened


def test_what_was_set_aside_is_downloaded_mended_and_sent_again(app: App, client: Client, token: str) -> None:
    wanted = {"name": "daily", "connection": CONNECTION, "interval": "none"}
    assert client.ask("POST", "/exports", token, json=wanted).status_code == 201
    client.ask("POST", "/exports/daily/trigger", token)
    work(app)
    (one,) = client.ask("GET", "/rejects", token).json()
    assert (one["export"], one["code"]) == ("daily", "row_too_large")
    (line,) = client.ask("GET", f"/exports/daily/rejects/export?run={one['run']}", token).text.splitlines()
    assert json.loads(line)["properties"] == {"x": LARGE}
    header, row = csv.reader(client.ask("GET", "/exports/daily/rejects/export?form=csv", token).text.splitlines())
    told = dict(zip(header, row, strict=True))
    assert (told["event"], told["distinct_id"], told["rejected_uuid"]) == ("'=formula", "ana", one["uuid"])
    assert client.ask("GET", "/exports/daily/rejects/export?code=other", token).text == ""
    assert_problem(client.ask("GET", "/exports/nothing/rejects/export", token), 404, "export_unknown")
    mended = line.replace(LARGE, "mended").encode()
    client.ask("POST", "/events/loads?format=posthog", token, content=mended)
    client.ask("POST", "/exports/daily/rejects/dismiss", token)
    work(app)
    client.ask("POST", "/exports/daily/trigger", token)
    work(app)
    assert client.ask("POST", "/exports/daily/table/check", token).json()["rows"] == 2
    app.seeing.book.flush()
    logs = client.ask("GET", "/exports/daily/logs?step=plan", token).json()
    assert {line["step"] for line in logs} == {"plan"}


def test_what_is_told_of_an_installation_and_made_at_google(
    installation: Installation, client: Client, token: str
) -> None:
    found = client.ask("GET", "/egress-ips", token).json()
    assert found["networks"] == ["203.0.113.5/32"]
    assert "203.0.113.5" in "".join(found["commands"])
    about = "project=my-project-1&dataset=analytics&purpose=full&location=EU"
    made = client.ask("GET", f"/set-up?{about}", token).json()
    assert "my-project-1" in made["terraform"]
    assert made["console"]
    assert [part["title"] for part in made["commands"]]
    assert client.ask("GET", "/set-up?project=nothing%20good&dataset=analytics", token).status_code == 422
    assert_problem(client.ask("GET", "/dbt-projects/shop/cloud-runs", token), 404, "dbt_project_unknown")
    there = {"project": DEFAULT_PROJECT, "dataset": f"{installation.dataset}_made"}
    wanted = {**there, "name": "made", "key": installation.local.key("tidemill"), "create_dataset": True}
    assert_problem(client.ask("POST", "/connections", token, json=wanted), 422, "location_missing")
    assert client.ask("POST", "/connections", token, json={**wanted, "location": "EU"}).json()["location"] == "EU"
    assert there["dataset"] in [one["name"] for one in client.ask("GET", "/connections/made/datasets", token).json()]
