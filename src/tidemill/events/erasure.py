"""Finds and deletes what a person sent, as for a privacy request.

No query finds deleted events any more, and no export sends them. Which snapshot the other events came with stays as it
is: that is why DuckLake's own rewriting of files, which gives all rows a new one, is not used. What was deleted lies in
the data files still, unread, beside a list of what is deleted.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection
from typing import TYPE_CHECKING

from tidemill.events.sources import devices

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake
    from tidemill.events.sources.metadata import Metadata

_FETCHED = 10_000


@dataclasses.dataclass
class Sent:
    """What somebody sent: uuids of events, and the ids of their sessions."""

    events: set[str] = dataclasses.field(default_factory=set)
    sessions: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Brought(Sent):
    """Likewise, of an import; and the distinct_ids of people of whom it told."""

    people: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Span:
    """Where the events of a session lie: its snapshots and times, from the first to the last."""

    first_snapshot: int
    last_snapshot: int
    first_time: dt.datetime
    last_time: dt.datetime


class PersonEvents:
    """Events, by who sent them."""

    def __init__(self, lake: Lake, metadata: Metadata) -> None:
        self._lake, self._metadata = lake, metadata

    def find(self, team_id: int, ids: Collection[str]) -> Sent:
        """What was sent under these distinct_ids, and from devices while their user was one of them."""
        seen_on = devices.of_users(self._metadata, team_id)
        events = f"""
            SELECT team_id, uuid, session_id, distinct_id, kind, envelope, snapshot_id, n FROM lake.events
            WHERE team_id = {team_id:d} AND distinct_id IN (SELECT name FROM asked UNION ALL
                SELECT device_id FROM {seen_on} SEMI JOIN asked ON asked.name = user_id)"""
        owners = devices.owners(events, self._metadata, team_id)
        query = f"""
            SELECT uuid, session_id FROM ({events}) LEFT JOIN ({owners}) USING (snapshot_id, n)
            WHERE coalesce(user_id, distinct_id) IN (SELECT name FROM asked)"""
        sent = Sent()
        with self._lake.cursor() as cursor:
            _register(cursor, "asked", ids)
            found = cursor.execute(query)
            while rows := found.fetchmany(_FETCHED):
                sent.events.update(uuid for uuid, _ in rows)
                sent.sessions.update(session for _, session in rows if session)
        return sent

    def brought(self, file_key: str, said: str, limit: int) -> dict[int, Brought]:
        """Some of the events that came by commits of this file key and have this text in their properties, by team."""
        query = """
            SELECT team_id, uuid, session_id, distinct_id FROM lake.events
            WHERE snapshot_id IN (SELECT snapshot_id FROM lake.commits WHERE file_key = ?) AND contains(properties, ?)
            LIMIT ?"""
        found: dict[int, Brought] = {}
        with self._lake.cursor() as cursor:
            for team_id, uuid, session, person in cursor.execute(query, [file_key, said, limit]).fetchall():
                brought = found.setdefault(team_id, Brought())
                brought.events.add(uuid)
                brought.sessions |= {session} if session else set()
                brought.people.add(person)
        return found

    def count(self, file_key: str, said: str) -> int:
        """How many events there are that `brought` would give."""
        query = """
            SELECT count(*) FROM lake.events WHERE contains(properties, ?)
                AND snapshot_id IN (SELECT snapshot_id FROM lake.commits WHERE file_key = ?)"""
        with self._lake.cursor() as cursor:
            found = cursor.execute(query, [said, file_key]).fetchone()
        return int(found[0]) if found else 0

    def delete(self, team_id: int, uuids: Collection[str]) -> None:
        """Delete these events."""
        if not uuids:
            return
        with self._lake.cursor() as cursor, self._lake.alone(), self._lake.changing(cursor):
            _register(cursor, "gone", uuids)
            cursor.execute("DELETE FROM lake.events WHERE team_id = ? AND uuid IN (SELECT name FROM gone)", [team_id])

    def left(self, team_id: int, sessions: Collection[str], upto: int) -> list[Span]:
        """Of each of these sessions that has events still, up to a snapshot: where they lie."""
        query = """
            SELECT min(snapshot_id), max(snapshot_id), min(timestamp), max(timestamp) FROM lake.events
            WHERE team_id = ? AND snapshot_id <= ? AND session_id IN (SELECT name FROM asked) GROUP BY session_id"""
        with self._lake.cursor() as cursor:
            _register(cursor, "asked", sessions)
            return [Span(*row) for row in cursor.execute(query, [team_id, upto]).fetchall()]


def _register(cursor: duckdb.DuckDBPyConnection, name: str, texts: Collection[str]) -> None:
    import pyarrow as pa  # 50 ms

    cursor.register(name, pa.table({"name": pa.array(list(texts), pa.string())}))
