"""Who does something: a user of the web app, the holder of a token or a hook, somebody at the command line."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tidemill.access.permissions import Permission


@dataclasses.dataclass(frozen=True)
class Actor:
    """Somebody. `address`: from where; empty if that is this machine."""

    name: str
    kind: Literal["user", "token", "hook", "shell"]
    permissions: frozenset[Permission]
    address: str = ""

    @property
    def by(self) -> str:
        """As whom services, and those who read what they have written, know them."""
        return f"{self.kind} {self.name}" if self.kind in {"token", "hook"} else self.name


def shell(name: str) -> Actor:
    """Who is at the command line of the machine can read the database and the secrets: they may do everything."""
    return Actor(name, "shell", frozenset(Permission))
