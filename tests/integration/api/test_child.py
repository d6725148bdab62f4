"""A process that a server keeps running: it is replaced when it ends, and never waited for without end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tidemill.api import child
from tidemill.api.child import Child
from tidemill.errors import UnavailableError


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """A module of this text, which children can run."""
    (folder / "some_child.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "some_child"


class Pauses(threading.Event):
    """Notes how long is waited for it, and is set after so many times."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.asked: list[float] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0.0)
        if len(self.asked) >= self._most:
            self.set()
        return self.is_set()


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = "import threading; print('ready', flush=True); threading.Event().wait()"
    monkeypatch.setattr(child, "_STOP_SECONDS", 0.1)
    one = Child("child", module(tmp_path, monkeypatch, hangs))
    one.start()
    one.stop()
    assert one._process is not None
    assert one._process.returncode == -9


def test_one_that_ends_when_it_is_told_to_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = "import sys; print('ready', flush=True); sys.stdin.read()"
    one = Child("child", module(tmp_path, monkeypatch, ends))
    one.start()
    one.stop()
    assert one._process is not None
    assert one._process.returncode == 0


def test_one_that_ends_at_once_is_begun_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Child("child", module(tmp_path, monkeypatch, "print('ready', flush=True)"))
    pauses = one._stopping = Pauses(10)
    one.start()
    one._watching.join()
    assert pauses.asked == sorted(pauses.asked)
    assert pauses.asked[:3] == pytest.approx([0.2, 0.4, 0.8])
    assert pauses.asked[-1] == child._AGAIN_AT_MOST
    one.stop()


def test_one_that_does_not_begin_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Child("writer", module(tmp_path, monkeypatch, "raise SystemExit(3)"))
    with pytest.raises(UnavailableError, match="writer"):
        one.start()
