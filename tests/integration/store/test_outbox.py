"""Messages that are due: of a channel one process sends at a time, in order; what a dead one had, another one sends."""

from __future__ import annotations

import concurrent.futures
import datetime as dt

import pytest
from tests.notices import ALARM, made_channel, made_export, shift, told

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.channels import Channels
from tidemill.store.database import Database
from tidemill.store.outbox import LEASE, Outbox
from tidemill.store.records_notify import Channel
from tidemill.store.troubles import Troubles

ERROR = {"code": "odd", "message": "It is odd.", "hint": "Mend it."}
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def due(database: Database, number: int, name: str = "ops") -> Channel:
    """A channel with so many messages."""
    channel = made_channel(database, name)
    for count in range(number):
        Troubles(database).seen(made_export(database, f"{name}{count}").id, ALARM)
    return channel


def test_a_channel_is_had_by_one_and_its_messages_come_in_order(database: Database, outbox: Outbox) -> None:
    due(database, 3)
    assert outbox.any_due()
    taken = outbox.take()
    assert taken is not None
    assert outbox.take() is None
    names = []
    while found := outbox.next(taken, 2):
        names += [delivery.facts["export"] for delivery in found]
        assert all(delivery.tries == 1 for delivery in found)
        outbox.sent(taken, [delivery.number for delivery in found])
    assert names == ["ops0", "ops1", "ops2"]
    assert not outbox.any_due()
    outbox.release(taken)
    assert outbox.take() is None


def test_what_a_dead_process_had_is_sent_by_another_one_and_it_does_no_harm_when_it_wakes_up(
    database: Database, outbox: Outbox
) -> None:
    channel = due(database, 2)
    asleep = outbox.take()
    assert asleep is not None
    (first, _) = outbox.next(asleep, 2)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE tidemill.channels SET leased_until = leased_until - %s", (LEASE,))
    awake = outbox.take()
    assert awake is not None
    found = outbox.next(awake, 10)
    assert [delivery.tries for delivery in found] == [2, 2]
    assert outbox.next(asleep, 2) == []
    outbox.sent(asleep, [first.number])
    outbox.failed(asleep, [first.number], ERROR, None, others=True)
    outbox.release(asleep)
    assert [delivery.sent_at or delivery.given_up_at for delivery in told(database, channel)] == [None, None]
    assert outbox.take() is None
    outbox.sent(awake, [delivery.number for delivery in found])
    assert all(delivery.sent_at for delivery in told(database, channel))


def test_who_sends_at_once_sends_each_message_once(database: Database, outbox: Outbox) -> None:
    for name in "abc":
        due(database, 0, name)
    for count in range(6):
        Troubles(database).seen(made_export(database, f"e{count}").id, ALARM)

    def send(_: int) -> list[int]:
        mine = []
        while (taken := outbox.take()) is not None:
            while found := outbox.next(taken, 2):
                mine += [delivery.number for delivery in found]
                outbox.sent(taken, [delivery.number for delivery in found])
            outbox.release(taken)
        return mine

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        numbers = [number for found in threads.map(send, range(4)) for number in found]
    assert (len(numbers), len(set(numbers))) == (18, 18)


def test_one_that_fails_is_tried_again_later_and_others_wait_or_do_not(database: Database, outbox: Outbox) -> None:
    channel = due(database, 3)
    taken = outbox.take()
    assert taken is not None
    first, _ = outbox.next(taken, 2)
    outbox.failed(taken, [first.number], ERROR, HOUR, others=False)
    (second, third) = outbox.next(taken, 10)
    outbox.failed(taken, [second.number], ERROR, HOUR, others=True)
    assert outbox.next(taken, 10) == []
    one, two, three = told(database, channel)
    assert (one.tries, two.tries, three.tries) == (1, 2, 1)
    assert (one.error, two.error, three.error) == (ERROR, ERROR, None)
    outbox.release(taken)
    assert not outbox.any_due()
    assert Channels(database).get("ops").error == ERROR
    outbox.tested(channel.id, ERROR)
    assert not outbox.any_due()
    outbox.tested(channel.id, None)
    assert outbox.any_due()
    assert Channels(database).get("ops").error is None
    shift(database, HOUR)
    taken = outbox.take()
    assert taken is not None
    outbox.failed(taken, [third.number], ERROR, None, others=True)
    assert outbox.waiting() == {channel.id: (2, 1)}
    assert [one.number for one in outbox.next(taken, 10)] == [first.number, second.number]


def test_one_that_is_taken_has_those_that_wait_sent_at_once(database: Database, outbox: Outbox) -> None:
    channel = due(database, 2)
    taken = outbox.take()
    assert taken is not None
    first, second = outbox.next(taken, 2)
    outbox.failed(taken, [first.number], ERROR, HOUR, others=False)
    failing = Channels(database).get("ops")
    assert failing.failing_since is not None
    outbox.sent(taken, [second.number])
    assert [one.number for one in outbox.next(taken, 10)] == [first.number]
    outbox.failed(taken, [first.number], ERROR, HOUR, others=False, left=["ana@example.com"])
    outbox.sent(taken, [])  # who has it partly has had it: it is not hastened
    assert outbox.next(taken, 10) == []
    outbox.hasten(channel.id)
    assert [one.left for one in outbox.next(taken, 10)] == [["ana@example.com"]]


def test_a_process_takes_no_channel_that_it_is_busy_with(database: Database, outbox: Outbox) -> None:
    channel = due(database, 1)
    assert outbox.take([channel.id]) is None
    assert outbox.take() is not None


def test_a_channel_has_a_name_of_its_own(database: Database) -> None:
    made_channel(database, "Ops")
    with pytest.raises(ConflictError):
        made_channel(database, "ops")
    with pytest.raises(NotFoundError, match="no channel"):
        Channels(database).get("none")
    assert Channels(database).get("OPS").name == "Ops"
    gone = Channels(database).get("ops")
    Channels(database).delete(gone.id)
    with pytest.raises(NotFoundError, match="removed"):
        Channels(database).change(gone.id, name="x")
