"""Files that change while they are loaded: what is taken for loaded was loaded."""

from __future__ import annotations

import io
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.installation import write_events

from tidemill.app import App
from tidemill.errors import ConfigError
from tidemill.events.load import LoadProgress
from tidemill.settings import Settings

COUNT = 20_000


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Settings(home=tmp_path / "home", commit_rows=500))


def replaced(file: Path, other: Path) -> None:
    other.replace(file)


def overwritten(file: Path, other: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(other.read_bytes())


def cut(file: Path, _: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1000)


def at_first_progress(change: Callable[[], None]) -> Callable[[LoadProgress], None]:
    done: list[bool] = []

    def progress(_: LoadProgress) -> None:
        if not done:
            done.append(True)
            change()

    return progress


@pytest.mark.parametrize("change", [replaced, overwritten, cut])
def test_a_file_that_changes_while_it_loads_loses_no_event(
    app: App, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    file, copy, other, others = (tmp_path / name for name in ("f.jsonl", "a.jsonl", "b.jsonl", "b2.jsonl"))
    first = write_events(file, COUNT)
    copy.write_bytes(file.read_bytes())
    second = write_events(other, COUNT, first=COUNT)
    others.write_bytes(other.read_bytes())
    with app:
        try:
            loaded = app.events.load(str(file), progress=at_first_progress(lambda: change(file, other))).rows
        except ConfigError as error:
            assert error.code == "file_changed"
            loaded = int(app.events.count()[0][1])
        assert loaded == int(app.events.count()[0][1])
        assert app.events.load(str(copy)).rows + loaded == COUNT, "what is in is of the file that it is said to be"
        assert app.events.load(str(others)).rows == COUNT
        assert app.events.count() == [(None, len(first) + len(second))]


def test_a_file_that_is_replaced_before_it_is_opened_is_refused(tmp_path: Path) -> None:
    from tidemill.events import files, opening

    file, other = tmp_path / "f.jsonl", tmp_path / "b.jsonl"
    write_events(file, 10)
    write_events(other, 10, first=10)
    source = opening.open_source(str(file), tmp_path)
    other.replace(file)
    with pytest.raises(ConfigError, match="replaced"):
        list(files.Reader(source, 1_000_000))


def test_a_log_that_grows_is_read_to_where_it_ended_and_the_next_load_adds_the_rest(app: App, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    write_events(file, COUNT)
    line = json.dumps({"uuid": "late", "event": "e", "distinct_id": "u", "timestamp": "2026-01-01", "properties": {}})

    def grow() -> None:
        with file.open("a") as opened:
            opened.write(line + "\n")

    with app:
        assert app.events.load(str(file), progress=at_first_progress(grow)).rows == COUNT
        again = app.events.load(str(file))
        assert (again.rows, again.duplicates) == (1, COUNT)


class Interrupted:
    """Standard input at which Ctrl-C is typed."""

    def read(self, _: int) -> bytes:
        raise KeyboardInterrupt


def test_nothing_of_standard_input_is_left_behind(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = app.settings.home_path / "spool"
    with app:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(ConfigError, match="empty"):
            app.events.load("-")
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=Interrupted()))
        with pytest.raises(KeyboardInterrupt):
            app.events.load("-")
        assert not list(spool.iterdir())
        killed = spool / f"stdin-{os.uname().nodename}-{2**22 - 1}-x"  # of a process that is there no more
        killed.touch()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"event":"e","distinct_id":"u","uuid":"1"}')))
        assert app.events.load("-").rows == 1
        assert not list(spool.iterdir())
