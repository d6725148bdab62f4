"""Who guesses passwords slows nobody down: sign-in has threads of its own, and a short queue."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tidemill.errors import RetryableError
from tidemill.web import turns


def test_of_one_address_some_are_looked_at_and_the_rest_comes_again_while_others_sign_in() -> None:
    goes_on, threads = threading.Event(), set()

    def work() -> str:
        threads.add(threading.current_thread().name)
        assert goes_on.wait(60)
        return "in"

    async def whole() -> None:
        lane = turns.Turns()
        waiting = [asyncio.ensure_future(lane.run("192.0.2.7", work)) for _ in range(turns._OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(RetryableError, match="Too many people"):
            await lane.run("192.0.2.7", work)
        others = [asyncio.ensure_future(lane.run(str(one), work)) for one in range(turns._MOST - turns._OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(RetryableError):
            await lane.run("192.0.2.8", work)
        assert await asyncio.to_thread(lambda: "read") == "read", "all else has other threads"
        goes_on.set()
        assert set(await asyncio.gather(*waiting, *others)) == {"in"}
        assert len(threads) <= turns._THREADS
        await asyncio.sleep(0)
        assert await lane.run("192.0.2.7", work) == "in"
        await asyncio.sleep(0)
        assert not lane._of

    asyncio.run(whole())
