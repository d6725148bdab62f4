"""This installation as a destination: rows become people and events here. What is made of them is said by imports, not
by fields of a mapping; and they are taken in as columns, piece by piece, not in calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

from tidemill.destinations.port import Action, Destination, Limits, Mode, Outcome, Outlet, Record, Sending, Settings

KIND = "tidemill"


class HomeSettings(Settings):
    """There is nothing to say of it."""

    @property
    def account(self) -> str:
        """See Settings."""
        return "this installation"


def _encode(_: Record) -> bytes:
    raise _no_calls()


def _send(_client: Any, _batch: Sequence[Sending], /) -> Sequence[Outcome]:
    raise _no_calls()


def _open(_: Any, __: Outlet) -> contextlib.AbstractContextManager[NoReturn]:
    raise _no_calls()


def _no_calls() -> RuntimeError:
    """A bug: rows of imports go by `reverse_etl.work.Parts.inward`."""
    return RuntimeError("nothing is sent to this installation by calls")


def _action(name: str, title: str, description: str, *modes: Mode) -> Action:
    return Action(name, title, description, (), modes, Limits(), _encode, _send, more=True)


HOME = Destination(
    KIND,
    "Tidemill",
    "This installation.",
    "",
    HomeSettings,
    (
        _action("people", "People", "Sets properties of people.", Mode.UPSERT, Mode.INSERT, Mode.UPDATE, Mode.MIRROR),
        _action("events", "Events", "Adds events.", Mode.INSERT, Mode.MIRROR),
        _action("deletions", "Deletions", "Deletes people.", Mode.INSERT),
    ),
    _open,
)
