"""DuckDB ends itself when it meets an error of its own: who asks next has another one."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tidemill.app import App
from tidemill.errors import UnavailableError
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
