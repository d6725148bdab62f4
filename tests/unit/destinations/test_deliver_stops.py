"""Deliveries that end before their end: what is known of rows is told, and what may be there is known as the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests import lines
from tests.unit.destinations.deliveries import Tool, record

from tidemill.destinations import deliver
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    BatchRefused,
    Limits,
    Outcome,
    Progress,
    Record,
    Sending,
    Status,
    rejected,
)
from tidemill.errors import AccessError, Cancelled, RetryableError, TidemillError, UnavailableError


class Stop(Cancelled):
    """Somebody wants it to stop."""


def test_who_stops_is_told_of_all_that_is_under_way() -> None:
    limits = Limits(rows=1, at_once=2)
    tool, told = Tool(), list[str]()
    inside, going = threading.Event(), threading.Event()

    def send(client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        inside.set()
        going.wait(60)
        return tool.send(client, batch)

    def records() -> Iterator[Record]:
        yield record(0)
        yield record(1)
        inside.wait(60)
        going.set()
        raise Stop

    action = Action(**{**vars(tool.action(limits=limits)), "send": send})
    line = lines.unpaced(None, action)
    with pytest.raises(Stop):
        deliver.deliver(line, records(), lambda outcomes: told.extend(one.row_key for one, _ in outcomes))
    assert sorted(told) == sorted(tool.taken), "what was delivered is known"


def test_a_call_that_may_have_passed_is_known_when_the_waiting_is_stopped() -> None:
    tool, told = Tool(), dict[str, Outcome]()
    tool.calls = [UnavailableError("cut", "Cut.")]

    def sleep(_: float) -> None:
        raise Stop

    line = lines.unpaced(None, tool.action(), sleep)
    with pytest.raises(Stop):
        deliver.deliver(line, [record(1), record(2)], lambda found: told.update((one.row_key, o) for one, o in found))
    assert {key: (outcome.status, outcome.unsure) for key, outcome in told.items()} == {
        "1": (Status.RETRY, True),
        "2": (Status.RETRY, True),
    }


def test_half_of_a_batch_that_was_delivered_is_known_when_the_other_half_stops() -> None:
    tool, told = Tool(names_rows=False), list[str]()
    tool.calls = [BatchRefused("no", "No."), None, AccessError("denied", "No more.")]
    line = lines.unpaced(None, tool.action())
    with pytest.raises(AccessError):
        deliver.deliver(line, [record(n) for n in range(4)], lambda found: told.extend(one.row_key for one, _ in found))
    assert sorted(told) == sorted(tool.taken) == ["0", "1"]


def partly(then: BaseException, **known: Outcome) -> Any:
    """What sends rows by several requests, and stops once. `known`: of rows, by their keys."""

    def send(tool: Tool, batch: Sequence[Sending]) -> Sequence[Outcome]:
        keys = [sending.record.row_key for sending in batch]
        tool.batches.append(keys)
        with Progress({keys.index(key[1:]): outcome for key, outcome in known.items()}) as progress:
            if len(tool.batches) == 1:
                raise then
        return [progress.outcomes.get(place, WRITTEN) for place in range(len(batch))]

    return send


@pytest.mark.parametrize("error", [RetryableError("busy", "Busy."), AccessError("no", "No."), Cancelled()])
def test_what_is_known_of_rows_is_told_when_their_delivery_stops_amid_it(error: TidemillError) -> None:
    tool, told = Tool(), dict[str, Outcome]()

    def sleep(_: float) -> None:
        raise Stop

    bad = rejected("bad", "It is bad.")
    action = Action(**{**vars(tool.action()), "send": partly(error, n1=WRITTEN, n2=bad)})
    line = lines.unpaced(tool, action, sleep)
    with pytest.raises(Stop if isinstance(error, RetryableError) else type(error)):
        deliver.deliver(
            line, [record(n) for n in range(4)], lambda found: told.update((one.row_key, o) for one, o in found)
        )
    assert told == {"1": WRITTEN, "2": bad}


def test_rows_of_a_job_that_is_not_waited_for_may_be_there() -> None:
    told = dict[str, Outcome]()

    def send(_: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        with Progress() as progress:
            progress.unsure = bool(batch)
            raise Stop

    action = Action(**{**vars(Tool().action()), "send": send})
    line = lines.unpaced(None, action)
    with pytest.raises(Stop):
        deliver.deliver(line, [record(1)], lambda found: told.update((one.row_key, o) for one, o in found))
    assert (told["1"].status, told["1"].unsure) == (Status.RETRY, True)
    assert told["1"].message


@pytest.mark.parametrize("error", [RetryableError("busy", "Busy."), BatchRefused("no", "No.")])
def test_nothing_is_sent_again_when_all_rows_are_known(error: TidemillError) -> None:
    tool, told, waits = Tool(), dict[str, Outcome](), list[float]()
    action = Action(**{**vars(tool.action()), "send": partly(error, n0=WRITTEN, n1=rejected("bad", "It is bad."))})
    deliver.deliver(
        lines.unpaced(tool, action, waits.append),
        [record(n) for n in range(2)],
        lambda found: told.update((one.row_key, o) for one, o in found),
    )
    assert {key: one.status for key, one in told.items()} == {"0": Status.WRITTEN, "1": Status.REJECTED}
    assert tool.batches == [["0", "1"]]
    assert not waits


def test_only_the_rows_that_are_left_are_sent_again() -> None:
    tool, told = Tool(), dict[str, Outcome]()

    def send(client: Tool, batch: Sequence[Sending]) -> Sequence[Outcome]:
        known = {"n0": WRITTEN} if not client.batches else {}
        return partly(UnavailableError("cut", "Cut."), **known)(client, batch)  # type: ignore[no-any-return]

    action = Action(**{**vars(tool.action()), "send": send})
    line = lines.unpaced(tool, action)
    deliver.deliver(
        line, [record(n) for n in range(3)], lambda found: told.update((one.row_key, o) for one, o in found)
    )
    assert tool.batches == [["0", "1", "2"], ["1", "2"]]
    assert told == dict.fromkeys("012", WRITTEN)


def test_what_is_said_of_rows_and_what_ends_it_hold_no_secret() -> None:
    token, told = "tok-VERYSECRET", list[Outcome]()

    def send(_: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        with Progress({0: rejected(f"no {token}", f"Not with {token}.")}):
            raise AccessError("denied", f"Nothing for {token}.", hint=f"Where is {token} from?") if batch else Stop

    action = Action(**{**vars(Tool().action()), "send": send})
    with pytest.raises(AccessError) as caught:
        deliver.deliver(
            lines.unpaced(None, action, secrets=(token,)),
            [record(1), record(2)],
            lambda found: told.extend(outcome for _, outcome in found),
        )
    assert [outcome.message for outcome in told] == ["Not with ********."]
    assert token not in f"{told} {caught.value} {caught.value.hint} {caught.value.raw}"


def refuses(then: BaseException) -> Callable[[Any, Sequence[Sending]], Sequence[Outcome]]:
    """What loses its answer to the batch, refuses it when it comes again, and says that of its first half."""
    said: list[BaseException] = [UnavailableError("cut", "Cut."), BatchRefused("no", "No."), then]

    def send(_: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        if said and batch:
            raise said.pop(0)
        return [WRITTEN] * len(batch)

    return send


@pytest.mark.parametrize("then", [AccessError("denied", "No more."), Cancelled()])
def test_both_halves_of_a_batch_that_may_be_there_are_known_when_the_first_stops(then: TidemillError) -> None:
    told = dict[str, Outcome]()
    action = Action(**{**vars(Tool().action()), "send": refuses(then)})
    with pytest.raises(type(then)):
        deliver.deliver(
            lines.unpaced(None, action),
            [record(n) for n in range(4)],
            lambda found: told.update((one.row_key, o) for one, o in found),
        )
    assert {key: (one.status, one.unsure) for key, one in told.items()} == dict.fromkeys("0123", (Status.RETRY, True))
    assert all(outcome.message for outcome in told.values())


def test_a_half_that_was_not_sent_is_not_told_of() -> None:
    tool, told = Tool(names_rows=False), list[str]()
    tool.calls = [BatchRefused("no", "No."), UnavailableError("cut", "Cut.")]

    def sleep(_: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        deliver.deliver(
            lines.unpaced(None, tool.action(), sleep),
            [record(n) for n in range(4)],
            lambda found: told.extend(one.row_key for one, _ in found),
        )
    assert told == ["0", "1"]
