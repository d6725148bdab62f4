"""Files of events that were sent: where each machine finds them, wherever event data lies."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tidemill.errors import ConfigError, UnavailableError
from tidemill.events import filing
from tidemill.events.data.location import Bucket, Folder, Location
from tidemill.events.data.objects import FolderObjects, Object, missing
from tidemill.events.uploads import Received, UploadFiles

ID = uuid.UUID(int=1)
BUCKET = Bucket("s3", "company", "events", "https://s3.example.com", "eu", path_style=True)


class Kept:
    """The objects of a bucket."""

    place = "s3://company/events/"

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def list(self, under: str = "") -> Iterator[Object]:
        moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        yield from (
            Object(name, len(data), moment) for name, data in sorted(self.held.items()) if name.startswith(under)
        )

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.held:
            raise missing(self.place, name)
        yield io.BytesIO(self.held[name])

    def write(self, name: str, data: IO[bytes]) -> None:
        self.held[name] = data.read()

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.held.pop(name, None)


@dataclasses.dataclass
class Data:
    """Where event data lies."""

    location: Location
    objects: Any


@pytest.fixture(params=["folder", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> UploadFiles:
    folder = tmp_path / "events"
    data = (
        Data(Folder(folder, given=False), FolderObjects(folder)) if request.param == "folder" else Data(BUCKET, Kept())
    )
    return UploadFiles(tmp_path / "spool", data)  # type: ignore[arg-type]


def received(folder: Path, data: bytes) -> Received:
    path = folder / "came"
    with path.open("wb", buffering=0) as file:
        made = Received(path, file, 1_000)
        made.write(data)
    return made


def test_a_file_is_had_on_the_disk_until_it_is_deleted(files: UploadFiles, tmp_path: Path) -> None:
    files.keep(ID, received(tmp_path, b"events"))
    with files.opened(ID) as path:
        assert path.read_bytes() == b"events"
    files.delete(ID)
    with pytest.raises(ConfigError, match="not there any more"), files.opened(ID):
        pass
    assert list((tmp_path / "spool").glob("*")) == []


def test_others_are_removed_when_they_are_old(files: UploadFiles, tmp_path: Path) -> None:
    files.keep(ID, received(tmp_path, b"events"))
    later, sooner = dt.datetime(2100, 1, 1, tzinfo=dt.UTC), dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    assert files.remove_others([], sooner) == 0
    assert files.remove_others([ID], later) == 0
    assert files.remove_others([], later) == 1


def test_they_are_known_as_files_of_tidemill() -> None:
    """So that who moves an installation does not take them for somebody else's."""
    assert filing.is_own(filing.upload(ID))
    assert not filing.is_own("uploads/holiday.jpg")


def test_a_file_is_bounded_and_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="larger than 1,000 bytes"):
        received(tmp_path, b"x" * 1_001)
    full = type("Usage", (), {"free": 0})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(UnavailableError, match="no room"):
        received(tmp_path, b"x")
