"""Users. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.users import PasswordWanted, UserAnswer, UserChanges, UserItem, UserWanted


class Users:
    """Users."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        role: Literal["admin", "editor", "viewer"] | None = None,
        disabled: bool | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[UserItem]:
        """Users, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/users",
            {"search": search, "role": role, "disabled": disabled, "sort": sort, "limit": limit},
            UserItem,
        )

    def create(self, wanted: UserWanted) -> UserAnswer:
        """Make an account. A token that expires makes none: they would outlive it."""
        return core.made(self._core.ask("POST", "/api/v1/users", body=wanted), UserAnswer)

    def show(self, name: str) -> UserAnswer:
        """One user."""
        return core.made(self._core.ask("GET", core.path("/api/v1/users/{name}", name=name)), UserAnswer)

    def edit(self, name: str, wanted: UserChanges, *, match: Model | str) -> UserAnswer:
        """Change a user. They are signed out, if they may do less."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/users/{name}", name=name), body=wanted, match=match), UserAnswer
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete an account. What they did stays in the audit log."""
        self._core.ask("DELETE", core.path("/api/v1/users/{name}", name=name), match=match)

    def set_password(self, name: str, wanted: PasswordWanted) -> None:
        """Give a user another password. They are signed out everywhere. A token that expires sets none."""
        self._core.ask("POST", core.path("/api/v1/users/{name}/password", name=name), body=wanted)

    def unlock(self, name: str) -> None:
        """Let somebody try again at once who was locked out."""
        self._core.ask("POST", core.path("/api/v1/users/{name}/unlock", name=name))
