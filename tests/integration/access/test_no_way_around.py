"""Who may change something gets by it neither at secrets, nor at the files of the machine, nor at more rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.dbt_projects import Project
from tests.installation import CONNECTION, Installation

from tidemill.access.actor import Actor
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.acting import acting
from tidemill.app import App
from tidemill.errors import AccessError, ConfigError, ConflictError

FROM: dict[str, Any] = {"address": "192.0.2.7", "agent": "a browser"}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        yield opened


def of(app: App, role: Role) -> App:
    return acting(app, Actor("anna", "user", PERMISSIONS[role], "192.0.2.7"))


def test_secrets_of_a_destination_are_not_sent_to_another_server(app: App) -> None:
    destinations = app.reverse_etl.destinations
    given = {"host": "db.example.com", "user": "tm", "database": "d", "password": "s3cr3t"}
    destinations.add("postgresql", "crm", destinations.make("postgresql", given), by="me")
    admin = of(app, Role.ADMIN).reverse_etl.destinations
    for change in ({"host": "evil.example.com"}, {"port": 6543}):
        with pytest.raises(ConfigError, match=r"have to be given again: .*password"):
            admin.changed("crm", change)
    moved = admin.changed("crm", {"host": "new.example.com", "password": "another"})
    admin.save("crm", moved)
    assert admin.get("crm").settings["host"] == "new.example.com"
    admin.changed("crm", {"database": "other"})  # at the same server they are kept


def test_nor_are_those_of_a_webhook_whose_address_is_a_secret_too(app: App) -> None:
    destinations = app.reverse_etl.destinations
    settings = destinations.make("webhook", {"url": "https://example.com/a", "token": "s3cr3t"})
    destinations.add("webhook", "hook", settings, by="me")
    admin = of(app, Role.ADMIN).reverse_etl.destinations
    with pytest.raises(ConfigError, match=r"have to be given again: token"):
        admin.changed("hook", {"url": "https://evil.example.com/a"})
    admin.save("hook", admin.changed("hook", {"url": "https://example.com/b"}))  # at the same server they are kept
    admin.changed("hook", {"url": "https://new.example.com/a", "token": "another"})


def test_nor_is_the_password_of_mails(app: App) -> None:
    mail = {"to": ("a@example.com",), "sender": "t@example.com", "host": "smtp.example.com", "password": "s3cr3t"}
    app.notify.add("email", "ops", {**mail, "user": "tm"}, by="me")
    with pytest.raises(ConfigError) as refused:
        of(app, Role.ADMIN).notify.edit("ops", {"host": "evil.example.com"})
    assert refused.value.code == "secrets_again"
    assert app.notify.get("ops").settings["host"] == "smtp.example.com"
    of(app, Role.ADMIN).notify.edit("ops", {"host": "new.example.com", "password": "another"})


@pytest.mark.parametrize("place", [{"folder": "/srv/dbt"}, {"manifest": "/etc/passwd"}, {"git": "file:///srv/dbt"}])
def test_files_of_the_server_are_for_its_command_line(app: App, place: dict[str, str]) -> None:
    for role in [Role.ADMIN] if "git" in place else [Role.EDITOR, Role.ADMIN]:
        with pytest.raises(ConfigError) as refused:
            of(app, role).dbt.add({"name": "shop", **place}, by="anna")
        assert refused.value.code == "dbt_place"


def test_an_editor_does_not_say_what_dbt_runs_on_the_server(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    app.dbt.add({"name": "shop", "manifest": str(tmp_path / "manifest.json")}, by="me")
    editor = of(app, Role.EDITOR).dbt
    with pytest.raises(AccessError, match="dbt:run"):
        editor.add({"name": "evil", "git": "https://git.example.com/evil.git"}, by="anna")
    for changes in ({"git": "https://git.example.com/evil.git"}, {"branch": "evil"}, {"subfolder": "evil"}):
        with pytest.raises(AccessError, match="dbt:run"):
            editor.edit("shop", changes)
    assert editor.refresh("shop").project.name == "shop"
    assert editor.edit("shop", {"refresh": 60}).spec["refresh"] == 60


def test_who_only_looks_has_nothing_tried_in_the_name_of_the_machine(app: App, installation: Installation) -> None:
    installation.connect(app)
    draft = app.connections.draft(name="other", dataset="d", project="acme-123456", adc=True)
    for role in (Role.VIEWER, Role.EDITOR):
        with pytest.raises(AccessError):
            of(app, role).connections.test_draft(draft)
    assert of(app, Role.VIEWER).connections.get(CONNECTION)


def test_a_provider_does_not_take_the_last_administrator_away(app: App) -> None:
    users = app.users
    users.begin(users.setup_token(), "root", "salt lamp otter nine", **FROM)
    users.sign_in_elsewhere("sub", "Anna", Role.ADMIN, **FROM)
    users.edit("root", disabled=True)
    with pytest.raises(ConflictError, match="Nobody could administrate"):
        users.sign_in_elsewhere("sub", "Anna", Role.VIEWER, **FROM)
    users.edit("root", disabled=False)
    users.sign_in_elsewhere("sub", "Anna", Role.VIEWER, **FROM)
    assert app.audit.find(action="user.edit")[0].details == {"role": ["admin", "viewer"]}
