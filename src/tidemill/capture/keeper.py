"""Keeps what requests bring: in the event store and among the rejects, by one commit."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import TidemillError, UnavailableError
from tidemill.events.duck import OUT_OF_MEMORY
from tidemill.events.lake import Place

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.events.lake import Lake


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


class StoreKeeper:
    """Keeps in the store, from this process."""

    def __init__(
        self,
        lake: Lake,
        rejects: Rejects,
        revoked: Callable[[Collection[uuid.UUID]], set[uuid.UUID]],
        revive: Callable[[], object],
    ) -> None:
        """`revoked`: those of these keys that are; `revive` is called when the database does not answer."""
        self._lake, self._rejects, self._revoked, self._revive = lake, rejects, revoked, revive
        self._name = f"capture-{uuid.uuid4().hex}"

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
        appended = self._lake.append(self._lake.prepare(bundle.tables), Place(self._name, time.time_ns()))
        return Kept(appended.rows, appended.duplicates, time.perf_counter() - began)

    def look(self) -> None:
        """See Keeper."""
        with self._reviving():
            self._lake.position()

    def close(self) -> None:
        """See Keeper."""
