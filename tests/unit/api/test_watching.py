"""One task looks for all who watch: they wait while it cannot, and it ends when nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest

from tidemill.api.v1 import events
from tidemill.api.v1.events import State, Watches
from tidemill.app import App


def test_a_look_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LOOKS_EVERY_SECONDS", 0.001)
    asked: list[set[Any]] = []

    def look(_app: App, keys: Collection[Any]) -> Mapping[Any, State]:
        asked.append(set(keys))
        if len(asked) < 3:
            raise OSError("the database is away")
        return {key: State({"rows": len(key)}, is_over=False) for key in keys}

    async def watch() -> None:
        watches = Watches(cast("App", None))
        first, second = events._Watcher(look, "a"), events._Watcher(look, "bb")
        with watches.watching(first), watches.watching(second):
            await asyncio.wait_for(asyncio.gather(first.news.wait(), second.news.wait()), 30)
            assert (first.state, second.state) == (State({"rows": 1}, False), State({"rows": 2}, False))
            task = watches._task
        assert task is not None
        await asyncio.wait_for(task, 30)
        with watches.watching(first):
            assert watches._task is not task
            assert not watches.is_full

    asyncio.run(watch())
    assert asked[:3] == [{"a", "bb"}] * 3


def test_an_event_is_known_by_what_it_tells() -> None:
    state = State({"name": "a\nb", "rows": 1}, is_over=False)
    assert state.id == State({"name": "a\nb", "rows": 1}, is_over=False).id != State({"rows": 2}, is_over=False).id
    lines = state.event.decode().split("\n")
    assert lines == [f"id: {state.id}", "event: progress", 'data: {"name":"a\\nb","rows":1}', "", ""]
    assert b"event: over" in State({}, is_over=True).event
