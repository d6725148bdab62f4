"""What all machines of an installation have in common: who it is, its secret key, the key of its object store."""

from __future__ import annotations

import dataclasses
import datetime as dt

import sqlalchemy as sa

from tidemill.errors import ConfigError
from tidemill.store.database import Database
from tidemill.store.secrets import GIVE_ANEW, Secrets
from tidemill.store.tables import connections
from tidemill.store.tables_dbt import dbt_projects
from tidemill.store.tables_installation import installation as table
from tidemill.store.tables_notify import channels
from tidemill.store.tables_sync import destinations


@dataclasses.dataclass(frozen=True)
class StoredKey:
    """The key of the object store: its public part, and the whole, encrypted."""

    id: str
    token: bytes = dataclasses.field(repr=False)
    given_at: dt.datetime
    given_by: str


class Installation:
    """The repository of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def identity(self) -> str:
        """Its id."""
        with self._database.begin() as connection:
            return str(connection.scalar(sa.select(table.c.id)))

    def access_key(self) -> StoredKey | None:
        """The key of the object store, if one was given."""
        columns = (table.c.access_key_id, table.c.access_key, table.c.access_key_at, table.c.access_key_by)
        with self._database.begin() as connection:
            row = connection.execute(sa.select(*columns).where(table.c.access_key.is_not(None))).first()
        return StoredKey(row[0], row[1], row[2], row[3]) if row is not None else None

    def keep_access_key(self, key_id: str, token: bytes, by: str) -> None:
        """Save one, in the place of an earlier one."""
        self._write(access_key=token, access_key_id=key_id, access_key_at=sa.func.now(), access_key_by=by)

    def forget_access_key(self) -> None:
        """None is given any more."""
        self._write(access_key=None, access_key_id=None, access_key_at=None, access_key_by=None)

    def settle_key(self, secrets: Secrets, *, shared: bool, renew: bool = False) -> None:
        """Make the secret key, if nothing is encrypted yet; and see that it is the one of all machines. A machine that
        needs nothing secret may be without.

        `shared`: others may be at the same database. `renew`: the one of before is lost.

        Raises
        ------
        ConfigError
            It is not.
        """
        sample = self._any_secret()
        known = self._fingerprint() if shared else None
        if known is None or renew:
            if sample is None or renew:
                secrets.ensure()
            if shared and secrets.fingerprints() and (sample is None or renew or secrets.fits(sample)):
                self._write(secret_key=secrets.fingerprints()[0])
            return
        ours = secrets.fingerprints()
        if ours and known not in ours:
            raise ConfigError(
                "secret_key_other",
                "The secret key of this machine is not the one of the other machines on the same database.",
                hint=f"Set TIDEMILL_SECRET_KEYS to theirs, or copy their secret.key to {secrets.path}. If it is lost: "
                f"tidemill init --new-secret-key, then {GIVE_ANEW}.",
            )
        if ours and ours[0] != known:  # another one takes its place, machine by machine
            self._write(secret_key=ours[0])

    def _write(self, **values: object) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.update(table).values(**values))

    def _fingerprint(self) -> str | None:
        with self._database.begin() as connection:
            found: str | None = connection.scalar(sa.select(table.c.secret_key))
        return found

    def _any_secret(self) -> bytes | None:
        """Something that is encrypted, if there is anything."""
        found = sa.union_all(
            sa.select(connections.c.key.label("token")).where(connections.c.key.is_not(None)),
            sa.select(table.c.access_key).where(table.c.access_key.is_not(None)),
            sa.select(channels.c.secret).where(channels.c.secret.is_not(None)),
            sa.select(destinations.c.secret).where(destinations.c.secret.is_not(None)),
            sa.select(dbt_projects.c.secret).where(dbt_projects.c.secret.is_not(None)),
        ).limit(1)
        with self._database.begin() as connection:
            token: bytes | None = connection.scalar(found)
        return token
