"""Bodies: of a sensible size, of few kinds; large ones are few, for who sends them is not known before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tidemill.api.v1.bodies import Guarded

PLAN, ELSEWHERE = "/api/v1/configuration/plan", "/api/v1/exports"
KILOBYTE = 1024


class Sender:
    """A request, and what it was answered."""

    def __init__(self, path: str, size: int) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(b"content-type", b"application/json")],
        }
        self._left, self.told = size, list[Any]()

    async def receive(self) -> dict[str, Any]:
        part = min(self._left, 32 * KILOBYTE)
        self._left -= part
        return {"type": "http.request", "body": b"x" * part, "more_body": self._left > 0}

    async def send(self, message: Any) -> None:
        self.told.append(message)

    @property
    def status(self) -> int:
        return int(self.told[0]["status"])


async def answered(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps([scope["path"], len(body)]).encode()})


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        (ELSEWHERE, 64 * KILOBYTE, 200),
        (ELSEWHERE, 64 * KILOBYTE + 1, 413),
        (PLAN, 1024 * KILOBYTE, 200),
        (PLAN, 1024 * KILOBYTE + 1, 413),
    ],
)
def test_a_body_is_bounded_by_what_is_asked(path: str, size: int, status: int) -> None:
    sender = Sender(path, size)
    asyncio.run(Guarded(answered, 60)(sender.scope, sender.receive, sender.send))
    assert sender.status == status


def test_large_bodies_are_few_and_give_their_room_back() -> None:
    async def asked() -> None:
        go_on = asyncio.Event()

        async def waiting(scope: Any, receive: Any, send: Any) -> None:
            await go_on.wait()
            await answered(scope, receive, send)

        guarded = Guarded(waiting, 60)
        guarded._room.left = 2 * 1024 * KILOBYTE
        large, small = [Sender(PLAN, 100 * KILOBYTE) for _ in range(3)], Sender(ELSEWHERE, KILOBYTE)
        tasks = [asyncio.create_task(guarded(one.scope, one.receive, one.send)) for one in (*large, small)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        refused = [one for one in large if one.told]
        assert [one.status for one in refused] == [503]
        assert (b"retry-after", b"5") in refused[0].told[0]["headers"]
        go_on.set()
        await asyncio.gather(*tasks)
        assert sorted(one.status for one in (*large, small)) == [200, 200, 200, 503]
        assert guarded._room.left == 2 * 1024 * KILOBYTE

    asyncio.run(asked())
