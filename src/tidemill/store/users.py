"""The repository of users, of their sessions, and of attempts to sign in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql as pg

from tidemill.errors import ConflictError, NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.store import keyset, made_access, spelling
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts, has, moment, named
from tidemill.store.tables_access import setup_tokens, sign_in_failures, user_sessions, users

#: Of the advisory lock of who changes users: two at once could take the last administrators away.
_LOCK = 7_300_030
_NAME = named(users.c.name)
_SORTS = Sorts(
    {
        "name": _NAME,
        "role": (users.c.role, str),
        "last_seen_at": moment(users.c.last_seen_at),
        "created_at": moment(users.c.created_at),
    },
    _NAME,
)
USER_SORTS = tuple(_SORTS.words)


@dataclasses.dataclass(frozen=True)
class User:
    """A user. `password`: its hash, or None; `subject`: who they are where they sign in elsewhere, or None."""

    id: uuid.UUID
    name: str
    role: str
    password: str | None = dataclasses.field(repr=False)
    subject: str | None
    disabled: bool
    last_seen_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str


@dataclasses.dataclass(frozen=True)
class SavedSession:
    """Who is signed in, since when, and when they were seen last."""

    user: User
    created_at: dt.datetime
    seen_at: dt.datetime


class Users:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """Whether there are users."""
        with self._database.begin() as connection:
            return connection.execute(sa.select(sa.literal(1)).select_from(users).limit(1)).first() is not None

    def find(self) -> list[User]:
        """All, by name."""
        with self._database.begin() as connection:
            return [_made(row) for row in connection.execute(sa.select(users).order_by(sa.func.lower(users.c.name)))]

    def page(self, search: str | None, role: str | None, disabled: bool | None, wanted: Wanted) -> Page[User]:
        """Users by pages, by one of USER_SORTS. `search`: in the name."""
        query = sa.select(users)
        if search:
            query = query.where(has(search, users.c.name))
        if role is not None:
            query = query.where(users.c.role == role)
        if disabled is not None:
            query = query.where(users.c.disabled.is_(disabled))
        which = f"users {search!r} {role!r} {disabled!r}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, lambda row: User(**row))

    def get(self, name: str) -> User:
        """The one of that name, whatever its case.

        Raises
        ------
        NotFoundError
            There is none.
        """
        found = self.known(name)
        if found is None:
            raise NotFoundError("user_unknown", f"There is no user {name!r}.", hint="All users: tidemill user list")
        return found

    def known(self, name: str) -> User | None:
        """The one of that name, whatever its case, if there is one."""
        ways = [sa.func.lower(name), sa.func.lower(spelling.plain(name))]
        found = self._one(sa.func.lower(users.c.name).in_(ways))
        # The database takes letters for the same that are not, as İ and i.
        return found if found is not None and spelling.folded(found.name) == spelling.folded(name) else None

    def by_subject(self, subject: str) -> User | None:
        """Who is that where they sign in elsewhere."""
        return self._one(users.c.subject == subject)

    def _one(self, condition: sa.ColumnElement[bool]) -> User | None:
        with self._database.begin() as connection:
            row = connection.execute(sa.select(users).where(condition)).first()
        return _made(row) if row else None

    @contextmanager
    def changing(self) -> Iterator[Changing]:
        """A transaction in which users are changed: one at a time."""
        try:
            with self._database.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                yield Changing(connection)
        except exc.IntegrityError as error:
            raise _taken() from error

    def open(self, digest: bytes, user_id: uuid.UUID, address: str, agent: str) -> None:
        """Somebody is signed in."""
        fields = {"hash": digest, "user_id": user_id, "address": address, "agent": agent}
        with self._database.begin() as connection:
            connection.execute(sa.insert(user_sessions).values(**fields))
            connection.execute(sa.update(users).where(users.c.id == user_id).values(last_seen_at=sa.func.now()))

    def session(self, digest: bytes) -> SavedSession | None:
        """Who is signed in by that, disabled or not."""
        query = sa.select(users, user_sessions.c.created_at.label("began"), user_sessions.c.seen_at).join(
            user_sessions, user_sessions.c.user_id == users.c.id
        )
        with self._database.begin() as connection:
            row = connection.execute(query.where(user_sessions.c.hash == digest)).first()
        return SavedSession(_made(row), row.began, row.seen_at) if row else None

    def seen(self, digest: bytes, user_id: uuid.UUID) -> None:
        """They are at work at this moment."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(user_sessions).where(user_sessions.c.hash == digest).values(seen_at=sa.func.now())
            )
            connection.execute(sa.update(users).where(users.c.id == user_id).values(last_seen_at=sa.func.now()))

    def close(self, digest: bytes) -> None:
        """They sign out."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(user_sessions).where(user_sessions.c.hash == digest))

    def forget_sessions(self, created_before: dt.datetime, seen_before: dt.datetime) -> None:
        """Remove sessions that are over."""
        over = sa.or_(user_sessions.c.created_at < created_before, user_sessions.c.seen_at < seen_before)
        with self._database.begin() as connection:
            connection.execute(sa.delete(user_sessions).where(over))

    def attempt(self, name_hash: bytes, forgets: dt.timedelta) -> tuple[int, dt.datetime | None]:
        """Somebody tries to sign in, who has not succeeded yet: how often it is now, and until when they are locked
        out. What was so long ago does not count."""
        table, now = sign_in_failures.c, sa.func.now()
        insert = pg.insert(sign_in_failures).values(name_hash=name_hash, failures=1, last_at=now)
        more = sa.case((table.last_at < now - forgets, 1), else_=table.failures + 1)
        statement = insert.on_conflict_do_update(
            index_elements=[table.name_hash], set_={"failures": more, "last_at": now}
        ).returning(table.failures, table.locked_until)
        with self._database.begin() as connection:
            row = connection.execute(statement).one()
            return int(row.failures), row.locked_until

    def lock(self, name_hash: bytes, until: dt.datetime) -> None:
        """Lock out who tries to sign in by that name."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(sign_in_failures).where(sign_in_failures.c.name_hash == name_hash).values(locked_until=until)
            )

    def locked_until(self, name_hash: bytes) -> dt.datetime | None:
        """Until when that name is locked out."""
        query = sa.select(sign_in_failures.c.locked_until).where(sign_in_failures.c.name_hash == name_hash)
        with self._database.begin() as connection:
            found: dt.datetime | None = connection.execute(query).scalar_one_or_none()
            return found

    def locks(self, name_hashes: Collection[bytes]) -> Mapping[bytes, dt.datetime | None]:
        """Until when these names are locked out: those that were."""
        query = sa.select(sign_in_failures.c.name_hash, sign_in_failures.c.locked_until)
        with self._database.begin() as connection:
            found = connection.execute(query.where(sign_in_failures.c.name_hash.in_(list(name_hashes))))
            return {bytes(row.name_hash): row.locked_until for row in found}

    def unlock(self, name_hash: bytes) -> None:
        """Forget the attempts by that name."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(sign_in_failures).where(sign_in_failures.c.name_hash == name_hash))

    def forget_attempts(self, before: dt.datetime, most: int) -> None:
        """Remove those of before that time, and the oldest of what is more than `most`; but no lock that holds."""
        table = sign_in_failures.c
        oldest = sa.select(table.last_at).order_by(table.last_at.desc()).offset(most).limit(1).scalar_subquery()
        old = sa.or_(table.last_at < before, table.last_at <= oldest)
        is_open = sa.or_(table.locked_until.is_(None), table.locked_until < sa.func.now())
        with self._database.begin() as connection:
            connection.execute(sa.delete(sign_in_failures).where(old, is_open))


class Changing:
    """Changes of users, within a transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def any(self) -> bool:
        """Whether there are users."""
        return self._connection.execute(sa.select(sa.literal(1)).select_from(users).limit(1)).first() is not None

    def administrators(self) -> set[uuid.UUID]:
        """Who can administrate."""
        query = sa.select(users.c.id).where(users.c.role == "admin", users.c.disabled.is_(False))
        return set(self._connection.scalars(query))

    def add(self, **fields: Any) -> User:
        """Save a new one."""
        self._assert_free(fields["name"])
        return _made(
            self._connection.execute(sa.insert(users).values(id=uuid.uuid4(), **fields).returning(*users.c)).one()
        )

    def edit(self, user_id: uuid.UUID, **fields: Any) -> User:
        """Change one."""
        if "name" in fields:
            self._assert_free(fields["name"], but=user_id)
        statement = sa.update(users).where(users.c.id == user_id).values(**fields).returning(*users.c)
        return _made(self._connection.execute(statement).one())

    def delete(self, user_id: uuid.UUID) -> None:
        """Remove one, and their sessions."""
        self._connection.execute(sa.delete(users).where(users.c.id == user_id))

    def _assert_free(self, name: str, *, but: uuid.UUID | None = None) -> None:
        """Raise ConflictError if somebody else has the name, but for its case."""
        for row in self._connection.execute(sa.select(users.c.id, users.c.name)):
            if row.id != but and spelling.folded(row.name) == spelling.folded(name):
                raise _taken()

    def curtail(self, name: str, lacks: Collection[str], kinds: Collection[str]) -> None:
        """See made_access."""
        made_access.curtail(self._connection, name, lacks, kinds)

    def renamed(self, before: str, after: str) -> None:
        """See made_access."""
        made_access.renamed(self._connection, before, after)

    def sign_out(self, user_id: uuid.UUID, *, but: bytes | None = None) -> None:
        """End the sessions of a user, but one."""
        statement = sa.delete(user_sessions).where(user_sessions.c.user_id == user_id)
        self._connection.execute(statement if but is None else statement.where(user_sessions.c.hash != but))

    def keep_setup_token(self, digest: bytes) -> None:
        """Save one by which the first account can be made."""
        self._connection.execute(sa.insert(setup_tokens).values(hash=digest))

    def use_setup_token(self, digest: bytes, since: dt.datetime) -> bool:
        """Whether there is such a token, made since then. Afterwards there is none at all."""
        query = sa.select(setup_tokens.c.hash).where(setup_tokens.c.hash == digest, setup_tokens.c.created_at >= since)
        good = self._connection.execute(query).first() is not None
        if good:
            self._connection.execute(sa.delete(setup_tokens))
        return good


def _taken() -> ConflictError:
    return ConflictError("user_exists", "There is a user of that name already.", hint="All users: tidemill user list")


def _made(row: Any) -> User:
    return User(**{field.name: getattr(row, field.name) for field in dataclasses.fields(User)})
