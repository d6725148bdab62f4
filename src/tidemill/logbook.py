"""The logbook: what is told of a run while it is at work, line by line, by whichever part does the work.

Whoever does something for a run opens its page: ``with book.page(run_id=…).open():``. What is told in the block by
`info` and the like, also far below, where BigQuery is asked once more, goes to that page; where none is open, it goes
nowhere. Lines are gathered, and a thread has them kept in small batches: to tell one costs microseconds, and a database
that is away fails no run.

A line says what was done, with ids and numbers. It holds no rows, no keys, no SQL, and of errors only our own words.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import datetime as dt
import functools
import itertools
import logging
import os
import re
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

from tidemill.errors import Cancelled, TidemillError, UnavailableError

P = ParamSpec("P")
T = TypeVar("T")
Value = str | int | float | bool | None

_log = logging.getLogger(__name__)
#: By how much they matter.
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
#: What a line may have: characters of a text, and fields.
_MOST_TEXT, _MOST_FIELDS = 500, 16
#: Lines that are held while the database is away, and that are kept at once.
_MOST_HELD, _AT_ONCE = 10_000, 500
#: Lines are gathered for so long; longer and longer while the database does not answer.
_GATHERS_SECONDS, _LONGEST_SECONDS = 0.5, 30.0
#: After so many lines of a run it is seen to that not too many are kept of it; of so many runs it is known how many.
_LOOKS_AFTER, _COUNTS = 1_000, 5_000
_CLOSES_WITHIN_SECONDS = 15.0
#: What says that another process goes on with a run.
_LEFT = {"worker_lost", "run_taken_over"}
_QUOTED = re.compile(r"(?<!\w)(['\"]).*?\1(?!\w)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Line:
    """One line. Without a run it is of the export: of what comes before a run, or between two."""

    at: dt.datetime
    level: str
    step: str
    message: str
    fields: dict[str, Value]
    run_id: uuid.UUID | None
    export_id: uuid.UUID | None
    attempt: int | None
    #: Who told it: host and process.
    process: str

    @property
    def owner(self) -> uuid.UUID | None:
        """Whose it is."""
        return self.run_id or self.export_id


class Book:
    """Keeps lines. One a process and installation; it may be used by several threads."""

    def __init__(
        self,
        keep: Callable[[Sequence[Line]], None],
        trim: Callable[[uuid.UUID], None],
        level: str = "info",
        gathers: float = _GATHERS_SECONDS,
    ) -> None:
        """`keep` stores lines; `trim` sees that not too many are kept of a run, or of an export; `level`: what matters
        less is not told."""
        self._keep, self._trim, self._gathers = keep, trim, gathers
        self._least = LEVELS[level]
        self._lines: collections.deque[Line] = collections.deque()
        self._counts: collections.Counter[uuid.UUID] = collections.Counter()
        self._lost = 0
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._there, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def page(
        self,
        *,
        run_id: uuid.UUID | None = None,
        export_id: uuid.UUID | None = None,
        attempt: int | None = None,
        step: str = "",
        chunk: int | None = None,
    ) -> Page:
        """The page of a run, or of an export."""
        return Page(self, run_id, export_id, attempt, step, chunk)

    def add(self, line: Line) -> None:
        """Have a line kept, soon."""
        if LEVELS[line.level] < self._least:
            return
        with self._guard:
            if len(self._lines) >= _MOST_HELD:
                self._lost += 1
                return
            self._lines.append(line)
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._write, name="tidemill-logbook", daemon=True)
                self._thread.start()
        self._there.set()

    def flush(self) -> bool:
        """Have all kept, now. Whether that was done: the database may be away."""
        with self._writing:
            while batch := self._first():
                try:
                    self._keep(batch)
                except UnavailableError:
                    return False
                except Exception:  # noqa: BLE001 - whatever it is, it fails no run, and stands in the way of no other line
                    _log.exception("lines of runs cannot be kept")
                    self._lost += len(batch)
                for _ in batch:
                    self._lines.popleft()
                self._count(batch)
            if self._lost:
                _log.warning("%d lines of runs were not kept", self._lost)
                self._lost = 0
        return True

    def _first(self) -> list[Line]:
        with self._guard:
            return list(itertools.islice(self._lines, _AT_ONCE))

    def close(self) -> bool:
        """Have all kept, if that can be done, and keep nothing any more. Whether there was ever anything."""
        self._closing.set()
        self._there.set()
        if self._thread is not None:
            self._thread.join(_CLOSES_WITHIN_SECONDS)
        if self._lines and not self.flush():
            _log.warning("%d lines of runs were not kept: the database does not answer", len(self._lines))
            self._lines.clear()
        return self._thread is not None

    def _write(self) -> None:
        pause = self._gathers
        while not self._closing.is_set():
            self._there.wait()
            self._closing.wait(pause)  # more may come, and is kept with it
            self._there.clear()
            if self._closing.is_set():
                return
            if self.flush():
                pause = self._gathers
            else:
                pause = min(pause * 2, _LONGEST_SECONDS)
                self._there.set()

    def _count(self, batch: Sequence[Line]) -> None:
        """Of runs that have told much, too much may be kept by now."""
        if len(self._counts) > _COUNTS:
            self._counts.clear()
        self._counts.update(line.owner for line in batch if line.owner is not None)
        for owner in {line.owner for line in batch}:
            if owner is not None and self._counts[owner] >= _LOOKS_AFTER:
                self._counts[owner] = 0
                with contextlib.suppress(TidemillError):
                    self._trim(owner)


@dataclasses.dataclass
class Page:
    """Where lines go: a run, or an export; and the step that is at work."""

    book: Book
    run_id: uuid.UUID | None
    export_id: uuid.UUID | None
    attempt: int | None
    step: str
    chunk: int | None
    began: float = dataclasses.field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def open(self) -> Iterator[Page]:
        """What is told in the block goes here."""
        before = _OPEN.set(self)
        try:
            yield self
        finally:
            _OPEN.reset(before)

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return round(time.monotonic() - self.began, 3)

    def tell(self, level: str, message: str, **fields: Value) -> None:
        """A line. Fields without a value are left out."""
        found: dict[str, Value] = {} if self.chunk is None else {"chunk": self.chunk}
        for name, value in fields.items():
            if value is not None and len(found) < _MOST_FIELDS:
                found[name] = _cut(value) if isinstance(value, str) else value
        self.book.add(
            Line(
                at=dt.datetime.now(dt.UTC),
                level=level,
                step=self.step,
                message=_cut(message),
                fields=found,
                run_id=self.run_id,
                export_id=None if self.run_id else self.export_id,
                attempt=self.attempt,
                process=_process(),
            )
        )


_OPEN: contextvars.ContextVar[Page | None] = contextvars.ContextVar("tidemill_page", default=None)


def debug(message: str, **fields: Value) -> None:
    """Of what only who looks for a fault wants to know."""
    _tell("debug", message, fields)


def info(message: str, **fields: Value) -> None:
    """Of what was done."""
    _tell("info", message, fields)


def warning(message: str, **fields: Value) -> None:
    """Of what went wrong, and may pass."""
    _tell("warning", message, fields)


def failed(error: Exception) -> None:
    """Of a step that cannot go on."""
    page = _OPEN.get()
    if page is None:
        return
    if not isinstance(error, TidemillError):
        page.tell("error", "This is a bug in Tidemill.", code="bug", kind=type(error).__name__, where=_where(error))
    elif error.code in _LEFT:
        page.tell("warning", "Another process may go on with the run: this one leaves it.", **about(error))
    elif isinstance(error, Cancelled):
        page.tell("info", "It was cancelled.", seconds=page.seconds)
    else:
        page.tell("error", said(error), **about(error), seconds=page.seconds)


def at(step: str) -> None:
    """From now on, the open page is at this step."""
    page = _OPEN.get()
    if page is not None:
        page.step, page.began = step, time.monotonic()


def turn_to(run_id: uuid.UUID | None) -> None:
    """From now on, the open page is that of another run; None: of no run, but of its export."""
    page = _OPEN.get()
    if page is not None:
        page.run_id = run_id


def seconds() -> float | None:
    """How long the step is at work."""
    page = _OPEN.get()
    return page.seconds if page else None


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The function, for another thread: what it tells goes to the page that is open here, and to the span."""
    here = contextvars.copy_context()

    def carrying(*arguments: P.args, **named: P.kwargs) -> T:
        return here.copy().run(function, *arguments, **named)

    return carrying


def about(error: TidemillError) -> dict[str, Value]:
    """The fields of an error: its code, what to do, and BigQuery's status and reason, if it is BigQuery's."""
    found = re.match(r"(\d{3} ?\w*): ", error.raw)
    return {"code": error.code, "hint": error.hint or None, "reason": found[1] if found else None}


def said(error: TidemillError) -> str:
    """What an error says, in our own words: those of others, which may hold values of rows, are left out."""
    if not error.raw:
        return error.message
    return _QUOTED.sub(r"\1…\1", error.message.partition(": ")[0])


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"


def _tell(level: str, message: str, fields: dict[str, Value]) -> None:
    page = _OPEN.get()
    if page is not None:
        page.tell(level, message, **fields)


def _where(error: Exception) -> str:
    """The innermost places of ours that an error went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}tidemill{os.sep}" in frame[0]]
    return " < ".join(f"{frame.filename.rpartition(os.sep)[2]}:{frame.lineno}" for frame in reversed(frames[-4:]))


@functools.cache
def _host() -> str:
    return socket.gethostname()


def _process() -> str:
    return f"{_host()}:{os.getpid()}"
