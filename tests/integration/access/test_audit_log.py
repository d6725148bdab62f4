"""The audit log of an installation: who did what, before and after, found again and exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.access.actor import Actor
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.acting import acting
from tidemill.app import App
from tidemill.errors import AccessError


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        installation.connect(opened)
        yield opened


def of(app: App, role: Role, name: str = "anna") -> App:
    return acting(app, Actor(name, "user", PERMISSIONS[role], "192.0.2.7"))


def test_exports_are_changed_by_editors_and_it_is_written_down(app: App) -> None:
    editor, viewer = of(app, Role.EDITOR), of(app, Role.VIEWER, "vera")
    editor.exports.create(CONNECTION, {"name": "daily"}, by="anna")
    with pytest.raises(AccessError):
        viewer.exports.edit("daily", {"reject_share": "5%"})
    editor.exports.edit("daily", {"name": "nightly"})
    assert [view.name for view in viewer.exports.find()] == ["nightly"]
    with pytest.raises(AccessError):
        viewer.audit.find()
    created, refused, edited = reversed(of(app, Role.ADMIN).audit.find(limit=10))
    assert (created.action, created.before, created.after["name"]) == ("export.create", None, "daily")
    assert (refused.actor, refused.outcome, refused.code) == ("vera", "refused", "not_allowed")
    assert (edited.name, edited.before["name"], edited.after["name"]) == ("daily", "daily", "nightly")
    assert edited.address == "192.0.2.7"
    admin = of(app, Role.ADMIN).audit
    assert [r.action for r in admin.find(actor="anna", outcome="done")] == ["export.edit", "export.create"]
    assert admin.find(below=created.id) == []
    assert [r.id for r in admin.find(kind="export", limit=1, below=edited.id)] == [refused.id]


def test_connections_and_their_keys_are_for_administrators(app: App, installation: Installation) -> None:
    key = json.dumps(installation.local.key("tidemill"))
    for role, may in ((Role.VIEWER, False), (Role.EDITOR, False), (Role.ADMIN, True)):
        acting_app = of(app, role)
        draft = acting_app.connections.changed(CONNECTION, key=key)
        if may:
            acting_app.connections.save(CONNECTION, draft)
        else:
            with pytest.raises(AccessError):
                acting_app.connections.save(CONNECTION, draft)
    text = "".join(app.audit.export("json"))
    assert "PRIVATE KEY" not in text
    assert json.loads(text.splitlines()[0])["action"] == "connection.edit"


def test_parts_that_are_not_in_the_table_cannot_be_had(app: App) -> None:
    admin = of(app, Role.ADMIN)
    for name in ("database", "secrets", "lake", "engine", "settings", "books"):
        with pytest.raises(AttributeError):
            getattr(admin, name)


@pytest.mark.usefixtures("app")
def test_what_is_done_at_the_command_line_is_there_too(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("export", "create", "daily", "--connection", CONNECTION, TIDEMILL_USER="carla")
    assert done.returncode == 0, done.stderr
    assert installation.run("token", "create", "air", "--scope", "syncs:read", TIDEMILL_USER="carla").returncode == 0
    done = installation.run("audit", "list", "--by", "carla", "--json")
    found = json.loads(done.stdout)
    assert [(r["action"], r["name"], r["actor_kind"], r["outcome"]) for r in found] == [
        ("token.create", "air", "shell", "done"),
        ("export.create", "daily", "shell", "done"),
    ]
    file = tmp_path / "audit.csv"
    assert installation.run("audit", "export", str(file), "--kind", "export").returncode == 0
    with file.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["actor"], json.loads(row["after"])["name"]) == ("carla", "daily")
    assert installation.run("audit", "list", "--after", "yesterday").returncode == 2


def test_users_by_the_command_line(installation: Installation, app: App, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("salt lamp otter nine\n")
    shown = installation.run("user", "setup")
    assert shown.stdout.startswith("tmu_")
    made = installation.run("user", "create", "anna", "--role", "admin", "--password-file", str(password))
    assert made.returncode == 0, made.stderr
    assert app.users.sign_in("anna", "salt lamp otter nine", address="", agent="")
    assert installation.run("user", "setup").returncode == 5
    assert installation.run("user", "delete", "anna", "--yes").returncode == 5
    assert "anna" in installation.run("user", "list").stdout
    assert "salt lamp" not in "".join(app.audit.export("csv"))
