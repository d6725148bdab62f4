"""People: persons, whose each distinct_id is, and up to which event that is known. All changes in one transaction.

Rows go in and out as tuples in the order of `PERSON`, `LINK` and so on, thousands at a time. Every session that saves
something has a number, and what it saved carries it: a later one has a greater number, and is seen later.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.loads import storable
from tidemill.store.tables import SCHEMA, identity
from tidemill.store.tables import identity_warnings as warnings

Key = tuple[int, str]
Row = tuple[Any, ...]
#: Of a person: `created` is in microseconds since 1970, `properties` a JSON text.
PERSON = ("team_id", "id", "created_at", "properties", "version", "identified", "deleted", "number")
LINK = ("team_id", "distinct_id", "person_id", "version", "number")
WARNING = ("team_id", "uuid", "code", "distinct_id", "other")
#: Its times are in microseconds, too.
MERGE = ("team_id", "number", "into_number", "event_time", "server_time")
SWITCH = ("team_id", "device_id", "snapshot", "n", "user_id")
FORMER = ("team_id", "distinct_id", "snapshot", "n", "number")
_TIMES = ("created_at", "event_time", "server_time")
_TYPES = dict.fromkeys(("team_id", "version", "number", "into_number", "snapshot", *_TIMES), "bigint") | {
    "n": "integer",
    "identified": "boolean",
    "deleted": "boolean",
}
#: A number of microseconds as a time. By hours: PostgreSQL multiplies an interval as a float, which holds 2^53 of them.
_MOMENT = (
    "'epoch'::timestamptz + ({0} / 3600000000) * interval '1 hour' + ({0} % 3600000000) * interval '1 microsecond'"
)
#: A list of teams and one of names, side by side. In binary, which takes a third of the time that texts take.
_KEYS = "unnest(%b::bigint[], %b::text[]) AS k(k_team, k_name)"
_FETCHED = 1_000
_CREATED = "(extract(epoch FROM created_at) * 1000000)::bigint"


@dataclasses.dataclass(frozen=True)
class Reached:
    """The snapshot of the event store up to which people are known, the number of the last change to them, the last
    number that was given to somebody, and the version that a new person begins with."""

    snapshot: int
    change: int
    numbers: int
    versions: int = 0


class Changed(Protocol):
    """What a session keeps."""

    @property
    def links(self) -> Iterable[Row]:
        """As LINK, each new or in the place of another."""

    @property
    def persons(self) -> Iterable[Row]:
        """As PERSON, each new or in the place of another."""

    @property
    def refusals(self) -> Iterable[Row]:
        """As WARNING."""

    @property
    def merges(self) -> Iterable[Row]:
        """As MERGE."""

    @property
    def switches(self) -> Iterable[Row]:
        """As SWITCH."""

    @property
    def formers(self) -> Iterable[Row]:
        """As FORMER."""


class PeopleBook:
    """The repository of people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reached(self) -> Reached:
        """How far it is."""
        with self._database.begin() as connection:
            return _reached(connection.execute(_REACHED).first())

    def refusals(self, limit: int) -> list[Row]:
        """What was refused, newest first: when it was seen, and as WARNING has it."""
        newest = sa.select(warnings.c.created_at, *(warnings.c[name] for name in WARNING))
        query = newest.order_by(warnings.c.created_at.desc(), warnings.c.uuid).limit(limit)
        with self._database.begin() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @contextlib.contextmanager
    def open(self) -> Iterator[PeopleSession]:
        """A session. Another one waits until it has ended."""
        with self._database.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {SCHEMA}.identity DEFAULT VALUES ON CONFLICT DO NOTHING"))
            row = connection.execute(_REACHED.with_for_update()).first()
            yield PeopleSession(connection, _reached(row))


class PeopleSession:
    """One transaction on people."""

    def __init__(self, connection: sa.Connection, reached: Reached) -> None:
        self.reached = reached
        self._connection: Any = connection.connection.driver_connection

    def links(self, ids: Sequence[Key]) -> list[Row]:
        """Those of these ids (team and distinct_id) that are known."""
        return self._links("distinct_id", ids)

    def without_person(self, ids: Sequence[Key]) -> list[Key]:
        """Those of these ids (team and distinct_id) that nobody has, or only somebody who was deleted."""
        query = (
            f"SELECT k_team, k_name FROM {_KEYS} LEFT JOIN ({SCHEMA}.distinct_ids d JOIN {SCHEMA}.persons p "
            "ON p.team_id = d.team_id AND p.id = d.person_id AND NOT p.deleted) "
            "ON d.team_id = k_team AND d.distinct_id = k_name WHERE p.id IS NULL"
        )
        return self._fetched(query, ids)

    def links_of(self, persons: Sequence[Key]) -> list[Row]:
        """All ids of these persons (team and id)."""
        return self._links("person_id", persons)

    def persons(self, persons: Sequence[Key], most: int | None = None) -> list[Row] | None:
        """Those of these persons that are known; None if their properties have more than `most` characters."""
        if not persons:
            return []
        query = (
            f"SELECT t.team_id, t.id, {_CREATED}, properties, version, identified, deleted, number "
            f"FROM {SCHEMA}.persons t JOIN {_KEYS} ON t.team_id = k_team AND t.id = k_name"
        )
        rows, size = [], 0
        with self._connection.cursor(name="persons") as cursor:  # a part at a time, not all at once
            cursor.itersize = _FETCHED
            cursor.execute(query, _lists(persons))
            for row in cursor:
                size += len(row[3])
                if most is not None and size > most:
                    return None
                rows.append(row)
        return rows

    def users(self, devices: Sequence[Key]) -> list[Row]:
        """team_id, device_id and the user who was last seen on it, of those of these devices that are known."""
        query = (
            f"SELECT DISTINCT ON (team_id, device_id) team_id, device_id, user_id FROM {SCHEMA}.device_users "
            f"JOIN {_KEYS} ON team_id = k_team AND device_id = k_name "
            "ORDER BY team_id, device_id, snapshot DESC, n DESC"
        )
        return self._fetched(query, devices)

    def switches_of(self, ids: Sequence[Key]) -> list[Row]:
        """As SWITCH, all of the devices that one of these ids (team and id) is, or has used."""
        query = (
            f"WITH wanted AS (SELECT k_team, k_name FROM {_KEYS}) "
            f"SELECT {', '.join(SWITCH)} FROM {SCHEMA}.device_users WHERE (team_id, device_id) IN (TABLE wanted "
            f"UNION SELECT team_id, device_id FROM {SCHEMA}.device_users "
            "WHERE (team_id, user_id) IN (TABLE wanted)) ORDER BY snapshot, n"
        )
        return self._fetched(query, ids)

    def formers(self, ids: Sequence[Key]) -> list[Row]:
        """Before which place (snapshot and number in it) these ids (team and distinct_id) were somebody else's."""
        query = (
            f"SELECT DISTINCT ON (team_id, distinct_id) team_id, distinct_id, snapshot, n FROM {SCHEMA}.former_numbers "
            f"JOIN {_KEYS} ON team_id = k_team AND distinct_id = k_name "
            "ORDER BY team_id, distinct_id, snapshot DESC, n DESC"
        )
        return self._fetched(query, ids)

    def erase(self, persons: Sequence[Key], ids: Sequence[Key]) -> None:
        """These persons (team and id), which are deleted, are not exported any more; nothing that was refused of their
        distinct_ids is listed."""
        query = (
            f"UPDATE {SCHEMA}.persons SET erased = true FROM {_KEYS} WHERE team_id = k_team AND id = k_name AND deleted"
        )
        self._connection.execute(query, _lists(persons))
        query = (
            f"DELETE FROM {SCHEMA}.identity_warnings USING {_KEYS} "
            "WHERE team_id = k_team AND k_name IN (distinct_id, other)"
        )
        self._connection.execute(query, _lists(ids))

    def forget(self, ids: Sequence[Key]) -> None:
        """Those of these ids (team and distinct_id) that have no person, or an erased one, are unknown from now on; and
        so are these persons."""
        keys = _lists(ids)
        former = f"DELETE FROM {SCHEMA}.former_numbers USING {_KEYS} WHERE team_id = k_team AND distinct_id = k_name"
        self._connection.execute(former, keys)
        query = f"""
            WITH gone AS (
                DELETE FROM {SCHEMA}.distinct_ids d USING {_KEYS}
                WHERE d.team_id = k_team AND d.distinct_id = k_name AND (d.person_id IS NULL OR EXISTS (
                    SELECT 1 FROM {SCHEMA}.persons p WHERE p.team_id = d.team_id AND p.id = d.person_id AND p.erased))
                RETURNING d.team_id, d.person_id)
            DELETE FROM {SCHEMA}.persons p USING gone
            WHERE p.team_id = gone.team_id AND p.id = gone.person_id AND p.erased"""
        self._connection.execute(query, keys)

    def save(self, changed: Changed, snapshot: int, numbers: int) -> Reached:
        """Keep these under the number of the next change, and that all up to this snapshot is in them; also the last
        number that was given to somebody."""
        change = self.reached.change + 1
        wrote = self._merge("persons", PERSON, changed.persons, key=("team_id", "id"), change=change)
        wrote |= self._merge("distinct_ids", LINK, changed.links, key=("team_id", "distinct_id"), change=change)
        wrote |= self._merge("merge_ids", MERGE, changed.merges, change=change)
        # What a sender named may be anything; ids were looked at when they came in.
        refusals = (tuple(storable(v) if isinstance(v, str) else v for v in row) for row in changed.refusals)
        self._merge("identity_warnings", WARNING, refusals)
        self._merge("device_users", SWITCH, changed.switches)
        self._merge("former_numbers", FORMER, changed.formers)
        change = change if wrote else self.reached.change
        self.reached = Reached(snapshot, change, numbers, self.reached.versions)
        self._connection.execute(
            f"UPDATE {SCHEMA}.identity SET snapshot = %s, change = %s, numbers = %s",
            [self.reached.snapshot, self.reached.change, numbers],
        )
        return self.reached

    def _links(self, name: str, keys: Sequence[Key]) -> list[Row]:
        columns = ", ".join(f"t.{column}" for column in LINK)
        joined = f"{SCHEMA}.distinct_ids t JOIN {_KEYS} ON t.team_id = k_team AND t.{name} = k_name"
        return self._fetched(f"SELECT {columns} FROM {joined}", keys)

    def _fetched(self, query: str, keys: Sequence[Key]) -> list[Row]:
        return self._connection.execute(query, _lists(keys)).fetchall() if keys else []

    def _merge(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterable[Row],
        *,
        key: Sequence[str] = (),
        change: int | None = None,
    ) -> bool:
        """Insert rows, with the number of the change; replace those with the same key. Whether there were any."""
        first = next(rows := iter(rows), None)
        if first is None:
            return False
        fields = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in columns)
        values = [_MOMENT.format(column) if column in _TIMES else column for column in columns]
        with self._connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMP TABLE incoming ({fields}) ON COMMIT DROP")
            with cursor.copy("COPY incoming FROM STDIN") as copy:
                copy.write_row(first)
                for row in rows:
                    copy.write_row(row)
            names = [*columns, *(["change"] if change is not None else [])]
            values += [str(change)] if change is not None else []
            update = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
            conflict = f"({', '.join(key)}) DO UPDATE SET {update}" if key else "DO NOTHING"
            cursor.execute(
                f"INSERT INTO {SCHEMA}.{table} ({', '.join(names)}) SELECT {', '.join(values)} FROM incoming "
                f"ON CONFLICT {conflict}"
            )
            cursor.execute("DROP TABLE incoming")
        return True


def _lists(keys: Sequence[Key]) -> list[list[Any]]:
    """For `_KEYS`."""
    return [[key[0] for key in keys], [key[1] for key in keys]]


def _reached(row: Any) -> Reached:
    return Reached(0, 0, 0) if row is None else Reached(*row)


_REACHED = sa.select(identity.c.snapshot, identity.c.change, identity.c.numbers, identity.c.versions)
