"""Marks: numbers and times as people read them, and nothing of others that would be markup."""

from __future__ import annotations

import datetime as dt

import pytest
from markupsafe import Markup

from tidemill.errors import ConfigError
from tidemill.web import chart, marks, notices

EVIL = '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    "mark",
    [
        marks.badge(EVIL),
        marks.copy(EVIL),
        marks.short_id(EVIL),
        marks.command(EVIL),
        marks.thing("/exports", EVIL),
        marks.link(EVIL, "/"),
        marks.muted(EVIL),
        marks.tags([EVIL]),
        marks.facts([(EVIL, EVIL)]),
        marks.figure(EVIL, EVIL, EVIL, path="/"),
        marks.empty(EVIL, EVIL),
        marks.panel(EVIL, EVIL),
        marks.goto(EVIL, EVIL),
        marks.hint(EVIL),
        marks.hint(f"tidemill {EVIL}"),
        marks.join([EVIL, Markup("<br>")], EVIL),
        marks.progress(1, 2, unit=EVIL),
        notices.mark(ConfigError(EVIL, EVIL, hint=EVIL)),
    ],
)
def test_what_others_have_written_is_text(mark: Markup) -> None:
    assert "<script" not in mark
    assert '">&' not in mark.replace('">&#34;&gt;', "")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (12_345_678_901, "12.3 GB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert f">{text}<" in marks.size(count)
    assert f"{count:,} bytes" in marks.size(count)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (266_400, "3 d 2 h"),
        (None, "–"),
    ],
)
def test_spans(seconds: float | None, text: str) -> None:
    assert marks.span(seconds) == text


def test_a_time_is_that_of_utc_until_the_browser_knows_its_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    mark = marks.when(dt.datetime(2026, 11, 27, 9, 30, tzinfo=zone))
    assert 'datetime="2026-11-27T07:30:00+00:00"' in mark
    assert "2026-11-27 07:30 UTC" in mark


def test_a_chart_says_when_nothing_is_known() -> None:
    def is_said(*values: float | None) -> bool:
        times = [dt.datetime.now(dt.UTC)] * len(values)
        shown: bool = chart._options(times, [chart.Series("lag", values)], "bar", stacked=False)["title"]["show"]
        return shown

    assert is_said(None, None)
    assert not is_said(None, 0)


def test_how_long_it_will_take_is_told_when_a_rate_is_known() -> None:
    assert "about 50 s left" in marks.progress(500, 1_000, rate=10)
    assert "left" not in marks.progress(1_000, 1_000, rate=10)
    assert "value" not in marks.progress(1_000, None), "a bar without an end"


def test_a_series_of_a_chart_is_named_and_never_run() -> None:
    options = chart._options([dt.datetime.now(dt.UTC)], [chart.Series(":x", [1])], "bar", stacked=False)

    def keys(found: object) -> set[str]:
        if isinstance(found, dict):
            return set(found) | {key for value in found.values() for key in keys(value)}
        return {key for value in found for key in keys(value)} if isinstance(found, list) else set()

    assert not {key for key in keys(options) if key.startswith(":")}, "NiceGUI would run these as code"
