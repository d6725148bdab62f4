"""Columns of the events of many requests are made together."""

from __future__ import annotations

import json

from tidemill.capture.taken import Sender, Taken, Usual, settled
from tidemill.events.formats import posthog_quick
from tidemill.events.formats.event import Event
from tidemill.events.parse import columns_of, row_of, to_arrow

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
