"""What workers do of files of events: loaded, tried again, given up, stopped; and the files go when they are done."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.errors import ConfigError, UnavailableError
from tidemill.events.load import LoadProgress, Result
from tidemill.events.upload_queue import UploadQueue


@dataclasses.dataclass(frozen=True)
class Upload:
    """A row of the repository."""

    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    file: str = "export.json.gz"
    format: str = "auto"
    team_id: int | None = None
    mapping: dict[str, str] = dataclasses.field(default_factory=dict)
    bytes: int = 100
    tries: int = 1


class Book:
    """The repository: what it was told. `goes_on`: whether the load is to."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.ended: list[dict[str, Any]] = []
        self.later: list[tuple[int, dict[str, str] | None]] = []
        self.given_up: list[uuid.UUID] = []
        self.left: list[Upload] = []
        self.goes_on, self.is_ours = True, True

    def progress(self, _: Upload, *, bytes_read: int, rows: int) -> bool:
        self.told.append((bytes_read, rows))
        return self.goes_on

    def done(self, _: Upload, **ended: Any) -> bool:
        self.ended.append(ended)
        return self.is_ours

    def again(self, _: Upload, __: dt.datetime, tries: int, error: dict[str, str] | None) -> None:
        self.later.append((tries, error))

    def abandon(self, _: str) -> list[Upload]:
        return self.left

    def give_up(self, upload_id: uuid.UUID, _: Any) -> None:
        self.given_up.append(upload_id)


class Files:
    """The files: which were deleted."""

    def __init__(self) -> None:
        self.deleted: list[uuid.UUID] = []

    @contextlib.contextmanager
    def opened(self, _: uuid.UUID) -> Iterator[Path]:
        yield Path("/spool/file")

    def delete(self, upload_id: uuid.UUID) -> None:
        self.deleted.append(upload_id)


class Events:
    """What loads: tells its progress, and ends as it is said."""

    def __init__(self, ends: Callable[[], Result]) -> None:
        self.ends, self.asked = ends, dict[str, Any]()

    def load(self, file: str, format_name: str, *, progress: Callable[[LoadProgress], None], **asked: Any) -> Result:
        self.asked = {"file": file, "format": format_name, **asked}
        progress(LoadProgress(file, 40, 100, 3, 0.1))
        return self.ends()


RESULT = Result("export.json.gz", "posthog", 7, 1, 2, 0.5, notes=("Read as posthog.",))


def done(result: Result = RESULT, stopping: bool = False, book: Book | None = None) -> tuple[Book, Files, Events]:
    return performed(lambda: result, stopping=stopping, book=book)


def performed(
    ends: Callable[[], Result], *, stopping: bool = False, book: Book | None = None, tries: int = 1
) -> tuple[Book, Files, Events]:
    made, files, events = book or Book(), Files(), Events(ends)
    queue = UploadQueue(made, files, lambda: events, lambda: stopping, 0)  # type: ignore[arg-type,return-value]
    queue.perform(Upload(tries=tries))
    return made, files, events


def failing(error: Exception) -> Callable[[], Result]:
    def ends() -> Result:
        raise error

    return ends


def test_a_file_is_loaded_under_its_own_name_and_goes() -> None:
    book, files, events = done()
    assert (events.asked["file"], events.asked["name"]) == ("/spool/file", "export.json.gz")
    assert book.told == [(40, 3), (100, 7)]
    (ended,) = book.ended
    assert (
        ended["result"] | {"format": "posthog", "duplicates": 1, "rejects": 2, "already_loaded": False}
        == ended["result"]
    )
    assert len(files.deleted) == 1


@pytest.mark.parametrize("error", [ConfigError("file_broken", "It is cut off."), RuntimeError("a bug")])
def test_one_that_cannot_be_loaded_says_why_and_goes(error: Exception) -> None:
    book, files, _ = performed(failing(error))
    assert book.ended[0]["error"]["code"] in {"file_broken", "bug"}
    assert len(files.deleted) == 1


def test_what_may_pass_is_tried_again_with_the_same_file() -> None:
    book, files, _ = performed(failing(UnavailableError("disk_full", "There is no room.")), tries=2)
    assert (book.later[0][0], book.ended, files.deleted) == (2, [], [])
    assert book.later[0][1] is not None


def test_a_server_that_stops_leaves_it_to_the_next() -> None:
    book, files, _ = done(stopping=True)
    assert (book.later, book.ended, files.deleted) == ([(0, None)], [], [])


def test_one_that_is_cancelled_is_over_and_goes() -> None:
    book = Book()
    book.goes_on = False
    _, files, _ = done(book=book)
    assert (book.ended, len(files.deleted)) == ([{}], 1)


def test_who_has_lost_it_leaves_the_file_to_the_other() -> None:
    book = Book()
    book.goes_on = book.is_ours = False
    _, files, _ = done(book=book)
    assert files.deleted == []


def test_one_that_workers_die_of_is_given_up() -> None:
    book, files = Book(), Files()
    book.left = [Upload(tries=1), Upload(tries=3)]
    queue = UploadQueue(book, files, lambda: None, lambda: False)  # type: ignore[arg-type,return-value]
    assert queue.abandon("w") == 2
    assert book.given_up == files.deleted == [book.left[1].id]
