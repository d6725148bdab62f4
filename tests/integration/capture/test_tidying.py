"""A server keeps its store tidy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tidemill.app import App
from tidemill.capture import tidying
from tidemill.capture.tidying import Tidying
from tidemill.events.lake import Place
from tidemill.events.parse import to_arrow
from tidemill.settings import Settings


def commit(app: App, number: int, rows: int) -> None:
    ids = [f"{number}-{row}" for row in range(rows)]
    columns = {"uuid": ids, "event": ["x"] * rows, "distinct_id": ["a"] * rows, "properties": ["{}"] * rows}
    moments = [1_700_000_000_000_000] * rows
    table = to_arrow({**columns, "timestamp": moments}, rows, 1)
    app.lake.append(app.lake.prepare([table]), Place("test", number))


@pytest.mark.parametrize("rows", [1, 20])
def test_small_commits_become_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """The smallest ones make no file at first."""
    monkeypatch.setattr(tidying, "_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(tidying, "_FILES", 3)
    monkeypatch.setattr(tidying, "_LOOKS", 2)
    with App(Settings(home=tmp_path)) as app:
        for number in range(6):
            commit(app, number, rows)
        keeping = Tidying(app.lake)
        keeping.start()
        deadline = time.monotonic() + 120
        while files(app) != 1:
            assert time.monotonic() < deadline, "it was not joined"
        keeping.stop()
        assert app.events.count()[0][1] == 6 * rows


def files(app: App) -> int:
    with app.lake.cursor() as cursor:
        found = cursor.execute("SELECT count(*) FROM ducklake_list_files('lake', 'events')").fetchone()
    return int(found[0]) if found else 0
