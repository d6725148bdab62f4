"""Lines that runs tell: where they go, how they are kept, and what they never hold."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from tidemill import logbook
from tidemill.bigquery import errors
from tidemill.bigquery.errors import Problem, Target
from tidemill.errors import Cancelled, ConflictError, UnavailableError
from tidemill.logbook import Book, Line, Page

RUN, OTHER = uuid.uuid4(), uuid.uuid4()
AWAY = UnavailableError("database_unavailable", "The database is away.")


class Shelf:
    """Keeps batches of lines; or raises, as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.batches: list[list[Line]] = []
        self.trimmed: list[uuid.UUID] = []
        self.errors = list(errors)
        self.full = threading.Event()

    def keep(self, lines: Sequence[Line]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(list(lines))
        self.full.set()

    @property
    def lines(self) -> list[Line]:
        return [line for batch in self.batches for line in batch]

    @property
    def said(self) -> list[str]:
        return [line.message for line in self.lines]

    def book(self, **options: Any) -> Book:
        return Book(self.keep, self.trimmed.append, **{"gathers": 3600.0, **options})


def page(book: Book, **named: Any) -> Page:
    return book.page(**{"run_id": RUN, "attempt": 1, "step": "load", **named})


def test_what_is_told_goes_to_the_page_that_is_open() -> None:
    shelf = Shelf()
    book = shelf.book()
    logbook.info("nobody hears this")
    with page(book, chunk=3).open():
        logbook.info("outer", rows=5, job=None)
        with page(book, run_id=OTHER, step="merge").open():
            logbook.warning("inner")
        logbook.info("outer again")
    logbook.info("nor this")
    assert book.flush()
    assert [(line.message, line.run_id, line.step) for line in shelf.lines] == [
        ("outer", RUN, "load"),
        ("inner", OTHER, "merge"),
        ("outer again", RUN, "load"),
    ]
    assert shelf.lines[0].fields == {"chunk": 3, "rows": 5}
    assert [line.level for line in shelf.lines] == ["info", "warning", "info"]


def test_a_page_may_turn_to_another_run_and_back_to_the_export() -> None:
    shelf = Shelf()
    book = shelf.book()
    with page(book, run_id=None, export_id=OTHER, step="stream").open():
        logbook.info("before")
        logbook.turn_to(RUN)
        logbook.info("within")
        logbook.turn_to(None)
        logbook.info("after")
    book.flush()
    assert [(line.run_id, line.export_id) for line in shelf.lines] == [(None, OTHER), (RUN, None), (None, OTHER)]


def test_other_threads_tell_only_what_is_carried_to_them() -> None:
    shelf = Shelf()
    book = shelf.book()

    def told(name: str) -> None:
        logbook.info(name)

    with page(book).open():
        threads = [threading.Thread(target=told, args=("lost",))]
        threads += [threading.Thread(target=logbook.carried(told), args=(f"carried {n}",)) for n in range(2)]
        for thread in threads:
            thread.start()
            thread.join()
    book.flush()
    assert shelf.said == ["carried 0", "carried 1"]


def test_lines_of_a_run_that_takes_a_moment_are_kept_together() -> None:
    shelf = Shelf()
    book = shelf.book()
    with page(book).open():
        for number in range(20):
            logbook.info(f"line {number}")
    book.close()
    assert [len(batch) for batch in shelf.batches] == [20]


def test_they_are_kept_while_the_run_goes_on() -> None:
    shelf = Shelf()
    book = shelf.book(gathers=0.01)
    with page(book).open():
        logbook.info("first")
        assert shelf.full.wait(60)
        shelf.full.clear()
        logbook.info("second")
        assert shelf.full.wait(60)
    book.close()
    assert shelf.said == ["first", "second"]


def test_a_database_that_is_away_loses_nothing_and_stops_nobody() -> None:
    shelf = Shelf(AWAY, AWAY)
    book = shelf.book()
    with page(book).open():
        logbook.info("one")
        assert not book.flush()
        logbook.info("two")
        assert not book.flush()
    assert book.flush()
    assert shelf.said == ["one", "two"]


def test_what_cannot_be_kept_stands_in_nobodys_way(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(ValueError("cannot be stored"))
    book = shelf.book()
    with page(book).open():
        logbook.info("odd")
        assert book.flush()
        logbook.info("usual")
    assert book.flush()
    assert shelf.said == ["usual"]
    assert "1 lines of runs were not kept" in caplog.text


def test_a_flood_is_bounded_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    book = shelf.book()
    with page(book).open():
        for _ in range(10_003):
            logbook.info("again")
    book.close()
    assert len(shelf.lines) == 10_000
    assert "3 lines of runs were not kept" in caplog.text
    assert set(shelf.trimmed) == {RUN}


def test_what_matters_less_is_not_told() -> None:
    shelf = Shelf()
    book = shelf.book(level="warning")
    with page(book).open():
        logbook.debug("detail")
        logbook.info("progress")
        logbook.warning("trouble")
        logbook.failed(ConflictError("table_taken", "The table is taken.", hint="Choose another."))
    book.flush()
    assert [(line.level, line.fields.get("code")) for line in shelf.lines] == [
        ("warning", None),
        ("error", "table_taken"),
    ]


def test_a_line_is_bounded() -> None:
    shelf = Shelf()
    book = shelf.book()
    page(book).tell("info", "m" * 10_000, **{f"field{n}": "f" * 10_000 for n in range(100)})
    book.flush()
    (line,) = shelf.lines
    assert len(line.message) == 500
    assert len(line.fields) == 16
    assert {len(str(value)) for value in line.fields.values()} == {500}


def test_of_errors_only_our_own_words_are_told() -> None:
    """Google quotes values of rows, and texts of statements."""
    said = "Could not cast literal 'ana@example.com' to type INT64; bad value: secret-4711"
    for reason in ("invalidQuery", "invalid", "backendError", "quotaExceeded", "stopped", "bytesBilledLimitExceeded"):
        error = errors.translate(Problem(400, reason, said), Target("p", "d", "t"))
        told = f"{logbook.said(error)} {logbook.about(error)}"
        assert "ana@" not in told
        assert "4711" not in told
        assert logbook.about(error)["reason"] == f"400 {reason}"
    assert logbook.said(error) != ""


def test_how_a_step_ended_is_told_by_what_happens_next() -> None:
    shelf = Shelf()
    book = shelf.book()
    with page(book).open():
        logbook.failed(ConflictError("run_taken_over", "Another process took the run over."))
        logbook.failed(Cancelled())
        try:
            raise ValueError("ana@example.com is no number")
        except ValueError as bug:
            logbook.failed(bug)
    book.flush()
    assert [line.level for line in shelf.lines] == ["warning", "info", "error"]
    assert shelf.lines[2].fields["kind"] == "ValueError"
    assert "ana@" not in str(shelf.lines[2])
