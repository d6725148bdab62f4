"""What somebody has asked for: of the same there is one, each is had by one worker, and its record ends with it."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.errors import NotFoundError
from tidemill.store.audit import AuditBook
from tidemill.store.database import Database
from tidemill.store.operations import Operation, Operations

ERROR = {"code": "x", "message": "It failed.", "hint": ""}


@pytest.fixture
def book(database: Database) -> Operations:
    return Operations(database)


def taken(book: Operations, worker: str = "w") -> list[Operation]:
    return book.take(worker, 10, 1)


def record(database: Database) -> int:
    fields: dict[str, Any] = {"actor": "anna", "actor_kind": "user", "address": ""}
    return AuditBook(database).begin(**fields, action="import.undo", kind="import", name="a")


def test_of_the_same_there_is_one_until_it_is_over(book: Operations) -> None:
    def add(_: int) -> tuple[Operation, bool]:
        return book.add("import_undo", "sync:1", "a", {"sync": "1"}, "anna")

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(add, range(6)))
    assert sorted(already for _, already in found) == [False, *[True] * 5]
    assert len({one.id for one, _ in found}) == 1
    assert not book.add("sync_rows", "sync:1", "a", {"sync": "1", "keys": ["k"]}, "anna")[1]
    (first,) = taken(book)
    assert first.kind == "import_undo", "of what is about the same thing one is done at a time"
    assert taken(book) == []
    assert add(0)[1], "while it is at work, too"
    book.done(first, {"done": 1})
    assert [one.kind for one in taken(book)] == ["sync_rows"]
    assert not add(0)[1]
    last = book.last_of("sync:1", "import_undo")
    assert last is not None
    assert last.id != first.id
    assert book.by_id(first.id).progress == {"done": 1}


def test_what_a_dead_worker_had_is_taken_over_with_how_far_it_was(book: Operations) -> None:
    book.add("person_delete", "person:1:ana", "ana", {}, "anna")
    (had,) = taken(book, "dead")
    book.note(had, {"done": 3})
    assert book.workers() == ["dead"]
    assert [one.id for one in book.abandon("dead")] == [had.id]
    (again,) = taken(book, "other")
    assert (again.tries, again.progress) == (2, {"done": 3})
    book.note(had, {"done": 99})
    book.done(had, {}, ERROR)
    assert book.by_id(had.id).progress == {"done": 3}, "who was taken for dead writes nothing"
    assert book.by_id(had.id).finished_at is None


def test_since_when_somebody_waits_for_a_first_worker_is_known(book: Operations) -> None:
    assert book.waiting() == (0, None)
    first, _ = book.add("person_delete", "person:1:ana", "ana", {}, "anna")
    second, _ = book.add("person_delete", "person:1:ben", "ben", {}, "anna")
    assert book.waiting() == (2, first.at)
    (had,) = book.take("w", 1, 1)
    assert book.waiting() == (2, second.at), "one is at work"
    book.done(had, {})
    assert book.waiting() == (1, second.at)


def test_its_record_ends_with_it(database: Database, book: Operations) -> None:
    audit = AuditBook(database)
    for error, outcome in ((None, "done"), (ERROR, "failed")):
        number = record(database)
        book.add("import_undo", "sync:1", "a", {}, "anna", audit_id=number)
        (had,) = taken(book)
        assert audit.find(limit=1)[0].outcome == "begun"
        book.again(had, dt.datetime.now(dt.UTC), 1, {}, ERROR)
        assert audit.find(limit=1)[0].outcome == "begun"
        (had,) = taken(book)
        book.done(had, {}, error)
        found = audit.find(limit=1)[0]
        assert (found.id, found.outcome, found.code) == (number, outcome, "x" if error else "")


def test_nothing_is_kept_of_what_is_to_be_forgotten(book: Operations) -> None:
    book.add("person_delete", "person:1:ana", "ana", {"distinct_id": "ana"}, "anna")
    assert [one.name for one in book.open("person_delete", 10)] == ["ana"]
    (had,) = taken(book)
    book.done(had, {"places": {}}, forgets=True)
    kept = book.by_id(had.id)
    assert (kept.subject, kept.name, kept.wanted, kept.mark) == ("", "", {}, "")
    assert book.open("person_delete", 10) == []
    assert not book.any()
    with pytest.raises(NotFoundError):
        book.by_id(uuid.uuid4())
