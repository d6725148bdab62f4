"""How connections stand: what tests and runs have shown is kept, told in lists, and void when one is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.access.actor import Actor
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.acting import acting
from tidemill.connections.standing import State
from tidemill.errors import AccessError, TidemillError


def test_a_connection_tells_the_truth(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        users = app.connection_users
        assert users.standing(CONNECTION).state == State.UNTESTED
        list(app.connections.test(CONNECTION))
        how = users.standing(CONNECTION)
        assert how.state == State.READY
        assert how.test is not None
        assert (how.test.use, how.test.passed, len(how.test.steps)) == ("batch", True, 13)
        write_events(tmp_path / "events.jsonl", 10)
        app.events.load(str(tmp_path / "events.jsonl"))
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        app.exports.run("daily", by="tester")
        assert users.standing(CONNECTION).succeeded_at == users.standing(CONNECTION).at

        poor = json.dumps(installation.local.key("poor", deny=["bigquery.tables.updateData"]))
        draft = app.connections.changed(CONNECTION, key=poor)
        app.connections.save(CONNECTION, draft)
        assert users.standing(CONNECTION).state == State.UNTESTED, "what was seen was seen of another key"
        write_events(tmp_path / "more.jsonl", 10, first=50)
        app.events.load(str(tmp_path / "more.jsonl"))
        with pytest.raises(TidemillError, match="updateData"):
            app.exports.run("daily", by="tester")
        how = users.standing(CONNECTION)
        assert how.state == State.FAILING
        assert "export daily" in how.message
        assert "GRANT" in how.hint
        assert [stand.state for _, _, stand in users.page().items] == [State.FAILING]

        good = json.dumps(installation.local.key("tidemill"))
        draft = app.connections.changed(CONNECTION, key=good)
        list(app.connections.test_draft(draft))
        app.connections.save(CONNECTION, draft)
        assert users.standing(CONNECTION).state == State.READY, "what was tested is what was saved"
        app.connections.save(CONNECTION, app.connections.changed(CONNECTION, rename="another"))
        assert users.standing("another").state == State.READY, "a name changes nothing"


def test_a_test_is_recorded_and_not_for_those_who_look(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        viewer = acting(app, Actor("vera", "user", PERMISSIONS[Role.VIEWER], "127.0.0.1"))
        editor = acting(app, Actor("ed", "user", PERMISSIONS[Role.EDITOR], "127.0.0.1"))
        admin = acting(app, Actor("ada", "user", PERMISSIONS[Role.ADMIN], "127.0.0.1"))
        for who in (viewer, editor):
            with pytest.raises(AccessError):
                list(who.connections.test(CONNECTION))
        list(admin.connections.test(CONNECTION))
        assert viewer.connection_users.standing(CONNECTION).test is not None, "all see what it found"
        list(editor.exports.trials.draft(CONNECTION, {"name": "daily"}))
        with pytest.raises(AccessError):
            list(viewer.exports.trials.draft(CONNECTION, {"name": "daily"}))
        said = [(one.actor, one.action, one.name, one.outcome) for one in reversed(app.audit.find())]
        assert said == [
            ("vera", "connection.test", CONNECTION, "refused"),
            ("ed", "connection.test", CONNECTION, "refused"),
            ("ada", "connection.test", CONNECTION, "done"),
            ("ed", "export.test", "daily", "done"),
            ("vera", "export.test", "daily", "refused"),
        ]
