"""What takes long has threads of its own: pages are read meanwhile, and nobody has all of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.errors import ConflictError
from tidemill.web import visit
from tidemill.web.lane import Lane


class Work:
    """Something that is at work until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _: Any = None) -> str:
        self.begun.set()
        assert self.let_go.wait(60)
        return "done"


@pytest.fixture
def works() -> Iterator[list[Work]]:
    """So many that they fill a lane; at the end all are let go."""
    made = [Work() for _ in range(8)]
    yield made
    for work in made:
        work.let_go.set()


def looks(user: str, told: list[str]) -> Any:
    """A page that somebody has open."""
    return SimpleNamespace(
        user=SimpleNamespace(id=user),
        actor=SimpleNamespace(),
        renew=lambda: None,
        assert_open=lambda: None,
        waits=told.append,
    )


async def begun(work: Work) -> None:
    assert await asyncio.to_thread(work.begun.wait, 60)


def test_a_page_is_read_while_all_that_takes_long_is_at_work(
    works: list[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "acting", lambda app, _: app)
    app: Any = SimpleNamespace(exports="daily")
    sessions: Any = None
    visit.begin(app, sessions)
    told: list[str] = []

    async def whole() -> None:
        waiting = []
        for number, work in enumerate(works[: visit._SLOW]):
            monkeypatch.setattr(visit, "current", lambda user=number // 2: looks(str(user), told))
            waiting.append(asyncio.ensure_future(visit.slowly(work)))
            await begun(work)
        monkeypatch.setattr(visit, "current", lambda: looks("another", told))
        late = asyncio.ensure_future(visit.slowly(lambda _: "late"))
        for _ in range(20):
            assert str(await visit.call(lambda app: app.exports)) == "daily", "pages are read"
        assert told == ["It begins when something is done that others have begun."]
        assert not late.done()
        works[0].let_go.set()
        assert await late == "late"
        for work in works:
            work.let_go.set()
        assert await asyncio.gather(*waiting) == ["done"] * visit._SLOW

    asyncio.run(whole())


def test_somebody_has_some_at_work_some_that_wait_and_no_more(works: list[Work]) -> None:
    told: list[str] = []

    async def whole() -> None:
        lane = Lane(6, of_one=2, waiting=1)
        mine = [asyncio.ensure_future(lane.run("ana", work, told.append)) for work in works[:3]]
        await begun(works[0])
        await begun(works[1])
        assert told == ["It begins when one of the things is done that you began before."]
        assert not works[2].begun.is_set()
        with pytest.raises(ConflictError, match="3 things that you began"):
            await lane.run("ana", works[3], told.append)
        assert await lane.run("ben", lambda: "at once") == "at once", "others do not wait for it"
        works[0].let_go.set()
        await begun(works[2])
        for work in works:
            work.let_go.set()
        assert await asyncio.gather(*mine) == ["done"] * 3
        assert await lane.run("ana", lambda: "again") == "again"

    asyncio.run(whole())


def test_what_nobody_waits_for_any_more_leaves_its_place(works: list[Work]) -> None:
    async def whole() -> None:
        lane = Lane(2, of_one=1, waiting=1)
        first = asyncio.ensure_future(lane.run("ana", works[0]))
        await begun(works[0])
        second = asyncio.ensure_future(lane.run("ana", works[1]))
        await asyncio.sleep(0)
        for one in (first, second):
            one.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert not works[1].begun.is_set(), "it had not begun, and never does"
        third = asyncio.ensure_future(lane.run("ana", lambda: "third"))
        works[0].let_go.set()
        assert await third == "third"

    asyncio.run(whole())


def test_what_fails_leaves_its_place() -> None:
    async def whole() -> None:
        lane = Lane(1, of_one=1, waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await lane.run("ana", lambda: 1 // 0)
            await asyncio.sleep(0)
        assert await lane.run("ana", lambda: 1) == 1

    asyncio.run(whole())
