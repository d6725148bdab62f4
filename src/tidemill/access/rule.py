"""What it takes to call a method, and what the audit log says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tidemill.access.permissions import Permission


@dataclasses.dataclass(frozen=True)
class Change:
    """What the audit log says of a call.

    `action`: as ``export.edit``; `target`: the argument that names what is changed, as ``name`` or ``draft.spec.name``;
    `details`: arguments that are written down; `compares`: how it stood before and stands after is written, too;
    `rename`: the argument with a new name; `lasts`: it goes on after the call, whose answer says whether it was asked
    for `already`: the record ends with what is done.
    """

    action: str
    target: str = "name"
    details: tuple[str, ...] = ()
    compares: bool = False
    rename: str = ""
    lasts: bool = False

    @property
    def kind(self) -> str:
        """Of what is changed: export, connection."""
        return self.action.partition(".")[0]

    def name_of(self, given: Mapping[str, Any]) -> str:
        """The name of what is changed, by the arguments of the call."""
        return _at(given, self.target) if self.target else ""

    def renamed(self, given: Mapping[str, Any]) -> str:
        """The name that it has afterwards; empty: as before."""
        return _at(given, self.rename) if self.rename else ""


def _at(given: Any, path: str) -> str:
    for name in path.split("."):
        given = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
    return "" if given is None else str(given)


@dataclasses.dataclass(frozen=True)
class Rule:
    """Of a method. `permission`: None if everybody who is known may call it; `change`: None if it changes nothing;
    `check`: raises if who is not at the command line may not call it with these arguments; `also`: what more it takes
    with these arguments, as the part knows that is asked."""

    permission: Permission | None
    change: Change | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None
    also: Callable[[Any, Mapping[str, Any]], Collection[Permission]] | None = None


def reads(part: str, permission: Permission, names: str) -> Iterator[tuple[str, Rule]]:
    """Of methods of a part that change nothing."""
    for name in names.split():
        yield f"{part}.{name}", Rule(permission)


def edits(action: str, target: str = "name", rename: str = "", details: tuple[str, ...] = ()) -> Change:
    """A change of which before and after are written down."""
    return Change(action, target, details, compares=True, rename=rename)


def writes(part: str, permission: Permission, **changes: Change) -> Iterator[tuple[str, Rule]]:
    """Of methods of a part that change something."""
    for name, change in changes.items():
        yield f"{part}.{name}", Rule(permission, change)
