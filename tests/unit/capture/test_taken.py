"""Columns of the events of many requests are made together."""

from __future__ import annotations

import json

from tidemill.capture.taken import MOST_ALONE, Sender, Taken, Usual, one_by_one, settled
from tidemill.errors import RowError
from tidemill.events import joined
from tidemill.events.formats import posthog_quick
from tidemill.events.formats.event import Event
from tidemill.events.parse import MAX_KEPT, columns_of, row_of, to_arrow

ODD = "odd"


def request(name: str) -> Taken:
    """One with an event of that name. The odd one's time is one that only a closer look takes."""
    moment = "2026-01-01T00:00:00Z" if name != ODD else "2026-01-01 00:00"
    given = {"event": name, "uuid": name, "distinct_id": "a", "timestamp": moment, "properties": {}}
    body = posthog_quick.body(json.dumps({"batch": [given]}).encode())
    assert body is not None

    def otherwise() -> Taken:
        assert name == ODD
        row = row_of(Event(ODD, ODD, "a", 0, True, team_id=1))
        return Taken([to_arrow(columns_of([row]), 1, 1)])

    return Taken(usual=Usual(body.events, Sender(1, None), otherwise))


def test_one_that_is_odd_leaves_the_others_together() -> None:
    names = [f"e{number}" for number in range(40)] + [ODD] + [f"e{number}" for number in range(40, 64)]
    tables = settled([request(name) for name in names])
    assert sorted(name for table in tables for name in table["event"].to_pylist()) == sorted(names)
    assert len(tables) <= 8


def test_none_is_odd() -> None:
    assert [table.num_rows for table in settled([request(f"e{number}") for number in range(64)])] == [64]
    assert settled([]) == []


def refuse(_: bytes) -> list[Event | RowError]:
    raise RowError("bad", "It is bad.")


def test_few_rejects_are_made_of_many_records_and_none_is_lost() -> None:
    """The bound that is promised: a thousand, and as many texts as the bytes fill."""
    small = [b'{"n":%d}' % number for number in range(1_500)]
    for longer in (0, 9_000, 40_000, 600_000):
        large = [b'{"x":"%b%d"}' % (b"y" * longer, number) for number in range(min(18_000_000 // (longer + 20), 3_000))]
        taken = one_by_one([*small, *large], refuse, Sender(1, None))
        found = taken.rejects("api", "source", "")
        size = sum(map(len, [*small, *large]))
        assert len(found) <= MOST_ALONE + size // MAX_KEPT + 2
        assert all(one["whole"] for one in found)
        kept: list[bytes] = []
        for one in found:
            kept += joined.split(one["raw"])[0] if one["code"] == joined.CODE else [one["raw"]]
        assert sorted(kept) == sorted([*small, *large])


def test_a_record_that_is_too_long_is_cut() -> None:
    taken = one_by_one([b'"%b"' % (b"x" * MAX_KEPT)], refuse, Sender(1, None))
    (found,) = taken.rejects("api", "source", "")
    assert (len(found["raw"]), found["whole"], found["code"]) == (MAX_KEPT, False, "bad")


def test_what_was_refused_holds_nothing_of_how_it_was_refused() -> None:
    taken = one_by_one([b"1", b"2"], refuse, Sender(1, None))
    assert len({id(why) for _, why in taken.refused}) == 1
    assert taken.refused[0][1].__traceback__ is None
