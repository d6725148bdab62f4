"""Turns: so many requests are answered at once; those that wait for others are others' trouble alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidemill.api.v1 import turns
from tidemill.api.v1.bodies import Guarded
from tidemill.api.v1.problems import ProblemError
from tidemill.api.v1.turns import TURN

_SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: Any) -> None:
    return


def test_slow_ones_and_streams_leave_room_for_quick_ones() -> None:
    async def all_of_them() -> None:
        go_on = asyncio.Event()
        begun: list[str] = []

        async def answer(scope: Any, *_: Any) -> None:
            kind = scope["path"]
            if kind == "slow":
                await scope[TURN].slow_down()
            elif kind == "stream":
                scope[TURN].leave()
            begun.append(kind)
            if kind != "quick":
                await go_on.wait()

        guarded = Guarded(answer, 60)

        def ask(kind: str) -> asyncio.Task[None]:
            return asyncio.create_task(guarded({**_SCOPE, "path": kind}, receive, send))

        waiting = [ask(kind) for kind in ["slow"] * 5 + ["stream"] * 20]
        await asyncio.gather(*(ask("quick") for _ in range(10)))
        assert begun.count("quick") == 10
        assert begun.count("stream") == 20
        assert begun.count("slow") == 4
        go_on.set()
        await asyncio.gather(*waiting)
        assert begun.count("slow") == 5
        assert (guarded._turns.quick._value, guarded._turns.slow._value) == (4, 4)

    asyncio.run(all_of_them())


class Answer:
    """What a request is told; `reads`: whether anybody takes it."""

    def __init__(self, *, reads: bool = True) -> None:
        self._reads, self.told = reads, list[Any]()
        self.sent = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.sent.set()
        if not self._reads:
            await asyncio.Event().wait()
        self.told.append(message)

    @property
    def status(self) -> int:
        return int(self.told[0]["status"])


START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def answering(scope: Any, _receive: Any, send: Any) -> None:
    """Slow ones are those of a caller; a download has several pieces."""
    kind, _, caller = scope["path"].partition("/")
    if kind == "slow":
        await scope[TURN].slow_down(caller)
    await send(START)
    if kind == "download":
        await send(piece(b"a", more=True))
        await send(piece(b"b", more=True))
    await send(piece(b"c"))


def test_who_does_not_read_holds_nothing() -> None:
    async def all_of_them() -> None:
        guarded = Guarded(answering, 60)
        unread = [Answer(reads=False) for _ in range(30)]
        paths = ["quick", "slow/a", "download"] * 10
        tasks = [
            asyncio.create_task(guarded({**_SCOPE, "path": path}, receive, one.send))
            for path, one in zip(paths, unread, strict=True)
        ]
        await asyncio.gather(*(one.sent.wait() for one in unread))
        for path in ("quick", "slow/a", "download"):
            read = Answer()
            await asyncio.wait_for(guarded({**_SCOPE, "path": path}, receive, read.send), 60)
            assert read.status == 200
            assert read.told[-1] == piece(b"c")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (guarded._turns.quick._value, guarded._turns.slow._value, guarded._turns.downloads) == (4, 4, 0)

    asyncio.run(all_of_them())


def test_downloads_that_have_begun_are_bounded() -> None:
    async def all_of_them() -> None:
        guarded = Guarded(answering, 60)
        unread = [Answer(reads=False) for _ in range(16)]
        scope = {**_SCOPE, "path": "download"}
        tasks = [asyncio.create_task(guarded(scope, receive, one.send)) for one in unread]
        await asyncio.gather(*(one.sent.wait() for one in unread))
        refused = Answer()
        await guarded(scope, receive, refused.send)
        assert refused.status == 503
        assert (b"retry-after", b"5") in refused.told[0]["headers"]
        for task in tasks:
            task.cancel()

    asyncio.run(all_of_them())


def test_a_caller_has_one_slow_call_at_a_time_and_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)

    async def all_of_them() -> None:
        pool = turns.Turns()
        first, second, another = turns.Turn(pool), turns.Turn(pool), turns.Turn(pool)
        async with first:
            await first.slow_down("airflow")
            async with second:
                with pytest.raises(ProblemError) as caught:
                    await second.slow_down("airflow")
            assert (caught.value.problem.status, caught.value.headers) == (429, {"retry-after": "5"})
            async with another:
                await another.slow_down("dagster")
        async with second:
            await second.slow_down("airflow")
        assert (pool.quick._value, pool.slow._value) == (4, 4)

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("path", "query"), [("/persons", b"distinct_id=%00"), ("/persons", b"a=%ED%A0%80"), ("/exports/a\0", b"")]
)
def test_a_parameter_that_is_no_text_is_refused(path: str, query: bytes) -> None:
    told = Answer()
    scope = {**_SCOPE, "path": path, "query_string": query}
    asyncio.run(Guarded(answering, 60)(scope, receive, told.send))
    assert told.status == 422
    assert b"request_invalid" in told.told[1]["body"]
