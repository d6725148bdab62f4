"""What a worker makes of an operation that does not go well: tried again, given up, or done by somebody else."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.errors import AccessError, ConflictError, NotFoundError, TidemillError, UnavailableError
from tidemill.operations.queue import OperationQueue
from tidemill.reverse_etl.watch import Interrupted
from tidemill.store.operations import Operation

NOW = dt.datetime.now(dt.UTC)


class Book:
    """What became of it."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Any]] = []
        self.wait: dt.timedelta | None = None

    def note(self, *_: Any) -> None:
        return None

    def done(self, _: Operation, __: Any, error: Any, *, forgets: bool) -> None:
        self.ended.append(("failed" if error else "forgotten" if forgets else "done", error and error["code"]))

    def again(self, _: Operation, due_at: dt.datetime, tries: int, __: Any, error: Any) -> None:
        self.wait = due_at - dt.datetime.now(dt.UTC)
        self.ended.append((f"again {tries}", error and error["code"]))


def operation(kind: str, age: dt.timedelta = dt.timedelta(0)) -> Operation:
    plain: dict[str, Any] = {one.name: None for one in dataclasses.fields(Operation)}
    wanted: dict[str, Any] = {"sync": str(uuid.uuid4()), "keys": [], "text": None, "code": None}
    wanted |= {"team_id": 1, "distinct_id": "ana", "events": True}
    known = {"id": uuid.uuid4(), "kind": kind, "by": "t", "at": NOW - age, "tries": 2, "progress": {}}
    return Operation(**{**plain, **known, "wanted": wanted})


def performed(kind: str, error: BaseException | None, age: dt.timedelta = dt.timedelta(0)) -> Book:
    """An operation whose work ends so."""

    def work(*_: Any, **__: Any) -> Any:
        if error is not None:
            raise error
        return SimpleNamespace(number=7, status="completed", error=None)

    book: Any = Book()
    undoing = SimpleNamespace(stop=lambda *_: None, left=lambda _: 0, undo=work)
    imports: Callable[[], Any] = lambda: SimpleNamespace(undoing=undoing)  # noqa: E731
    exports: Callable[[], Any] = lambda: SimpleNamespace(places=lambda *_, **__: 2, erase_person=work)  # noqa: E731
    reverse_etl: Callable[[], Any] = lambda: SimpleNamespace(syncs=SimpleNamespace(run_once=work))  # noqa: E731
    OperationQueue(book, imports, exports, reverse_etl, lambda: False).perform(operation(kind, age))
    found: Book = book
    return found


KINDS = ("import_undo", "person_delete", "sync_rows", "sync_deletes")


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_well_is_done_and_of_persons_nothing_is_kept(kind: str) -> None:
    assert performed(kind, None).ended == [("forgotten" if kind == "person_delete" else "done", None)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_passes_by_itself_is_tried_again(kind: str) -> None:
    book = performed(kind, UnavailableError("bigquery_away", "It does not answer."))
    assert book.ended == [("again 2", "bigquery_away")]
    assert book.wait is not None
    assert book.wait > dt.timedelta(seconds=2)
    assert performed(kind, ConflictError("sync_running", "It runs.")).ended == [("again 1", "sync_running")]
    assert performed(kind, Interrupted(code="interrupted")).ended == [("again 1", None)]


def test_a_run_that_holds_a_table_is_waited_for_but_not_for_ever() -> None:
    held = ConflictError("run_unfinished", "A run is not finished.")
    assert performed("person_delete", held).ended == [("again 2", "run_unfinished")]
    assert performed("person_delete", held, dt.timedelta(days=4)).ended == [("failed", "run_unfinished")]
    assert performed("sync_rows", ConflictError("sync_pending", "Run it first.")).ended == [("failed", "sync_pending")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_has_to_mend_fails(kind: str) -> None:
    assert performed(kind, AccessError("denied", "It may not.")).ended == [("failed", "denied")]
    assert performed(kind, ZeroDivisionError()).ended == [("failed", "bug")]


def test_what_is_not_there_any_more_was_done_by_a_try_before() -> None:
    assert performed("person_delete", NotFoundError("person_unknown", "")).ended == [("forgotten", None)]
    assert performed("sync_rows", NotFoundError("row_unknown", "")).ended == [("done", None)]
    missing: TidemillError = NotFoundError("dataset_not_found", "A table of an export is out of reach.")
    assert performed("person_delete", missing).ended == [("failed", "dataset_not_found")]


def test_a_worker_that_is_held_for_dead_writes_nothing() -> None:
    assert performed("import_undo", UnavailableError("worker_lost", "")).ended == []
