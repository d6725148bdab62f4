"""Channels: added, changed, removed, and refused if something of them is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo
from pydantic import SecretStr
from tests.notices import ALARM, kinds, made_export, made_sync

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.notify import channel as channels
from tidemill.notify.service import NotifyService
from tidemill.notify.spec import EmailSpec
from tidemill.settings import Settings
from tidemill.store.channels import Channels
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.postgres import Postgres
from tidemill.store.secrets import Secrets
from tidemill.store.troubles import Troubles

MAIL: dict[str, Any] = {"to": ["a@b.c"], "sender": "t@b.c", "host": "smtp.b.c"}


@pytest.fixture
def notify(database: Database, tmp_path: Path) -> NotifyService:
    secrets = Secrets(Settings(home=tmp_path))
    secrets.ensure()
    return NotifyService.of(database, secrets, "/srv")


def opened(notify: NotifyService, name: str) -> Any:
    """What is kept of it, with its secret."""
    return channels.opened(notify._channels.get(name), notify._secrets)


def test_what_is_changed_is_changed_and_all_else_stays(notify: NotifyService, database: Database) -> None:
    export = made_export(database)
    notify.add("email", "ops", {**MAIL, "user": "me", "password": SecretStr("one")}, causes=["failed"], by="me")
    view = notify.edit("OPS", {"to": ["x@y.z", "a@b.c"]}, rename="people", exports=["E"])
    assert (view.name, view.to, view.causes, view.exports) == ("people", "x@y.z, a@b.c", ("failed",), (export.name,))
    assert list(notify.page().items) == notify.find() == [view]
    assert view.settings["port"] == 587
    notify.edit("people", {"password": SecretStr("two"), "port": 25})
    made = opened(notify, "people")
    assert isinstance(made, EmailSpec)
    assert made.password == SecretStr("two")
    assert (made.port, made.user, made.host) == (25, "me", "smtp.b.c")
    view = notify.edit("people", {}, causes=[], exports=[])
    assert (view.causes, view.exports) == ((), ())
    assert notify.find() == [view]
    notify.remove("people")
    assert notify.find() == []


def test_a_change_of_a_webhook_keeps_its_key(notify: NotifyService) -> None:
    _, key = notify.add("webhook", "hook", {"url": SecretStr("https://a.b/c")}, by="me")
    notify.edit("hook", {"url": SecretStr("https://d.e/f")})
    assert opened(notify, "hook").key.get_secret_value() == key
    assert notify.get("hook").to == "https://d.e/…"
    _, none = notify.add("webhook", "own", {"url": SecretStr("https://a.b/c"), "key": SecretStr(str(key))}, by="me")
    assert none is None


def test_what_is_wrong_is_said_and_nothing_is_left(notify: NotifyService) -> None:
    notify.add("email", "ops", MAIL, by="me")
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ConflictError, {"name": "OPS"}),
        (ConfigError, {"name": "*"}),
        (ConfigError, {"name": "x", "causes": ["sadness"]}),
        (NotFoundError, {"name": "x", "exports": ["none"]}),
    ]
    for error, given in wrong:
        with pytest.raises(error):
            notify.add("email", fields=MAIL, by="me", **given)
    for fields in ({}, {"key": SecretStr("x")}, {"to": ["nobody"]}):
        with pytest.raises(ConfigError):
            notify.edit("ops", fields)
    for name in ("test", "get", "remove", "edit"):
        with pytest.raises(NotFoundError):
            list(notify.test("x")) if name == "test" else getattr(notify, name)("x", *([{}] if name == "edit" else []))
    assert [view.name for view in notify.find()] == ["ops"]
    notify.remove("ops")
    with pytest.raises(NotFoundError, match="no channels"):
        list(notify.test())


def test_a_channel_of_an_export_that_was_deleted_is_told_of_no_other(notify: NotifyService, database: Database) -> None:
    export = made_export(database)
    notify.add("email", "ops", MAIL, exports=["e"], by="me")
    Exports(database).delete(export.id)
    Troubles(database).seen(made_export(database, "e").id, ALARM)
    assert notify.get("ops").exports == ("(deleted)",)
    assert kinds(database, Channels(database).get("ops")) == []


def test_a_channel_of_some_exports_or_syncs_is_told_of_these_alone(notify: NotifyService, database: Database) -> None:
    export, sync = made_export(database), made_sync(database, "crm")
    made_sync(database, "ads")

    def heard(name: str) -> list[str]:
        found = Troubles(database)
        for thing in (export, sync):
            found.over(thing.id, [ALARM.cause])
        with database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM tidemill.notices")
            connection.exec_driver_sql("DELETE FROM tidemill.troubles")
        for thing in (export, sync):
            found.seen(thing.id, ALARM)
        return sorted(title for message in notify.messages(name, limit=9) if (title := message.title))

    view, _ = notify.add("email", "ops", MAIL, syncs=["CRM"], by="me")
    assert (view.exports, view.syncs) == ((), ("crm",))
    assert heard("ops") == ["Sync crm fails"]
    view = notify.edit("ops", {}, exports=["e"])
    assert (view.exports, view.syncs) == (("e",), ("crm",))
    assert heard("ops") == ["Export e fails", "Sync crm fails"]
    view = notify.edit("ops", {}, syncs=["ads"])
    assert (view.exports, view.syncs) == (("e",), ("ads",))
    assert heard("ops") == ["Export e fails"]
    with pytest.raises(ConfigError, match="these alone"):
        notify.edit("ops", {}, exports=[])
    with pytest.raises(ConfigError, match="these alone"):
        notify.edit("ops", {}, syncs=[])
    view = notify.edit("ops", {}, exports=[], syncs=[])
    assert (view.exports, view.syncs) == ((), ())
    assert heard("ops") == ["Export e fails", "Sync crm fails"]
    with pytest.raises(NotFoundError):
        notify.edit("ops", {}, syncs=["none"])


def test_a_key_that_is_lost_is_not_replaced_while_a_channel_has_a_secret(postgres: Postgres, tmp_path: Path) -> None:
    found = conninfo.conninfo_to_dict(postgres.dsn)
    url = f"postgresql://postgres@/{found['dbname']}?host={found['host']}&port={found['port']}"
    settings = Settings(home=tmp_path / "home", database_url=url)
    with App(settings) as app:
        app.notify.add("slack", "team", {"url": SecretStr("https://a.b/c")}, by="me")
    (settings.home_path / "secret.key").unlink()
    with App(settings) as app:
        (tested,) = app.notify.test()
    assert tested.error is not None
    assert tested.error.code == "secret_key_lost"
    assert not (settings.home_path / "secret.key").exists()
