"""DuckDB ends itself when it meets an error of its own: who asks next has another one."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pytest
from tests.installation import write_events

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.events import lake
from tidemill.events.lake import Held, Lake, Place
from tidemill.settings import Settings


def test_the_store_is_opened_anew(tmp_path: Path) -> None:
    with App(Settings(home=tmp_path)) as app:
        before = app.lake._opened()
        with pytest.raises(UnavailableError, match="error of its own") as raised, app.lake.cursor():
            raise duckdb.FatalException("FATAL Error: Failed: database has been invalidated")
        assert raised.value.code == "event_store_broken"
        assert "invalidated" in raised.value.raw
        assert app.lake.position() == 0
        assert app.lake._opened() is not before


def test_one_that_was_left_already_is_not_left_again(tmp_path: Path) -> None:
    with App(Settings(home=tmp_path)) as app:
        with pytest.raises(UnavailableError), app.lake.cursor():
            with pytest.raises(UnavailableError), app.lake.cursor():
                raise duckdb.InternalException("INTERNAL Error")
            after = app.lake._opened()
            raise duckdb.FatalException("FATAL Error")
        assert app.lake._opened() is after


def test_who_waits_for_a_turn_then_opens_nothing_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open the store takes a turn, too: it would be waited for for ever."""
    asked, original = threading.Event(), Lake.turn

    def turn(lake: Lake) -> AbstractContextManager[Held]:
        asked.set()
        return original(lake)

    with App(Settings(home=tmp_path)) as app:
        lake = app.lake
        prepared = lake.prepare([])
        with lake.turn(), monkeypatch.context() as patch:
            patch.setattr(Lake, "turn", turn)
            thread = threading.Thread(target=lake.append, args=[prepared, Place("file", 1)], daemon=True)
            thread.start()
            assert asked.wait(60)
            lake._leave(lake._opened())
        thread.join(60)
        assert not thread.is_alive()
        assert lake.resume_after("file") == 1


def test_it_is_opened_anew_now_and_then_and_goes_on_with_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DuckDB does not forget would grow for ever. Whoever has a cursor just then keeps it."""
    monkeypatch.setattr(lake, "_CURSORS", 10)
    file = tmp_path / "events.jsonl"
    with App(Settings(home=tmp_path / "home", commit_rows=5)) as app:
        uuids = write_events(file, 100)
        seen = [app.lake._opened()]
        with app.lake.cursor() as kept:
            for _ in range(3):
                app.events.load(str(file))
                seen.append(app.lake._opened())
                file.write_text(file.read_text() + "\n")  # another file, with the same events
            assert kept.execute("SELECT count(*) FROM lake.events").fetchall() == [(100,)]
        assert seen[-1] is not seen[0]
        with app.lake.cursor() as cursor:
            found = cursor.execute("SELECT uuid FROM lake.events ORDER BY uuid").fetchall()
        assert [uuid for (uuid,) in found] == uuids
