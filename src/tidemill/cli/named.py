"""Commands about a sync or an import of a name: the groups `sync` and `import` have many of them in common."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.cli import session

if TYPE_CHECKING:
    from tidemill.app import App


#: The group of the command that runs.
_GROUP = contextvars.ContextVar("group", default="sync")


def group() -> str:
    """The group of the command that runs: sync, import."""
    return _GROUP.get()


def begin(group: str) -> None:
    """A command of this group runs."""
    _GROUP.set(group)


@contextlib.contextmanager
def app(name: str | None) -> Iterator[App]:
    """The installation, which has something of that name for the group of the command; NotFoundError otherwise."""
    with session.app() as opened:
        if name is not None:
            opened.reverse_etl.syncs.assert_of(name, group())
        yield opened
