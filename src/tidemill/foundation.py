"""What all features stand on: the database, the event store, secrets, locks and the engine of one installation.

Each part is opened when it is first needed, so that a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from tidemill.errors import UnavailableError
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.engine.port import Engine
    from tidemill.events.data.service import EventDataService
    from tidemill.events.lake import Lake
    from tidemill.store.database import Database
    from tidemill.store.installation import Installation
    from tidemill.store.locks import Locks
    from tidemill.store.postgres import Postgres
    from tidemill.store.secrets import Secrets

Part = TypeVar("Part")

_log = logging.getLogger(__name__)
_TRIES_EVERY_SECONDS = 1.0
#: For how long a server waits for its database when it begins: both may have been started at the same moment.
STARTING_SECONDS = 60.0


class part(functools.cached_property[Part]):  # noqa: N801 - it is used as a decorator
    """Of an App: made when it is first needed, once, whichever of several threads is first."""

    @overload
    def __get__(self, app: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, app: object, owner: type[Any] | None = None) -> Part: ...
    def __get__(self, app: Any, owner: type[Any] | None = None) -> Any:
        """The part."""
        if app is None:
            return self
        with app._making:
            made = vars(app).get(str(self.attrname), _UNMADE)
            return super().__get__(app, owner) if made is _UNMADE else made


_UNMADE = object()


class Foundation:
    """See the module. It is open for the time of a block."""

    def __init__(
        self, settings: Settings, *, renew_secret_key: bool = False, within_fence: bool = False, patience: float = 0
    ) -> None:
        """`renew_secret_key`: the one of before is lost; `within_fence`: also one that nobody else may use yet;
        `patience`: so many seconds a database is waited for that does not answer, as it may be begun at this moment."""
        self.settings, self._renew, self._within_fence = settings, renew_secret_key, within_fence
        self._patience = patience
        self._closing, self._making = contextlib.ExitStack(), threading.RLock()

    def __enter__(self) -> Self:
        """Open the database: it is made if there is none."""
        until, told = time.monotonic() + self._patience, False
        while True:
            try:
                self._open()
                return self
            except UnavailableError as error:
                if time.monotonic() >= until:
                    raise
                if not told:
                    _log.warning("%s It is waited for.", error.message)
                told = True
            time.sleep(_TRIES_EVERY_SECONDS)

    def _open(self) -> None:
        shared = bool(self.settings.database_url)
        try:
            self._installation.settle_key(self.secrets, shared=shared, renew=self._renew)
        except BaseException:
            self._closing.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @part
    def postgres(self) -> Postgres:
        """The running PostgreSQL."""
        from tidemill.store.postgres import open_postgres

        return open_postgres(self.settings)

    @part
    def database(self) -> Database:
        """The metadata database, up to date."""
        from tidemill.store.database import Database

        database = Database(self.postgres, self._assert_not_buried, within_fence=self._within_fence)
        self._closing.callback(database.close)
        database.migrate()
        return database

    def _assert_not_buried(self) -> None:
        """A worker that was taken for dead lost all its sessions (engine/liveness.py): it gets no new ones."""
        if "engine" in vars(self):
            self.engine.assert_alive()

    @part
    def secrets(self) -> Secrets:
        """Encryption of what is kept secret."""
        from tidemill.store.secrets import Secrets

        return Secrets(self.settings)

    @part
    def lake(self) -> Lake:
        """The event store."""
        from tidemill.events.lake import Lake

        lake = Lake(self.settings, self.event_data.storage, self.postgres.dsn, self._locks)
        self._closing.callback(lake.close)
        return lake

    @part
    def _installation(self) -> Installation:
        from tidemill.store.installation import Installation

        return Installation(self.database)

    @part
    def event_data(self) -> EventDataService:
        """Where event data lies."""
        from tidemill.events.data.service import EventDataService

        return EventDataService(self.settings, self._installation, self.secrets)

    @part
    def _locks(self) -> Locks:
        from tidemill.store.locks import Locks

        locks = Locks(self.postgres)
        self._closing.callback(locks.close)
        return locks

    @part
    def engine(self) -> Engine:
        """The durable engine. It begins with the first workflow."""
        from tidemill.engine.lazy import LazyEngine

        engine = LazyEngine(self.postgres.dsn, self.postgres.url)
        self._closing.callback(engine.close)
        return engine

    def revive(self) -> None:
        """Start the embedded PostgreSQL again, if it was killed, or ended when the disk was full."""
        from tidemill.store.postgres import open_postgres

        open_postgres(self.settings)
