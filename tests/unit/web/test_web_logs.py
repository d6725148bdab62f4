"""The log of runs: no more is asked of a service than is shown, and what it tells is text."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from tidemill.app import App
from tidemill.schedules.lines import LineView
from tidemill.web import logs
from tidemill.web.logs import fetched
from tidemill.web.table import Asked

APP = cast("App", None)


def line(number: int, **fields: Any) -> LineView:
    at = dt.datetime(2026, 1, 31, 6, 0, 1, tzinfo=dt.UTC)
    return LineView(number, at, "3", 1, "warning", "load", f"<b>Line</b> {number}", fields, "host:1")


class Told:
    """A service with so many lines."""

    def __init__(self, count: int) -> None:
        self.lines = [line(number) for number in range(count)]
        self.asked: list[tuple[int | None, dict[str, Any]]] = []

    def __call__(self, _: App, run: int | None, wanted: dict[str, Any]) -> list[LineView]:
        """The newest."""
        self.asked.append((run, wanted))
        return self.lines[-wanted["limit"] :]


def test_the_newest_come_first_page_by_page() -> None:
    told = Told(25)
    first = fetched(told, APP, Asked(limit=10))
    assert ([one.id for one in first.rows], first.next) == (list(range(24, 14, -1)), "10")
    last = fetched(told, APP, Asked(limit=10, cursor="20"))
    assert ([one.id for one in last.rows], last.next) == ([4, 3, 2, 1, 0], "")
    assert [wanted["limit"] for _, wanted in told.asked] == [11, 31]


def test_what_is_searched_is_asked_of_the_service() -> None:
    told = Told(1)
    filters = {"run": "12", "level": "error", "search": "quota"}
    fetched(told, APP, Asked(limit=10, filters=filters))
    fetched(told, APP, Asked(limit=10, filters={"run": "the last"}))
    wanted = {"level": "error", "search": "quota", "limit": 11}
    assert told.asked == [(12, wanted), (None, {"level": None, "search": None, "limit": 11})]


def test_a_cursor_that_is_none_begins_at_the_newest_and_one_that_is_too_far_has_an_end() -> None:
    told = Told(3)
    assert len(fetched(told, APP, Asked(limit=10, cursor="-5")).rows) == 3
    assert fetched(told, APP, Asked(limit=10, cursor="999999999")).rows == []
    assert max(wanted["limit"] for _, wanted in told.asked) <= 10_001


def test_what_was_told_is_text_with_numbers_and_what_to_do() -> None:
    cells = {column.key: str(column.cell(line(1, rows=5, hint="<i>Wait</i>", job=""))) for column in _columns()}
    assert "&lt;b&gt;Line&lt;/b&gt; 1" in cells["message"]
    assert "rows 5" in cells["message"]
    assert "job" not in cells["message"]
    assert "&lt;i&gt;Wait&lt;/i&gt;" in cells["message"]
    assert 'datetime="2026-01-31T06:00:01.000+00:00"' in cells["at"]
    assert cells["run"] == "3"


def _columns() -> Any:
    return logs.columns(by_run=True)
