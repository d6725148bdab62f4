"""Keeps what requests bring: in the event store and among the rejects, by one commit."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import TidemillError, UnavailableError
from tidemill.events.duck import OUT_OF_MEMORY
from tidemill.events.lake import Place

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.events.lake import Appended, Lake, Prepared

#: Bytes of events in one commit, of several bundles.
_MOST_BYTES = 64_000_000
#: A commit is waited for so long: less than whoever asked waits for an answer.
_WAITS_SECONDS = 45.0


class Revoked(Exception):  # noqa: N818 - it is answered, not raised at a user
    """Keys were revoked, and nothing of the bundle was kept."""

    def __init__(self, keys: Collection[uuid.UUID] = ()) -> None:
        super().__init__(keys)
        self.keys = frozenset(keys)


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What is to be kept together: sent by these keys, events as Lake.prepare takes them, refused as Rejects has it."""

    keys: frozenset[uuid.UUID]
    tables: Sequence[pa.RecordBatch]
    refused: Sequence[dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What a commit did, in how many seconds."""

    rows: int
    duplicates: int
    seconds: float


class Keeper(Protocol):
    """Who keeps. May be used by several threads."""

    def keep(self, bundle: Bundle) -> Kept:
        """Keep a bundle; it is durable when this returns.

        Raises
        ------
        Revoked
            Some keys are; nothing was kept.
        UnavailableError
            It could not be kept now. To try again is safe.
        """

    def look(self) -> None:
        """Raise if nothing could be kept now."""

    def close(self) -> None:
        """It is not used any more."""


class Rejects(Protocol):
    """Where what cannot be taken is kept."""

    def add(self, items: Sequence[dict[str, Any]]) -> int:
        """Save them; tells how many were new."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Waiting:
    events: Prepared
    done: Future[Appended] = dataclasses.field(default_factory=Future)


@contextlib.contextmanager
def _for_want() -> Iterator[None]:
    """Whatever the store refuses, it is for want of something, and no fault of the events: they may come again."""
    try:
        yield
    except UnavailableError:
        raise
    except TidemillError as error:
        raise UnavailableError(error.code, error.message, hint=error.hint, raw=error.raw) from error


class _Commits:
    """Commits what threads bring, one commit at a time: what comes meanwhile is in the next, whoever brought it.

    For what a commit costs, however little is in it, is as much as 4,000 events.
    """

    def __init__(self, lake: Lake, within: dt.timedelta) -> None:
        self._lake, self._within = lake, within
        self._name = f"capture-{uuid.uuid4().hex}"
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._turn, self._guard = threading.Lock(), threading.Lock()

    def append(self, events: Prepared) -> Appended:
        """As Lake.append does it. What a commit did is told to one of those who are in it."""
        mine = _Waiting(events)
        self._waiting.append(mine)
        if not self._turn.acquire(timeout=_WAITS_SECONDS):
            self._give_up(mine)
            return mine.done.result()
        try:
            while not mine.done.done():
                self._commit(self._taken())
        finally:
            self._turn.release()
        return mine.done.result()

    def _give_up(self, mine: _Waiting) -> None:
        """The store does not go on: nothing is to gather here. What is in a commit already is waited for."""
        with self._guard, contextlib.suppress(ValueError):
            self._waiting.remove(mine)
            mine.done.set_exception(UnavailableError("store_slow", "The event store did not answer in time."))

    def _taken(self) -> list[_Waiting]:
        """Those that have waited longest, one at least."""
        with self._guard:
            found = [self._waiting.popleft()]
            size = found[0].events.events.nbytes
            while self._waiting and (size := size + self._waiting[0].events.events.nbytes) <= _MOST_BYTES:
                found.append(self._waiting.popleft())
            return found

    def _commit(self, many: Sequence[_Waiting]) -> None:
        try:
            with _for_want():
                events = self._lake.joined([one.events for one in many])
                appended = self._lake.append(events, Place(self._name, time.time_ns()), self._within)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            if len(many) > 1 and not isinstance(error, UnavailableError):  # one of them is bad: the others are kept
                for one in many:
                    self._commit([one])
                return
            for one in many:
                one.done.set_exception(error)
            return
        many[0].done.set_result(appended)
        for one in many[1:]:
            one.done.set_result(dataclasses.replace(appended, rows=0, duplicates=0))


class StoreKeeper:
    """Keeps in the store, from this process."""

    def __init__(
        self,
        lake: Lake,
        rejects: Rejects,
        revoked: Callable[[Collection[uuid.UUID]], set[uuid.UUID]],
        revive: Callable[[], object],
        within: dt.timedelta,
    ) -> None:
        """`revoked`: those of these keys that are; `revive` is called when the database does not answer; `within`: an
        event that is sent again counts once if it was kept that lately."""
        self._lake, self._rejects, self._revoked, self._revive = lake, rejects, revoked, revive
        self._commits = _Commits(lake, within)

    def keep(self, bundle: Bundle) -> Kept:
        """See Keeper."""
        with self._reviving():
            return self._keep(bundle)

    @contextlib.contextmanager
    def _reviving(self) -> Iterator[None]:
        try:
            yield
        except UnavailableError as error:
            if error.code not in {"disk_full", OUT_OF_MEMORY}:
                with contextlib.suppress(TidemillError):  # the next one tries again
                    self._revive()
            raise

    def _keep(self, bundle: Bundle) -> Kept:
        began = time.perf_counter()
        gone = self._revoked(bundle.keys)
        if gone:
            raise Revoked(gone)
        if bundle.refused:
            self._rejects.add(bundle.refused)
        if not bundle.tables:
            return Kept(0, 0, 0.0)
        with _for_want():
            prepared = self._lake.prepare(bundle.tables)
        appended = self._commits.append(prepared)
        return Kept(appended.rows, appended.duplicates, time.perf_counter() - began)

    def look(self) -> None:
        """See Keeper."""
        with self._reviving(), _for_want():
            self._lake.look()

    def close(self) -> None:
        """See Keeper."""
