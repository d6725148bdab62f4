"""People: persons, whose each distinct_id is, and up to which event that is known. All changes in one transaction.

Rows go in and out as tuples in the order of `PERSON`, `LINK` and `WARNING`, thousands at a time. Every session that
saves something has a number, and what it saved carries it: a later one has a greater number, and is seen later.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA, identity

Key = tuple[int, str]
Row = tuple[Any, ...]
#: Of a person: `created` is in microseconds since 1970, `properties` a JSON text.
PERSON = ("team_id", "id", "created", "properties", "version", "identified", "deleted")
LINK = ("team_id", "distinct_id", "person_id", "version")
WARNING = ("team_id", "uuid", "code", "distinct_id", "other")
_CREATED = "(extract(epoch FROM created_at) * 1000000)::bigint"


@dataclasses.dataclass(frozen=True)
class Reached:
    """The snapshot of the event store up to which people are known, and the number of the last change to them."""

    snapshot: int
    change: int


class PeopleBook:
    """The repository of people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reached(self) -> Reached:
        """How far it is."""
        with self._database.begin() as connection:
            return _reached(connection.execute(sa.select(identity.c.snapshot, identity.c.change)).first())

    @contextlib.contextmanager
    def open(self) -> Iterator[PeopleSession]:
        """A session. Another one waits until it has ended."""
        with self._database.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {SCHEMA}.identity DEFAULT VALUES ON CONFLICT DO NOTHING"))
            row = connection.execute(sa.select(identity.c.snapshot, identity.c.change).with_for_update()).first()
            yield PeopleSession(connection, _reached(row))


class PeopleSession:
    """One transaction on people."""

    def __init__(self, connection: sa.Connection, reached: Reached) -> None:
        self.reached = reached
        self._connection: Any = connection.connection.driver_connection

    def links(self, ids: Sequence[Key]) -> list[Row]:
        """Those of these ids (team and distinct_id) that are known."""
        return self._found(", ".join(LINK), "distinct_ids", "distinct_id", "text", ids)

    def links_of(self, persons: Sequence[Key]) -> list[Row]:
        """All ids of these persons (team and id)."""
        return self._found(", ".join(LINK), "distinct_ids", "person_id", "text", persons)

    def persons(self, persons: Sequence[Key]) -> list[Row]:
        """Those of these persons that are known."""
        columns = f"team_id, id, {_CREATED}, properties, version, identified, deleted"
        return self._found(columns, "persons", "id", "text", persons)

    def save(self, links: Iterable[Row], persons: Iterable[Row], refusals: Iterable[Row], snapshot: int) -> Reached:
        """Keep these under the number of the next change, and that all up to this snapshot is in them."""
        change = self.reached.change + 1
        moment = "'epoch'::timestamptz + created * interval '1 microsecond'"
        persons_now = f"team_id, id, {moment}, properties, version, identified, deleted, {change}"
        wrote = self._merge("persons", PERSON, persons, ("team_id", "id"), persons_now)
        wrote |= self._merge("distinct_ids", LINK, links, ("team_id", "distinct_id"), f"{', '.join(LINK)}, {change}")
        self._merge("identity_warnings", WARNING, refusals, None, ", ".join(WARNING))
        self.reached = Reached(snapshot, change if wrote else self.reached.change)
        self._connection.execute(
            f"UPDATE {SCHEMA}.identity SET snapshot = %s, change = %s", [self.reached.snapshot, self.reached.change]
        )
        return self.reached

    def _found(self, columns: str, table: str, name: str, kind: str, keys: Sequence[Key]) -> list[Row]:
        if not keys:
            return []
        qualified = ", ".join(f"t.{column}" if column.isidentifier() else column for column in columns.split(", "))
        query = (
            f"SELECT {qualified} FROM {SCHEMA}.{table} t "
            f"JOIN unnest(%s::bigint[], %s::{kind}[]) AS k(k_team, k_name) ON t.team_id = k_team AND t.{name} = k_name"
        )
        rows: list[Row] = self._connection.execute(query, [list(part) for part in zip(*keys, strict=True)]).fetchall()
        return rows

    def _merge(
        self, table: str, columns: Sequence[str], rows: Iterable[Row], key: Sequence[str] | None, selected: str
    ) -> bool:
        """Insert rows, or replace those with the same key. Whether there were any."""
        first = next(rows := iter(rows), None)
        if first is None:
            return False
        types = {"team_id": "bigint", "created": "bigint", "version": "bigint"}
        types |= {"identified": "boolean", "deleted": "boolean"}
        fields = ", ".join(f"{name} {types.get(name, 'text')}" for name in columns)
        with self._connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMP TABLE incoming ({fields}) ON COMMIT DROP")
            with cursor.copy("COPY incoming FROM STDIN") as copy:
                copy.write_row(first)
                for row in rows:
                    copy.write_row(row)
            names = [name if name != "created" else "created_at" for name in columns]
            names += ["change"] if key else []
            update = ", ".join(f"{name} = excluded.{name}" for name in names if name not in (key or ()))
            conflict = f"({', '.join(key)}) DO UPDATE SET {update}" if key else "DO NOTHING"
            cursor.execute(
                f"INSERT INTO {SCHEMA}.{table} ({', '.join(names)}) SELECT {selected} FROM incoming "
                f"ON CONFLICT {conflict}"
            )
            cursor.execute("DROP TABLE incoming")
        return True


def _reached(row: Any) -> Reached:
    return Reached(0, 0) if row is None else Reached(*row)
