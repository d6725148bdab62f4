"""Events and people as pages show them: what came last first, over time, and since when a property is as it is."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation

from tidemill.app import App
from tidemill.errors import ConfigError, NotFoundError
from tidemill.paging import Wanted

_NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def load(app: App, folder: Path, name: str, events: list[dict[str, Any]]) -> None:
    """Events of PostHog's, each a minute after the one before."""
    lines = [
        {"uuid": f"{name}-{number}", "timestamp": (_NOW - dt.timedelta(minutes=90 - number)).isoformat(), **event}
        for number, event in enumerate(events)
    ]
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), "posthog").rejects == 0


def test_pages_of_events_have_each_once_those_that_came_last_first(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        load(app, tmp_path, "first", [{"event": "a", "distinct_id": f"u{number % 3}"} for number in range(7)])
        load(app, tmp_path, "second", [{"event": "b", "distinct_id": "u1"} for _ in range(4)])
        seen, cursor = list[Any](), None
        while True:
            page = app.events.page(Wanted(cursor, 3))
            seen += page.items
            cursor = page.next
            if cursor is None:
                break
        assert [one["event"] for one in seen] == ["b"] * 4 + ["a"] * 7
        assert len({one["uuid"] for one in seen}) == 11
        assert len(app.events.page(Wanted(), distinct_ids=("u1", "u2")).items) == 8
        with pytest.raises(ConfigError):
            app.events.page(Wanted(app.events.page(Wanted(limit=2)).next), event="b")


def test_a_timeline_names_the_most_frequent_and_sums_up_the_others(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        names = ["a"] * 5 + ["b"] * 3 + ["c", "d"]
        load(app, tmp_path, "events", [{"event": name, "distinct_id": "u"} for name in names])
        sums: dict[str | None, int] = {}
        for _, name, number in app.events.timeline(days=2, by="hour", names=2):
            sums[name] = sums.get(name, 0) + number
        assert sums == {"a": 5, "b": 3, None: 2}
        with pytest.raises(ConfigError):
            app.events.timeline(days=2, by="month")


def test_a_property_is_as_old_as_the_first_event_since_when_it_is_so(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        identify = {"$anon_distinct_id": "device", "$set": {"plan": "free"}}
        said = [
            {"event": "seen", "distinct_id": "device", "properties": {"$set_once": {"first": "/"}}},
            {"event": "$identify", "distinct_id": "ana", "properties": identify},
            {"event": "paid", "distinct_id": "ana", "properties": {"$set": {"plan": "pro"}}},
            {"event": "seen", "distinct_id": "ana", "properties": {"$set": {"plan": "pro"}}},
        ]
        load(app, tmp_path, "events", said)
        found = app.identity.history(1, "device")
        start = _NOW - dt.timedelta(minutes=90)
        assert [(one.name, one.value, one.event, one.changed_at) for one in found.properties] == [
            ("first", "/", "seen", start),
            ("plan", "pro", "paid", start + dt.timedelta(minutes=2)),
        ]
        assert [(one.event, one.distinct_id, one.other) for one in found.merges] == [("$identify", "ana", "device")]
        with pytest.raises(NotFoundError):
            app.identity.history(1, "nobody")
