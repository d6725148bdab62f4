"""Turns: so many requests are answered at once; those that wait for others are others' trouble alone."""

from __future__ import annotations

import asyncio
from typing import Any

from tidemill.api.v1.bodies import TURN, Guarded

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
        assert begun.count("slow") == 2
        go_on.set()
        await asyncio.gather(*waiting)
        assert begun.count("slow") == 5
        assert (guarded._turns._value, guarded._slow._value) == (4, 2)

    asyncio.run(all_of_them())
