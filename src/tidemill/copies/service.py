"""Copies of an installation: what shells may ask for."""

from __future__ import annotations

from pathlib import Path

from tidemill.copies import backup, containers, migrate
from tidemill.copies import restore as restores
from tidemill.copies.manifest import Manifest
from tidemill.copies.migrate import Moved
from tidemill.copies.parts import Opening, Progress, Report, Told, untold
from tidemill.copies.restore import Restored
from tidemill.settings import Settings

__all__ = ["Copies", "Manifest", "Moved", "Progress", "Restored"]


class Copies:
    """Of the installation that the settings name."""

    def __init__(self, settings: Settings, opening: Opening) -> None:
        self._settings, self._opening = settings, opening

    def backup(self, destination: Path, *, with_key: bool, by: str, report: Report = untold) -> Manifest:
        """Make a backup, while the installation runs: into a folder, where only what is new is copied, or a .tar.

        Raises
        ------
        ConfigError
            The destination holds something else.
        ConflictError
            It is there already, or another backup is being made there.
        """
        with self._opening(self._settings) as installation:
            return backup.make(
                installation,
                destination,
                with_key=with_key,
                passphrase=self._settings.backup_passphrase,
                by=by,
                told=Told(report),
            )

    def verify(self, source: Path, report: Report = untold) -> Manifest:
        """Hold all files of a backup against their checksums. It needs no installation.

        Raises
        ------
        ConfigError
            It is none, not whole, or damaged.
        """
        with containers.opened(source) as made:
            return restores.verify(made, Told(report))

    def restore(self, source: Path, *, by: str, report: Report = untold) -> Restored:
        """Restore a backup where these settings say; nothing may be there yet.

        Raises
        ------
        ConfigError
            It is none, not whole, damaged, or of a newer Tidemill.
        ConflictError
            There is something already.
        """
        with containers.opened(source) as made:
            return restores.restore(made, str(source), self._settings, self._opening, by=by, told=Told(report))

    def migrate(self, *, database_url: str | None, event_data: str | None, report: Report = untold) -> Moved:
        """Move the installation to another database (None: the embedded one), or its events to another place (None:
        `events/` of the home), or both.

        Raises
        ------
        ConfigError
            It is there already, or cannot be moved there.
        ConflictError
            Another process uses it, or there is something already where it is to go.
        """
        target = self._settings.model_copy(update={"database_url": database_url, "event_data": event_data})
        return migrate.migrate(self._settings, target, self._opening, Told(report))
