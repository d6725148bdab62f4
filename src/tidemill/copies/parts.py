"""What copies need of an installation; and how far one is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tidemill.settings import Settings
from tidemill.store.postgres import Postgres

if TYPE_CHECKING:
    from tidemill.events.data.service import EventDataService
    from tidemill.events.identity.service import IdentityService
    from tidemill.events.lake import Lake
    from tidemill.store.database import Database
    from tidemill.store.secrets import Secrets


class Installation(Protocol):
    """An open installation."""

    @property
    def settings(self) -> Settings:
        """Its settings."""

    @property
    def postgres(self) -> Postgres:
        """Its PostgreSQL."""

    @property
    def database(self) -> Database:
        """Its metadata."""

    @property
    def lake(self) -> Lake:
        """Its events."""

    @property
    def event_data(self) -> EventDataService:
        """Where they lie."""

    @property
    def identity(self) -> IdentityService:
        """Who is who."""

    @property
    def secrets(self) -> Secrets:
        """Its secret key."""


class Opening(Protocol):
    """Opens an installation for the time of a block."""

    def __call__(
        self, settings: Settings, *, within_fence: bool = False
    ) -> contextlib.AbstractContextManager[Installation]:
        """`within_fence`: also one that nobody else may use yet."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a copy is."""

    doing: str
    files_done: int
    files: int
    bytes_done: int
    bytes: int


Report = Callable[[Progress], None]


def untold(_: Progress) -> None:
    """For who does not want to know."""


class Told:
    """Tells how far it is, with each part that was moved."""

    def __init__(self, report: Report) -> None:
        self._report, self._now = report, Progress("beginning", 0, 0, 0, 0)

    def begin(self, doing: str, files: int = 0, size: int = 0) -> None:
        """Something else is done from now on."""
        self._now = Progress(doing, 0, files, 0, size)
        self._report(self._now)

    def moved(self, size: int) -> None:
        """So many bytes more."""
        self._now = dataclasses.replace(self._now, bytes_done=self._now.bytes_done + size)
        self._report(self._now)

    def done(self) -> None:
        """A file more."""
        self._now = dataclasses.replace(self._now, files_done=self._now.files_done + 1)
        self._report(self._now)
