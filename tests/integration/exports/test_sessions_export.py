"""The sessions model: a table of sessions that follows events, however late they come."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation
from tests.session_reference import sessions

from tidemill.app import App
from tidemill.errors import ConfigError

SESSIONS = [f"0190a000-0000-7000-8000-{number:012x}" for number in range(30)]


def visits(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Events of these sessions, in any order."""
    found = []
    for _ in range(count):
        moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=chance.randrange(10**7))
        properties = {
            "$session_id": chance.choice(SESSIONS),
            "$current_url": f"https://shop.example.com/{chance.randrange(5)}?q=ü",
            "utm_source": chance.choice(["", "google", "newsletter"]),
            "$web_vitals_LCP_value": chance.random() * 1000,
        }
        found.append(
            {
                "uuid": f"{chance.getrandbits(64):x}",
                "event": chance.choice(["$pageview", "$autocapture", "other"]),
                "distinct_id": chance.choice(["ana", "ben"]),
                "timestamp": moment.isoformat(),
                "team_id": chance.choice([1, 2]),
                "properties": properties,
            }
        )
    return found


def load(app: App, folder: Path, events: list[dict[str, Any]]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    assert app.events.load(str(file), "posthog").rows == len(events)


def table(installation: Installation) -> dict[tuple[int, str], dict[str, Any]]:
    """The rows in BigQuery; each is there once."""
    client = installation.client()
    rows = [dict(row) for row in client.google().list_rows(f"{client.project}.{installation.dataset}.sessions")]
    client.close()
    found = {(row["team_id"], row["session_id"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_after_each_run_the_table_says_what_the_events_say(installation: Installation, tmp_path: Path) -> None:
    chance, sent = random.Random(7), list[dict[str, Any]]()
    with installation.app(commit_rows=20, chunk_bytes=10_000) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "visits", "model": "sessions", "table": "sessions"}, by="t")
        before: dict[tuple[int, str], dict[str, Any]] = {}
        for count in (200, 3, 0, 40):
            events = visits(chance, count)
            sent += events
            if events:
                load(app, tmp_path, events)
            runs = app.exports.run("visits", by="t")
            assert [run.mode for run in runs] == ["upsert"] * bool(events)
            expected, found = sessions(sent), table(installation)
            assert {key: {name: row[name] for name in expected[key]} for key, row in found.items()} == expected
            touched = {(event["team_id"], event["properties"]["$session_id"]) for event in events}
            assert {key for key, row in found.items() if before.get(key) != row} == touched
            before = found
        checked = app.exports.tables.check("visits")
        assert (checked.rows, checked.missing, checked.duplicated, checked.foreign) == (len(before), 0, 0, 0)


def test_an_export_made_anew_changes_nothing(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=20) as app:
        installation.connect(app)
        load(app, tmp_path, visits(random.Random(8), 100))
        for name in ("first", "anew"):
            app.exports.create(CONNECTION, {"name": name, "model": "sessions", "table": "sessions"}, by="t")
            app.exports.run(name, by="t")
            rows = table(installation)
            if name == "first":
                before = rows
                app.exports.delete(name)
        assert rows == before


def test_partitions_and_one_team(installation: Installation, tmp_path: Path) -> None:
    sent = visits(random.Random(9), 100)
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, sent)
        fields = {
            "name": "v",
            "model": "sessions",
            "table": "sessions",
            "partition_by": "start_timestamp",
            "team_id": 2,
        }
        app.exports.create(CONNECTION, fields, by="t")
        app.exports.run("v", by="t")
        client = installation.client()
        made = client.get_table(installation.dataset, "sessions")
        client.close()
    assert made is not None
    assert made.partition == ("start_timestamp", "DAY")
    assert set(table(installation)) == {key for key in sessions(sent) if key[0] == 2}


def test_filters_by_event_are_refused(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        with pytest.raises(ConfigError, match="no events to choose"):
            app.exports.create(
                CONNECTION, {"name": "p", "model": "sessions", "table": "s", "exclude_events": ("x",)}, by="t"
            )


def test_odd_numbers_and_addresses(installation: Installation, tmp_path: Path) -> None:
    """A time that is none is no time; the host of an address in brackets is all of it."""
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "visits", "model": "sessions", "table": "sessions"}, by="t")
        for number, (lcp, url, host) in enumerate(
            [
                ("nan", "http://[::1]/a", "[::1]"),
                ("inf", "http://u:p@[fe80::1]:8080/a", "[fe80::1]"),
                ("-1e999", "//host.example/", "host.example"),
                (12.5, "http://[::1", None),
                (None, "no address", None),
            ]
        ):
            seen = {"$session_id": SESSIONS[number], "$current_url": url, "$web_vitals_LCP_value": lcp}
            hit = {"uuid": f"u{number}", "event": "$pageview", "distinct_id": host or "", "team_id": 1}
            load(
                app,
                tmp_path,
                [{**hit, "distinct_id": host or "x", "timestamp": "2026-01-01T00:00:00Z", "properties": seen}],
            )
        app.exports.run("visits", by="t")
        rows = list(table(installation).values())
        assert {row["entry_hostname"] or "x" for row in rows} == {row["distinct_id"] for row in rows}
        assert {row["vitals_lcp"] for row in rows} == {None, 12.5}
