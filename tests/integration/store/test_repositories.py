"""Connections, exports, loads and rejects: what is kept, and what is refused with a reason."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.loads import Loads, Rejects
from tidemill.store.records import Connection, Export, Reject


@pytest.fixture
def connection(database: Database) -> Connection:
    return Connections(database).add(name="Übung", project="p", dataset="d", adc=True, connected_by="Me")


def export(database: Database, connection: Connection, name: str, table: str) -> Export:
    return Exports(database).add(
        name=name,
        connection_id=connection.id,
        model="events",
        project="p",
        dataset="d",
        table_id=table,
        spec={},
        created_by="me",
    )


def test_names_are_found_and_taken_whatever_their_case(database: Database, connection: Connection) -> None:
    connections = Connections(database)
    assert connections.get("üBUNG") == connection
    assert connections.find(by="mE") == [connection]
    with pytest.raises(ConflictError) as taken:
        connections.add(name="ÜBUNG", project="p", dataset="d", adc=True, connected_by="me")
    assert taken.value.code == "connection_exists"
    with pytest.raises(NotFoundError) as unknown:
        connections.get("other")
    assert "Übung" in unknown.value.hint


def test_a_connection_in_use_is_not_deleted(database: Database, connection: Connection) -> None:
    made = export(database, connection, "a", "t")
    with pytest.raises(ConflictError) as used:
        Connections(database).delete(connection.id)
    assert used.value.code == "connection_in_use"
    Exports(database).delete(made.id)
    Connections(database).delete(connection.id)
    with pytest.raises(NotFoundError):
        Connections(database).by_id(connection.id)
    with pytest.raises(NotFoundError):
        Connections(database).change(connection.id, location="EU")


def test_no_two_exports_write_into_one_table(database: Database, connection: Connection) -> None:
    exports = Exports(database)
    export(database, connection, "a", "t1")
    second = export(database, connection, "b", "t2")
    changes: list[dict[str, Any]] = [{"table_id": "t1"}, {"name": "A"}]
    for change in changes:
        with pytest.raises(ConflictError) as taken:
            exports.change(second.id, **change)
        assert taken.value.code == ("table_taken" if "table_id" in change else "export_exists")
    with pytest.raises(ConflictError):
        export(database, connection, "c", "t1")
    assert [found.name for found in exports.find(connection.id)] == ["a", "b"]


def test_what_was_deleted_meanwhile_is_not_found(database: Database, connection: Connection) -> None:
    exports, gone = Exports(database), dataclasses.replace(connection, id=uuid.uuid4())
    with pytest.raises(NotFoundError) as unknown:
        export(database, gone, "a", "t")
    assert unknown.value.code == "connection_unknown"
    with pytest.raises(NotFoundError):
        exports.by_id(gone.id)
    with pytest.raises(NotFoundError):
        exports.change(gone.id, name="x")
    with pytest.raises(NotFoundError):
        exports.get("x")


def test_a_value_that_postgresql_cannot_hold_is_a_mistake_of_the_user(
    database: Database, connection: Connection
) -> None:
    for name in ("nul\0", "half \udc80"):
        with pytest.raises(ConfigError):
            export(database, connection, name, "t")
    with pytest.raises(ConfigError):
        Exports(database).change(export(database, connection, "a", "t").id, spec={"include_events": ["\udc80"]})


def test_a_file_is_begun_once_and_counts(database: Database) -> None:
    loads = Loads(database)
    fields: dict[str, Any] = {"file": "a\0\udc80", "format": "jsonl", "team_id": 1, "mapping": {}, "bytes": 9}
    first = loads.begin("key", **fields)
    assert loads.begin("key", **fields) == first
    assert (first.status, first.file) == ("running", "a\\0\\udc80")
    loads.add("key", rows=2, duplicates=1, rejects=1)
    loads.add("key", rows=3, duplicates=0, rejects=0)
    loads.complete("key")
    done = loads.get("key")
    assert done is not None
    assert (done.status, done.rows, done.duplicates, done.rejects) == ("completed", 5, 1, 1)
    assert loads.get("other") is None


def reject(**fields: Any) -> dict[str, Any]:
    plain = {"source": "s", "part": "1", "kind": "load", "place": "f:1", "code": "c", "message": "m", "raw": b"x"}
    return {**plain, "whole": True, **fields}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec=None, categories=None), max_size=40), raw=st.binary(max_size=40))
def test_any_text_can_be_set_aside_and_only_once(database: Database, text: str, raw: bytes) -> None:
    rejects, source = Rejects(database), uuid.uuid4().hex
    item = reject(source=source, part=text, place=text, message=text, raw=raw)
    assert [rejects.add([item]) for _ in range(2)] == [1, 0]
    (kept,) = rejects.find(kind="load", source=source)
    assert kept.raw == raw
    assert "\0" not in kept.message


def test_long_parts_are_told_apart(database: Database) -> None:
    rejects, long = Rejects(database), "".join(chr(0x4E00 + number % 9000) for number in range(9000))
    assert rejects.add([reject(part=long + "a"), reject(part=long + "b"), reject(part=long + "a")]) == 2


def test_rejects_are_paged_through_and_resolved(database: Database) -> None:
    rejects = Rejects(database)
    assert rejects.add([]) == 0
    assert rejects.add([reject(part=str(number), code="odd" if number % 2 else "even") for number in range(7)]) == 7
    assert [item.part for item in rejects.find(kind="load", limit=2)] == ["6", "5"]
    paged: list[Reject] = []
    while page := rejects.find(kind="load", after=paged[-1].id if paged else -1, limit=3):
        paged += page
    assert [item.part for item in paged] == [str(number) for number in range(7)]
    rejects.resolve([*range(10_000, 80_000), *(item.id for item in paged if item.code == "odd")])
    assert {item.code for item in rejects.find(kind="load")} == {"even"}
    assert rejects.find(kind="run") == []
