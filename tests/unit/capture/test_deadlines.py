"""Whoever does not come in time is told so, and nobody else is."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.capture import deadlines
from tidemill.capture.deadlines import Deadline, Deadlines


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes as it is told to."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def pass_to(self, now: float) -> None:
        self.now = now
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> Iterator[Clock]:
    loop = Clock()
    yield loop
    loop.close()


@given(steps=st.lists(st.tuples(st.sampled_from(["add", "meet", "wait"]), st.integers(0, 20)), max_size=40))
def test_each_deadline_passes_at_its_time_unless_it_was_met(steps: list[tuple[str, int]]) -> None:
    loop = Clock()
    late: list[int] = []
    wanted: dict[int, float] = {}
    made: list[Deadline] = []
    expected: list[int] = []

    async def run() -> None:
        all_of_them = Deadlines(10)
        for step, number in [*steps, ("wait", 100)]:
            if step == "add":
                name = len(made)
                wanted[name] = loop.now + 10
                made.append(all_of_them.add(functools.partial(late.append, name)))
            elif step == "meet" and made:
                made[number % len(made)].met()
                wanted.pop(number % len(made), None)
            elif step == "wait":
                await loop.pass_to(loop.now + number)
                due = [name for name, when in wanted.items() if when <= loop.now]
                expected.extend(due)
                for name in due:
                    del wanted[name]
            assert late == expected
        assert [name for name, one in enumerate(made) if one.passed] == sorted(expected)

    loop.run_until_complete(run())
    loop.close()


def test_what_was_met_is_not_kept(clock: Clock) -> None:
    class Request:
        def give_up(self) -> None: ...

    async def run() -> None:
        all_of_them = Deadlines(10)
        first = all_of_them.add(lambda: None)  # the one that is waited for
        request = Request()
        seen = weakref.ref(request)
        all_of_them.add(request.give_up).met()
        del request
        gc.collect()
        assert seen() is None
        first.met()

    clock.run_until_complete(run())


def test_one_that_is_late_may_meet_another(clock: Clock) -> None:
    late: list[str] = []

    async def run() -> None:
        all_of_them = Deadlines(10)

        def give_up() -> None:
            late.append("first")
            second.met()

        all_of_them.add(give_up)
        second = all_of_them.add(lambda: late.append("second"))
        await clock.pass_to(10)

    clock.run_until_complete(run())
    assert late == ["first"]


def test_another_loop_begins_anew() -> None:
    all_of_them = deadlines.Deadlines(10)
    late: list[int] = []
    for number in range(2):
        loop = Clock()

        async def run(loop: Clock = loop, number: int = number) -> None:
            all_of_them.add(lambda: late.append(number))
            await loop.pass_to(10)

        loop.run_until_complete(run())
        loop.close()
    assert late == [0, 1]
