"""Addresses by which somebody outside has an export or a sync run: whoever knows one may do that, and nothing else."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import hmac
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.access.actor import Actor
from tidemill.access.permissions import Permission
from tidemill.bearer import HOOK, digest

if TYPE_CHECKING:
    from tidemill.paging import Page, Wanted
    from tidemill.store.database import Database
    from tidemill.store.hooks import Hook, Hooks, Kind

#: Of one hook, so many calls in so many seconds, in a process.
MOST, SECONDS = 30, 60.0
#: By what hooks are sorted.
SORTS = ("created_at", "last_used_at")
#: What the holder of a hook may do, and nothing else.
MAY = {"export": Permission.EXPORTS_WRITE, "sync": Permission.SYNCS_TRIGGER}


@dataclasses.dataclass(frozen=True)
class HookView:
    """A hook, of which only the start is known. `name`: of what it has run."""

    kind: str
    name: str
    start: str
    created_at: dt.datetime
    created_by: str
    last_used_at: dt.datetime | None

    def actor(self, address: str) -> Actor:
        """As whom its holder does things."""
        return Actor(self.start, "hook", frozenset({MAY[self.kind]}), address)


class HookService:
    """Hooks of exports, or of syncs."""

    def __init__(self, hooks: Hooks, target: Callable[[str], tuple[uuid.UUID, str]]) -> None:
        """`target`: the id of what has that name, and how it is written; it raises if there is none."""
        self._hooks, self._target = hooks, target

    @classmethod
    def of(cls, database: Database, kind: Kind) -> HookService:
        """Those of an installation."""
        from tidemill.store.exports import Exports
        from tidemill.store.hooks import Hooks
        from tidemill.store.sync_things import Syncs

        things = Exports(database) if kind == "export" else Syncs(database)

        def target(name: str) -> tuple[uuid.UUID, str]:
            found = things.get(name)
            return found.id, found.name

        return cls(Hooks(database, kind), target)

    def create(self, name: str, *, by: str) -> tuple[str, HookView]:
        """Make one; its secret is shown this once.

        Raises
        ------
        NotFoundError
            There is nothing of that name.
        """
        target, _ = self._target(name)
        secret = HOOK.make()
        self._hooks.add(target, hash=digest(secret), start=HOOK.start(secret), created_by=by)
        return secret, next(one for one in self.find(name) if one.start == HOOK.start(secret))

    def find(self, name: str) -> list[HookView]:
        """Those of one thing, oldest first."""
        return [_view(hook) for hook in self._hooks.find(self._target(name)[0])]

    def page(self, name: str, wanted: Wanted) -> Page[HookView]:
        """The same by pages, by one of SORTS."""
        return self._hooks.page(self._target(name)[0], wanted).map(_view)

    def revoke(self, name: str, start: str) -> None:
        """Nothing is run by it from now on. `start`: its first characters, as they are listed.

        Raises
        ------
        NotFoundError
            There is none.
        """
        self._hooks.revoke(self._target(name)[0], start)

    def holder(self, secret: str) -> HookView | None:
        """What this text is the secret of; None if it is none, or is revoked."""
        hashed = digest(secret)
        found = self._hooks.by_hash(hashed)  # also of what cannot be one: who guesses learns nothing by the time
        if found is None or not hmac.compare_digest(found.hash, hashed):
            return None
        self._hooks.used(found.id)
        return _view(found)


class Paces:
    """How often each hook was called of late, in this process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._calls: dict[str, collections.deque[float]] = {}

    def wait(self, start: str) -> float:
        """Count a call; gives the seconds after which there may be another one, if it is one too many; else 0."""
        with self._lock:
            now, calls = self._now(), self._calls.setdefault(start, collections.deque())
            while calls and calls[0] <= now - SECONDS:
                calls.popleft()
            if len(calls) >= MOST:
                return calls[0] + SECONDS - now
            calls.append(now)
            return 0.0


def _view(hook: Hook) -> HookView:
    return HookView(**{field.name: getattr(hook, field.name) for field in dataclasses.fields(HookView)})
