"""What people are told: at most one message a day of a cause and an export, and one when it is over."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.notices import ALARM, ids, kinds, made_channel, made_export, made_sync, told

from tidemill.store import troubles
from tidemill.store.channels import Channels
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.outbox import Outbox
from tidemill.store.records_notify import RECOVERED, Cause
from tidemill.store.sync_things import Syncs
from tidemill.store.troubles import ONCE_WITHIN, Troubles

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
PAUSED = dataclasses.replace(ALARM, cause=Cause.PAUSED)

#: Minutes that pass, what happens then (None: all is well), and how long it is waited before it is told, minutes.
EVENTS = st.lists(
    st.tuples(st.integers(0, 2_000), st.sampled_from([None, Cause.FAILED, Cause.PAUSED]), st.sampled_from([0, 0, 30])),
    max_size=25,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_at_most_one_a_day_of_a_cause_and_one_when_it_is_over(
    database: Database, events: Sequence[tuple[int, Cause | None, int]]
) -> None:
    with database.begin() as connection:
        for table in ("exports", "channels"):
            connection.exec_driver_sql(f"DELETE FROM tidemill.{table}")
    export, channel = made_export(database), made_channel(database)
    now, open_since, told_at = BEGIN, dict[Cause, dt.datetime](), dict[Cause, dt.datetime]()
    expected: list[tuple[dt.datetime, str]] = []
    known: set[Cause] = set()
    with database.begin() as connection:
        for minutes, cause, patience in events:
            now += dt.timedelta(minutes=minutes)
            if cause is None:
                troubles.over(connection, export.id, list(Cause), now=now)
                expected += [(now, RECOVERED)] if known else []
                open_since.clear()
                known.clear()
                continue
            wait = dt.timedelta(minutes=patience)
            since = open_since.setdefault(cause, now)
            troubles.seen(connection, export.id, dataclasses.replace(ALARM, cause=cause, patience=wait), now)
            if now - since >= wait and now - told_at.get(cause, now - ONCE_WITHIN) >= ONCE_WITHIN:
                told_at[cause] = now
                known.add(cause)
                expected.append((now, cause))
    found = [(delivery.created_at, delivery.kind) for delivery in told(database, channel)]
    assert found == expected
    for cause in Cause:
        moments = [moment for moment, kind in found if kind == cause]
        assert all(after - before >= DAY for before, after in itertools.pairwise(moments))
    unanswered = 0
    for _, kind in found:
        assert kind != RECOVERED or unanswered
        unanswered = 0 if kind == RECOVERED else unanswered + 1


def test_it_says_since_when_and_its_end_says_what_is_over(database: Database) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    assert found.seen(export.id, ALARM, BEGIN)
    assert not found.seen(export.id, ALARM, BEGIN + HOUR)
    assert found.seen(export.id, PAUSED, BEGIN + HOUR)
    assert found.seen(export.id, ALARM, BEGIN + DAY)
    assert found.over(export.id, [Cause.FAILED, Cause.PAUSED], now=BEGIN + 2 * DAY)
    assert not found.over(export.id, [Cause.FAILED, Cause.PAUSED], now=BEGIN + 2 * DAY)
    first, _, again, over = told(database, channel)
    assert (first.facts["export"], first.facts["table"]) == ("e", "p.d.e")
    assert first.facts["commands"] == ["tidemill export show e"]
    assert first.facts["since"] == again.facts["since"] == BEGIN.isoformat()
    assert over.facts["over"] == [
        {"cause": "failed", "since": BEGIN.isoformat()},
        {"cause": "paused", "since": (BEGIN + HOUR).isoformat()},
    ]


def test_what_was_told_to_nobody_is_not_said_to_be_over_and_counts_for_no_day(database: Database) -> None:
    export, found = made_export(database), Troubles(database)
    assert not found.seen(export.id, ALARM, BEGIN)
    channel = made_channel(database)
    assert found.seen(export.id, ALARM, BEGIN + HOUR)
    assert told(database, channel)[0].facts["since"] == BEGIN.isoformat()
    another = made_channel(database, "another")
    assert found.over(export.id, [Cause.FAILED], now=BEGIN + 2 * HOUR)
    assert kinds(database, channel) == ["failed", RECOVERED]
    assert kinds(database, another) == []
    assert found.lasting(Cause.FAILED) == []


def test_quietly_it_is_over_without_a_word(database: Database) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    found.seen(export.id, ALARM, BEGIN)
    assert not found.over(export.id, [Cause.FAILED], quietly=True, now=BEGIN + HOUR)
    assert kinds(database, channel) == ["failed"]


def test_a_channel_is_told_of_its_causes_and_exports_alone(database: Database) -> None:
    one, two, found = made_export(database, "one"), made_export(database, "two"), Troubles(database)
    channels = {
        "all": made_channel(database, "all"),
        "pauses": made_channel(database, "pauses", causes=["paused"]),
        "one": made_channel(database, "one", exports=ids(one)),
        "pauses of two": made_channel(database, "both", causes=["paused", "stream"], exports=ids(two)),
    }
    for export in (one, two):
        for alarm in (ALARM, PAUSED):
            found.seen(export.id, alarm, BEGIN)
        found.over(export.id, list(Cause), now=BEGIN + HOUR)
    heard = {name: [(d.facts["export"], d.kind) for d in told(database, channel)] for name, channel in channels.items()}
    assert heard == {
        "all": [(n, k) for n in ("one", "two") for k in ("failed", "paused", RECOVERED)],
        "pauses": [(n, k) for n in ("one", "two") for k in ("paused", RECOVERED)],
        "one": [("one", k) for k in ("failed", "paused", RECOVERED)],
        "pauses of two": [("two", "paused"), ("two", RECOVERED)],
    }


def test_who_finds_the_same_at_once_tells_it_once(database: Database) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda _: found.seen(export.id, ALARM), range(12)))
        ended = list(threads.map(lambda _: found.over(export.id, [Cause.FAILED]), range(12)))
    assert (said.count(True), ended.count(True)) == (1, 1)
    assert kinds(database, channel) == ["failed", RECOVERED]


def test_of_an_export_that_was_deleted_nothing_is_told_and_nothing_is_left(database: Database) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    found.seen(export.id, ALARM)
    Exports(database).delete(export.id)
    assert not found.seen(export.id, ALARM)
    assert not found.over(export.id, [Cause.FAILED])
    assert kinds(database, channel) == []


def test_who_deletes_an_export_and_who_tells_of_it_do_not_wait_for_each_other(database: Database) -> None:
    made_channel(database)
    for number in range(5):
        export = made_export(database, f"e{number}")
        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            said = [threads.submit(Troubles(database).seen, export.id, ALARM) for _ in range(6)]
            said.append(threads.submit(Troubles(database).over, export.id, [Cause.FAILED]))
            deleted = threads.submit(Exports(database).delete, export.id)
            for one in said:
                one.result()
            deleted.result()


def test_a_text_of_any_kind_can_be_told(database: Database) -> None:
    export, channel = made_export(database), made_channel(database)
    odd = dataclasses.replace(ALARM, message="\0 \ud800 \N{SNOWMAN}" + "x" * 10_000)
    Troubles(database).seen(export.id, odd)
    (delivery,) = told(database, channel)
    assert delivery.facts["message"].startswith("\\0 \\ud800 \N{SNOWMAN}")
    assert len(delivery.facts["message"]) == 4_000


@pytest.mark.parametrize("lasts", [True, False])
def test_what_was_told_long_ago_is_forgotten_unless_it_lasts(database: Database, lasts: bool) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    found.seen(export.id, ALARM, BEGIN)
    if not lasts:
        found.over(export.id, [Cause.FAILED], now=BEGIN)
    Outbox(database).forget(DAY)
    assert kinds(database, channel) == (["failed"] if lasts else [])
    found.over(export.id, [Cause.FAILED])
    assert kinds(database, channel) == (["failed", RECOVERED] if lasts else [])


def test_a_channel_that_is_removed_takes_its_messages_with_it(database: Database) -> None:
    export, channel, found = made_export(database), made_channel(database), Troubles(database)
    found.seen(export.id, ALARM, BEGIN)
    Channels(database).delete(channel.id)
    assert found.over(export.id, [Cause.FAILED], now=BEGIN + HOUR)
    assert not Outbox(database).any_due()


def test_a_sync_is_told_with_its_model_and_destination_beside_exports(database: Database) -> None:
    export, sync, found = made_export(database), made_sync(database), Troubles(database)
    channels = {
        "all": made_channel(database, "all"),
        "export": made_channel(database, "export", exports=ids(export)),
        "sync": made_channel(database, "sync", exports=ids(sync)),
        "both": made_channel(database, "both", exports=ids(export, sync)),
    }
    for thing in (export, sync):
        assert found.seen(thing.id, ALARM, BEGIN)
        assert not found.seen(thing.id, ALARM, BEGIN + HOUR)
    assert [one.export_id for one in found.lasting(Cause.FAILED)] == [export.id]
    assert [one.export_id for one in found.lasting(Cause.FAILED, syncs=True)] == [sync.id]
    (trouble,) = found.of(sync.id)
    assert trouble.facts is not None
    assert (trouble.facts["message"], trouble.facts["hint"]) == (ALARM.message, ALARM.hint)
    assert found.over(sync.id, [Cause.FAILED], now=BEGIN + 2 * HOUR)
    assert found.of(sync.id) == []
    of_sync = {"sync": "s", "model": "people", "destination": "hook"}
    for name, messages in {"all": 3, "export": 1, "sync": 2, "both": 3}.items():
        heard = [delivery.facts for delivery in told(database, channels[name])]
        assert len(heard) == messages
        assert all(facts.items() >= of_sync.items() for facts in heard if "export" not in facts)
    assert kinds(database, channels["sync"]) == ["failed", RECOVERED]


def test_of_a_sync_that_was_deleted_nothing_is_told_and_nothing_is_left(database: Database) -> None:
    export, sync = made_export(database), made_sync(database)
    channel, found = made_channel(database), Troubles(database)
    for thing in (export, sync):
        found.seen(thing.id, ALARM)
    Syncs(database).delete(sync.id)
    assert not found.seen(sync.id, ALARM)
    assert not found.over(sync.id, [Cause.FAILED])
    assert [delivery.facts["export"] for delivery in told(database, channel)] == ["e"]
    assert found.of(sync.id) == []
    assert len(found.of(export.id)) == 1
