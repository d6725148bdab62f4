"""A query is looked at in bounds: whatever is constant in it fills no memory here, and takes no longer than it may."""

from __future__ import annotations

import os
import resource

import pytest

from tidemill.errors import ConfigError
from tidemill.events.sources import custom_sql

EVENTS = [(name, "VARCHAR") for name in ("uuid", "event", "properties", "distinct_id", "ip", "set", "set_once")]
EVENTS += [(name, "VARCHAR") for name in ("elements", "kind", "envelope", "session_id")]
EVENTS += [
    ("team_id", "BIGINT"),
    ("timestamp", "TIMESTAMP WITH TIME ZONE"),
    ("inserted_at", "TIMESTAMP WITH TIME ZONE"),
]
#: It takes long, however little memory.
LONG = ", ".join(f"len(list_transform(range({4_000_000 + number}), x -> x + 1)) AS a{number}" for number in range(200))


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT length(repeat('x', 1500000000)) AS a FROM events", "BIGINT"),
        ("SELECT len(range(10000000000)) AS a FROM events", "BIGINT"),
        ("SELECT count(*) AS a FROM range(10000000000)", "BIGINT"),
        ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) AS a FROM t", "BIGINT"),
    ],
)
def test_constants_fill_no_memory_of_this_process(sql: str, kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert custom_sql._described(sql, EVENTS) == [("a", kind)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_constants_that_take_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_sql, "_LOOK_SECONDS", 1)
    with pytest.raises(ConfigError, match="takes too much time or memory"):
        custom_sql._described(f"SELECT {LONG} FROM events", EVENTS)


def test_who_looks_at_it_has_no_secret_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TIDEMILL_SECRET", "s3cret")
    with pytest.raises(ConfigError):
        custom_sql._described("SELECT getenv('TIDEMILL_SECRET') AS a FROM events", EVENTS)
    with pytest.raises(ConfigError):
        custom_sql._described("SELECT * FROM read_text('/etc/hostname')", EVENTS)
