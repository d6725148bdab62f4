"""Texts that let somebody in are looked up by their hash, which says nothing of them by the time that it takes; and who
signs in by a name that nobody has waits as long as who has one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import argon2
import pytest
import sqlalchemy as sa
from tests.installation import copy_home
from tests.notices import made_export

from tidemill.access import passwords
from tidemill.access.permissions import Permission
from tidemill.access.roles import Role
from tidemill.api.v1.once import Once
from tidemill.app import App
from tidemill.bearer import HOOK, KEY, SESSION, SETUP, TOKEN, digest
from tidemill.errors import AccessError
from tidemill.settings import Settings
from tidemill.store.keys import Keys

PASSWORD = "salt lamp otter nine"
FROM: dict[str, Any] = {"address": "192.0.2.7", "agent": "a browser"}


@pytest.fixture
def app(made_home: Path, tmp_path: Path) -> Iterator[App]:
    copy_home(made_home, tmp_path / "home")
    with App(Settings(home=tmp_path / "home")) as opened:
        made_export(opened.database, "daily")
        yield opened


def asked(app: App, work: Callable[[], object]) -> list[Any]:
    """All values that the database is asked with, while that is done."""
    found: list[Any] = []

    def noted(_connection: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        for part in parameters if isinstance(parameters, list) else [parameters]:
            values = part.values() if isinstance(part, dict) else part
            found.extend(getattr(value, "obj", value) for value in values)  # what is binary is wrapped

    sa.event.listen(app.database._engine, "before_cursor_execute", noted)
    try:
        work()
    finally:
        sa.event.remove(app.database._engine, "before_cursor_execute", noted)
    return found


def test_the_database_is_asked_for_a_hash_and_never_for_the_text(app: App) -> None:
    users, guessed = app.users, SETUP.make()
    setup = users.setup_token()
    values = asked(app, lambda: _refused(lambda: users.begin(guessed, "eve", PASSWORD, **FROM)))
    assert digest(guessed) in values
    assert guessed not in values
    session = users.begin(setup, "root", PASSWORD, **FROM)
    token, _ = app.tokens.create(name="t", scopes=[Permission.HEALTH_READ], expires_seconds=None, by="me")
    key, _ = app.keys.create(team_id=1, name="web", events_per_second=None, by="me")
    hook, _ = app.export_hooks.create("daily", by="me")
    once = Once(lambda *_: None, app)  # type: ignore[arg-type]
    looks: list[tuple[str, Callable[[str], object]]] = [
        (token, app.tokens.holder),
        (token, lambda text: once._token(f"Bearer {text}".encode())),
        (session, users.session),
        (session, users.sign_out),
        (key, lambda text: Keys(app.database).by_hash(digest(text))),
        (hook, app.export_hooks.holder),
        (hook, app.sync_hooks.holder),
    ]
    for text, look in looks:
        values = asked(app, functools.partial(look, text))
        assert digest(text) in values, look
        assert not [value for value in values if isinstance(value, str) and text[4:] in value], look


def _refused(work: Callable[[], object]) -> None:
    with pytest.raises(AccessError):
        work()


def test_no_text_that_lets_in_is_kept(app: App) -> None:
    users = app.users
    texts = [users.setup_token()]
    texts.append(users.begin(texts[0], "root", PASSWORD, **FROM))
    texts.append(users.setup_token())
    texts.append(app.tokens.create(name="t", scopes=[Permission.HEALTH_READ], expires_seconds=None, by="me")[0])
    texts.append(app.keys.create(team_id=1, name="web", events_per_second=None, by="me")[0])
    texts.append(app.export_hooks.create("daily", by="me")[0])
    kinds = (SETUP, SESSION, SETUP, TOKEN, KEY, HOOK)
    assert all(kind.looks_like(text) for kind, text in zip(kinds, texts, strict=True))
    assert len({kind.prefix for kind in kinds}) == 5, "one is not taken for another"
    with app.database.begin() as connection:
        kept = "".join(
            str(connection.execute(sa.text(f"SELECT t::text FROM tidemill.{name} t")).all())
            for name in ("tokens", "user_sessions", "setup_tokens", "keys", "hooks", "users", "audit_log")
        )
    assert not [text for text in texts if text[12:] in kept]
    assert PASSWORD not in kept


def test_each_wrong_sign_in_costs_one_look_at_a_password_of_the_same_cost(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = app.users
    users.begin(users.setup_token(), "root", PASSWORD, **FROM)
    users.create("off", role=Role.VIEWER, password=PASSWORD, by="root")
    users.edit("off", disabled=True)
    users.sign_in_elsewhere("sub", "elsewhere", None, **FROM)
    passwords.is_it(None, "warm")  # the hash of nobody's password is made once
    looked: list[str] = []

    class Noting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002 - as it is called there
            looked.append(str(hash))
            return super().verify(hash, password)

        def hash(self, *_: Any, **__: Any) -> str:
            raise AssertionError("a sign-in that is refused makes no hash")

    monkeypatch.setattr(passwords, "_HASHER", Noting())
    wrong = "wrong wrong wrong"
    cases = [("root", wrong), ("nobody", wrong), ("off", PASSWORD), ("elsewhere", ""), ("", "x")]
    cases += [(name, PASSWORD) for name in ("a\0b", "\udc80", "x" * 100_000, "' OR 1=1 --")]
    for name, password in cases:
        looked.clear()
        with pytest.raises(AccessError, match="Name or password is wrong"):
            users.sign_in(name, password, **FROM)
        assert len(looked) == 1, name[:20]
        costs = argon2.extract_parameters(looked[0])
        assert costs == argon2.PasswordHasher()._parameters
        assert costs.type is argon2.Type.ID
    assert [one.actor for one in app.audit.find(action="user.sign_in", limit=3)] == ["' OR 1=1 --", "x" * 200, "?"]
