"""Delivery of rows, whatever the destination says: one outcome each, no row lost, none told of twice."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import lines
from tests.unit.destinations.deliveries import Tool, delivered, record

from tidemill.destinations import deliver
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Limits,
    Outcome,
    Record,
    Sending,
    SomeRefused,
    Status,
    again,
    rejected,
)
from tidemill.errors import AccessError, Cancelled, RetryableError, UnavailableError


@given(st.lists(st.booleans(), max_size=60), st.booleans())
def test_bad_rows_are_found_whether_they_are_named_or_not(bad: list[bool], names_rows: bool) -> None:
    tool = Tool(names_rows=names_rows)
    records = [record(number, **({"bad": True} if wrong else {})) for number, wrong in enumerate(bad)]
    told = delivered(tool.action(), records)
    expected = {str(n): Status.REJECTED if wrong else Status.WRITTEN for n, wrong in enumerate(bad)}
    assert {key: outcome.status for key, outcome in told.items()} == expected
    assert tool.taken == Counter(str(number) for number, wrong in enumerate(bad) if not wrong)


@given(st.lists(st.integers(1, 400), max_size=80), st.integers(1, 20), st.integers(500, 3_000))
def test_calls_keep_to_the_limits(sizes: list[int], rows: int, most: int) -> None:
    tool = Tool()
    records = [record(number, text="x" * size) for number, size in enumerate(sizes)]
    told = delivered(tool.action(limits=Limits(rows=rows, bytes=most, row_bytes=1_000, at_once=2)), records)
    assert set(told) == {str(number) for number in range(len(sizes))}
    by_key = {one.row_key: len(json.dumps(dict(one.fields))) for one in records}
    for batch in tool.batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or sum(by_key[key] + 1 for key in batch) <= most


def test_what_must_not_share_a_call_does_not() -> None:
    tool = Tool()
    action = tool.action(distinct=lambda r: r.fields["n"] % 3, group=lambda r: r.fields["n"] % 2)
    delivered(action, [record(number) for number in range(30)])
    for batch in tool.batches:
        numbers = [int(key) for key in batch]
        assert len({number % 3 for number in numbers}) == len(numbers)
        assert len({number % 2 for number in numbers}) == 1


def test_a_call_that_may_pass_is_made_again_and_waits_as_it_is_told() -> None:
    tool, waits = Tool(), list[float]()
    tool.calls = [RetryableError("busy", "Busy.", after=42), UnavailableError("down", "Down."), None]
    told = delivered(tool.action(), [record(1)], waits)
    assert told["1"] == WRITTEN
    assert waits[0] == 42
    assert tool.batches == [["1"]] * 3


def test_a_row_whose_call_may_have_passed_is_told_of_as_unsure() -> None:
    tool = Tool()
    tool.calls = [UnavailableError("cut", "Cut."), *(RetryableError("busy", "Busy.") for _ in range(10))]
    (outcome,) = delivered(tool.action(), [record(1)]).values()
    assert outcome.status is Status.RETRY
    assert outcome.unsure


@pytest.mark.parametrize("names_rows", [True, False])
def test_a_row_that_is_refused_after_a_call_that_may_have_passed_stays_unsure(names_rows: bool) -> None:
    tool = Tool(names_rows=names_rows)
    tool.calls = [UnavailableError("cut", "Cut.")]
    told = delivered(tool.action(), [record(number, **({"bad": True} if number == 1 else {})) for number in range(4)])
    assert [(key, one.status, one.unsure) for key, one in sorted(told.items())] == [
        ("0", Status.WRITTEN, False),
        ("1", Status.REJECTED, True),
        ("2", Status.WRITTEN, False),
        ("3", Status.WRITTEN, False),
    ]


def test_a_row_that_is_refused_after_a_call_of_which_some_were_taken_is_unsure() -> None:
    calls: list[int] = []

    def send(_client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        calls.append(len(batch))
        if any(sending.record.row_key == "2" for sending in batch):
            raise SomeRefused("no", "One of them is wrong.")
        return [WRITTEN] * len(batch)

    action = dataclasses.replace(Tool().action(), send=send)
    found = delivered(action, [record(number) for number in range(4)])
    assert [key for key, one in found.items() if one.status is Status.WRITTEN] == ["0", "1", "3"]
    assert (found["2"].status, found["2"].unsure) == (Status.REJECTED, True)
    alone = delivered(action, [record(2)])
    assert not alone["2"].unsure


def test_a_destination_that_is_down_is_left_alone_after_some_calls() -> None:
    tool = Tool()
    tool.calls = [UnavailableError("down", "Down.")] * 10_000
    with pytest.raises(UnavailableError) as caught:
        delivered(tool.action(limits=Limits(rows=1, at_once=1)), [record(n) for n in range(500)])
    assert caught.value.code == "destination_down"
    assert len(tool.batches) < 40


def test_a_destination_that_is_busy_for_long_is_asked_once() -> None:
    tool, waits, told = Tool(), list[float](), list[Outcome]()
    tool.calls = [RetryableError("busy", "No more calls today.", after=3_600)] * 10
    action = tool.action(limits=Limits(rows=1, at_once=1))
    with pytest.raises(UnavailableError, match="No more calls today") as caught:
        deliver.deliver(
            lines.unpaced(None, action, waits.append),
            [record(n) for n in range(50)],
            lambda found: told.extend(outcome for _, outcome in found),
        )
    assert caught.value.code == "destination_later"
    assert len(tool.batches) == 1
    assert [outcome.status for outcome in told] == [Status.RETRY]
    assert not waits


def test_a_destination_that_is_busy_for_long_is_not_asked_again_for_the_next_rows() -> None:
    tool = Tool()
    tool.calls = [RetryableError("busy", "No more calls today.", after=3_600)] * 10
    line = lines.unpaced(None, tool.action())
    deliver.deliver(line, [record(n) for n in range(3)], lambda _: None)
    with pytest.raises(UnavailableError, match="No more calls today"):
        deliver.deliver(line, [record(n) for n in range(3, 6)], lambda _: None)
    assert tool.batches == [["0", "1", "2"]]


def test_a_destination_that_is_down_is_left_alone_though_each_delivery_is_one_call() -> None:
    tool = Tool()
    tool.calls = [UnavailableError("down", "Down.")] * 10_000
    line, deliveries = lines.unpaced(None, tool.action()), 0
    with pytest.raises(UnavailableError):
        for number in range(100):
            deliver.deliver(line, [record(number)], lambda _: None)
            deliveries += 1
    assert deliveries == deliver.GIVES_UP_AFTER - 1


def test_rows_that_are_all_tried_when_a_destination_is_busy_for_long_are_told_of_and_no_more() -> None:
    tool = Tool()
    tool.calls = [RetryableError("busy", "No more calls today.", after=3_600)]
    told = delivered(tool.action(), [record(n) for n in range(3)])
    assert {(outcome.status, outcome.after) for outcome in told.values()} == {(Status.RETRY, 3_600)}


def test_a_credential_that_is_refused_ends_it_and_no_other_call_is_begun() -> None:
    tool = Tool()
    tool.calls = [None, AccessError("denied", "No.")]
    told: list[str] = []
    line = lines.unpaced(None, tool.action(limits=Limits(rows=1, at_once=1)))
    with pytest.raises(AccessError):
        deliver.deliver(
            line, [record(n) for n in range(50)], lambda outcomes: told.extend(r.row_key for r, _ in outcomes)
        )
    assert told == ["0"]
    assert len(tool.batches) <= 3


def test_a_row_that_is_wrong_is_told_of_and_not_sent() -> None:
    tool = Tool()
    action = tool.action(check=lambda r: rejected("odd", "It is odd.") if r.fields["n"] % 2 else None)
    told = delivered(action, [record(number) for number in range(4)])
    assert [told[str(number)].status for number in range(4)] == [Status.WRITTEN, Status.REJECTED] * 2
    assert tool.taken == Counter("02")


def test_a_row_whose_text_is_no_unicode_is_set_aside_and_the_others_are_sent() -> None:
    tool = Tool()
    action = tool.action()
    action = Action(**{**vars(action), "encode": lambda r: str(r.fields.get("text", "good")).encode()})
    told = delivered(action, [record(1), record(2, text="half \ud800"), record(3)])
    assert told["2"].code == deliver.NOT_TEXT
    assert tool.taken == Counter("13")


def test_a_row_whose_check_meets_a_text_that_is_no_unicode_is_set_aside_too() -> None:
    tool = Tool()

    def check(one: Record) -> Outcome | None:
        return rejected("long", "It is long.") if len(str(one.fields.get("text", "")).encode()) > 10 else None

    told = delivered(tool.action(check=check), [record(1), record(2, text="half \ud800"), record(3)])
    assert told["2"].code == deliver.NOT_TEXT
    assert tool.taken == Counter("13")


def test_a_row_whose_place_is_no_unicode_is_set_aside_before_it_is_sent() -> None:
    tool = Tool()
    action = tool.action(group=lambda one: (one.fields.get("list", "a"), False))
    told = delivered(action, [record(1), record(2, list="half \ud800"), record(3)])
    assert told["2"].code == deliver.NOT_TEXT
    assert tool.taken == Counter("13")


def test_a_row_that_comes_later_is_no_failure_of_the_call() -> None:
    tool = Tool()

    def send(_client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        return [again("later", "Later.") for _ in batch]

    action = Action(**{**vars(tool.action()), "send": send})
    told = delivered(action, [record(number) for number in range(100)])
    assert {outcome.status for outcome in told.values()} == {Status.RETRY}


def _later(times: int, after: float, tool: Tool) -> Action:
    """Of row 1 it says so many times that it is to be sent later."""
    left = [times]

    def send(client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        found = list(tool.send(client, batch))
        for place, sending in enumerate(batch):
            if sending.record.row_key == "1" and left[0]:
                left[0] -= 1
                found[place] = again("later", "Later.", after)
        return found

    return dataclasses.replace(tool.action(), send=send)


def test_a_row_that_is_to_come_soon_is_waited_for_by_itself() -> None:
    tool, waits = Tool(), list[float]()
    told = delivered(_later(2, 30, tool), [record(number) for number in range(3)], waits)
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert tool.batches == [["0", "1", "2"], ["1"], ["1"]]
    assert waits == [30, 30]


@pytest.mark.parametrize(("times", "after", "calls"), [(1_000, 30, 5), (1, 3_600, 1)])
def test_a_row_that_is_to_come_later_or_never_comes_with_the_next_run(times: int, after: float, calls: int) -> None:
    tool = Tool()
    told = delivered(_later(times, after, tool), [record(number) for number in range(3)])
    assert [told[key].code for key in "012"] == ["", "later", ""]
    assert len(tool.batches) == calls


def test_a_row_that_is_to_come_soon_is_told_of_if_the_run_is_stopped_meanwhile() -> None:
    def stop(_: float) -> None:
        raise Cancelled

    told: dict[str, Outcome] = {}
    line = lines.unpaced(None, _later(1, 30, Tool()), stop)
    with pytest.raises(Cancelled):
        deliver.deliver(
            line, [record(number) for number in range(3)], lambda some: told.update({r.row_key: o for r, o in some})
        )
    assert [told[key].code for key in "012"] == ["", "later", ""]


@pytest.mark.parametrize("error", [RetryableError, UnavailableError])
def test_who_asks_for_peace_is_left_in_peace_by_all(error: type[RetryableError] | type[UnavailableError]) -> None:
    tool, held = Tool(), list[float]()
    tool.calls = [error("busy", "Busy.", after=42), None]
    line = lines.unpaced(None, tool.action(), held=held.append)
    deliver.deliver(line, [record(1)], lambda _: None)
    assert held == [42]
