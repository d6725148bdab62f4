"""One row that is sent for a try: request and answer are shown as they were, whatever the tool, and no secret is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.contract.api import Tool
from tests.contract.apis.files import FilesApi
from tests.contract.apis.postgresql import PostgresqlTool
from tests.contract.apis.segment import SegmentApi
from tests.contract.apis.slack import SlackApi
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.errors import NotFoundError
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planned, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.views import Tried


@pytest.fixture
def app(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TIDEMILL_OUTBOUND_FOLDERS", str(tmp_path / "out"))
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def tried(app: App, kind: str, settings: dict[str, Any], action: str, mapping: dict[str, Any]) -> Tried:
    """Row 7, sent to a destination of that kind; no secret of it is shown."""
    name = f"{kind}-{action}"
    made = app.reverse_etl.destinations.make(kind, settings)
    app.reverse_etl.destinations.add(kind, name, made, by="me")
    fields = {"name": name, "mapping": mapping, "action": action, "interval": "none"}
    app.reverse_etl.syncs.create("people", name, fields, by="me")
    found = app.reverse_etl.trials.send_one(name, quiet(), "7")
    assert not [secret for secret in made.secrets if secret in str(found)]
    return found


def test_the_request_and_the_answer_are_shown_whatever_the_tool(
    installation: Installation, app: App, people: People, crm: Crm, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    prepare(app, installation, people, crm)
    made = app.reverse_etl.trials.send_one(NAME, quiet(), "7")
    (asked,) = made.requests
    assert (asked["request"], asked["status"]) == (f"POST {crm.url}/********", 200)
    assert asked["headers"]["content-type"] == "application/json"
    assert json.loads(asked["body"])["rows"][0]["data"]["email"] == "p7@example.com"
    assert json.loads(asked["answer"]) == {"errors": []}

    tools: list[Tool] = [SlackApi(), SegmentApi(), FilesApi(), PostgresqlTool.of(request)]
    slack, segment, files, postgresql = tools
    try:
        (asked,) = tried(app, "slack", slack.settings(), "post_message", {"text": {"@path": "$.email"}}).requests
        assert (asked["request"], asked["status"], asked["answer"]) == (f"POST {slack.url}********", 200, "ok")  # type: ignore[attr-defined]
        assert json.loads(asked["body"])["text"] == "p7@example.com"

        mapping = {"user_id": {"@path": "$.id"}, "traits": {"email": {"@path": "$.email"}}}
        looked, sent = tried(app, "segment", segment.settings(), "identify", mapping).requests
        assert looked["request"].endswith("/v1/projects/********/settings")
        assert (sent["headers"]["authorization"], sent["status"]) == ("********", 200)
        assert json.loads(sent["body"])["batch"][0]["userId"] == "7"

        mapping = {"folder": "people", "columns": {"@path": "$."}}
        (asked,) = tried(app, "files", files.settings(), "jsonl", mapping).requests
        assert asked["request"].startswith("PUT http://127.0.0.1:")
        assert json.loads(asked["body"])["email"] == "p7@example.com"
        folder = (tmp_path / "out").as_uri()
        found = tried(app, "files", {"place": folder}, "parquet", mapping)
        (asked,) = found.requests
        assert asked["request"].startswith(f"PUT {folder}/people/")
        assert (asked["body"], asked["status"]) == (None, "written"), "it is no text: the fields are"
        assert asked["bytes"] > 0
        assert found.fields["columns"]["email"] == "p7@example.com"

        mapping = {"table": "people", "key": {"id": {"@path": "$.id"}}, "columns": {"email": {"@path": "$.email"}}}
        (asked,) = tried(app, "postgresql", postgresql.settings(), "upsert", mapping).requests
        assert asked["request"].startswith("SQL postgresql://postgres@127.0.0.1:")
        assert "INSERT INTO" in asked["body"]
        assert "p7@example.com" in asked["body"]
        assert (asked["status"], asked["answer"]) == ("committed", "Rows: 1.")
    finally:
        for tool in tools:
            tool.close()


def test_what_was_asked_is_shown_though_the_tool_refuses_or_is_away(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    from tests.contract.api import Reply

    crm.faults = [Reply(401, {"error": "who are you?"})]
    made = app.reverse_etl.trials.send_one(NAME, quiet(), "7")
    assert (made.status, made.requests[0]["status"]) == ("failed", 401)
    assert made.error is not None
    assert made.error["code"] == "destination_denied"
    assert "who are you?" in made.requests[0]["answer"]
    crm.close()
    watch = quiet()
    watch.sleep = lambda seconds: watch.check()  # type: ignore[method-assign] # noqa: ARG005
    made = app.reverse_etl.trials.send_one(NAME, watch, "7")
    assert made.status in {"failed", "retry"}
    assert made.requests[0]["status"] == "no answer"


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_one_row_is_planned_and_read_for_a_try(
    installation: Installation,
    app: App,
    people: People,
    crm: Crm,
    monkeypatch: pytest.MonkeyPatch,
    access: str,
) -> None:
    prepare(app, installation, people, crm, access=access)
    planner: type[Any] = WarehousePlanner if access == "full" else LocalPlanner
    plan, planned = planner.plan, []

    def planning(self: Any, wanted: Wanted) -> Planned:
        made: Planned = plan(self, wanted)
        planned.append(sum(piece.rows for piece in made.pieces))
        return made

    monkeypatch.setattr(planner, "plan", planning)
    trials = app.reverse_etl.trials
    assert (trials.send_one(NAME, quiet(), "7").key, planned) == ("7", [1])
    with pytest.raises(NotFoundError, match="'77'"):
        trials.send_one(NAME, quiet(), "77")
    assert trials.send_one(NAME, quiet()).status == "written"
    assert len(crm.sent) == 2
    assert run(app).written == 20
    assert len({row["id"] for row in crm.sent if row["key"] == "7"}) == 1, "as the same"
    people.rows = {3: people.rows[3]}
    people.save()
    crm.sent.clear()
    trials.send_one(NAME, quiet(), "5")
    assert [(row["key"], row["op"]) for row in crm.sent] == [("5", "deleted")]
    with pytest.raises(NotFoundError, match="none has changed"):
        app.reverse_etl.syncs.reset(NAME, "adopt")
        run(app)
        trials.send_one(NAME, quiet())
