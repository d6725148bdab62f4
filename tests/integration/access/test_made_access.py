"""What people have made lets nobody do what they may not do themselves any more; a name is one name to all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.access.permissions import Permission as P  # noqa: N817
from tidemill.access.roles import Role
from tidemill.app import App
from tidemill.errors import AccessError, ConflictError, NotFoundError, RetryableError

PASSWORD = "salt lamp otter nine"
FROM: dict[str, Any] = {"address": "192.0.2.7", "agent": "a browser"}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        for name in ("root", "anna", "ben"):
            opened.users.create(name, role=Role.ADMIN, password=PASSWORD, by="me")
        yield opened


def wide(name: str) -> str:
    """The same name, as East Asian keyboards write Latin letters."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in name)


def token(app: App, name: str, by: str, *scopes: P) -> None:
    app.tokens.create(name=name, scopes=scopes, expires_seconds=None, by=by)


def valid(app: App) -> list[str]:
    return sorted(one.name for one in app.tokens.find())


def test_tokens_and_hooks_end_with_what_their_maker_may(app: App, installation: Installation) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily"}, by="me")
    token(app, "keys", "anna", P.KEYS_WRITE)
    token(app, "child", "token keys", P.KEYS_WRITE)
    token(app, "runs", "anna", P.EXPORTS_WRITE)
    token(app, "looks", "anna", P.EXPORTS_READ)
    token(app, "bens", "ben", P.KEYS_WRITE)
    secrets = {by: app.export_hooks.create("daily", by=by)[0] for by in ("anna", "ben", "token looks")}
    app.users.edit("anna", rename="Anna M.")
    assert len(valid(app)) == 5
    app.users.edit("Anna M.", role=Role.EDITOR)
    assert valid(app) == ["bens", "looks", "runs"]
    assert all(app.export_hooks.holder(secret) for secret in secrets.values())
    app.users.edit("Anna M.", role=Role.VIEWER)
    assert valid(app) == ["bens", "looks"]
    assert [by for by, secret in secrets.items() if app.export_hooks.holder(secret)] == ["ben"]
    app.users.edit("ben", disabled=True)
    assert valid(app) == ["looks"]
    assert app.export_hooks.find("daily") == []
    app.users.delete("Anna M.")
    assert valid(app) == []


def test_a_name_by_other_letters_is_no_way_around_the_lock(app: App) -> None:
    app.users.create("edit", role=Role.VIEWER, password=PASSWORD, by="me")
    for name in ("edİt", "ed\u0131t"):
        with pytest.raises(AccessError):
            app.users.sign_in(name, PASSWORD, **FROM)
        with pytest.raises(NotFoundError):
            app.users.get(name)
    for name in ("edit", "EDIT", wide("edit"), " Edit ", "eDiT"):
        with pytest.raises(AccessError):
            app.users.sign_in(name, "wrong", **FROM)
    for name in ("edit", wide("EDIT")):
        with pytest.raises((AccessError, RetryableError)):
            app.users.sign_in(name, "wrong", **FROM)
    with pytest.raises(RetryableError):
        app.users.sign_in(wide("edit"), PASSWORD, **FROM)
    with pytest.raises(ConflictError):
        app.users.create(wide("Edit"), role=Role.VIEWER, password=PASSWORD, by="me")
    app.users.unlock("edit")
    assert app.users.sign_in(wide("Edit"), PASSWORD, **FROM)
