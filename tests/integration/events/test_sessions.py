"""Sessions, however their events come: in whatever order, commits and runs, they end as a plain computation says."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.session_reference import ENTRIES, sessions

from tidemill.app import App
from tidemill.events.sources.sessions import SessionSource
from tidemill.events.sources.source import Selection
from tidemill.models.sessions import SESSIONS
from tidemill.settings import Settings

IDS = [f"0190a000-0000-7000-8000-00000000000{n}" for n in range(3)] + ["ffffffff-ffff-7fff-bfff-ffffffffffff"]
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
URLS = [
    "https://shop.example.com/",
    "https://shop.example.com/a?b=1#c",
    "http://user@other.example.com:8080/x/y",
    "https://shop.example.com",
    "",
]
PROPERTIES = st.fixed_dictionaries(
    {"$session_id": st.sampled_from(IDS)},
    optional={
        "$current_url": st.sampled_from(URLS),
        "$referring_domain": st.sampled_from(["$direct", "www.google.com", ""]),
        "$external_click_url": st.sampled_from(["https://elsewhere.example.org/", ""]),
        "$web_vitals_LCP_value": st.integers(0, 5000) | st.floats(0, 5000),
        **{name: st.sampled_from(["", "a", "b", "Ünal"]) for name in ENTRIES},
    },
)
EVENTS = st.builds(
    lambda event, who, second, properties: {
        "event": event,
        "distinct_id": who,
        "timestamp": (NOW + dt.timedelta(seconds=second)).isoformat(),
        "properties": properties,
    },
    st.sampled_from(["$pageview", "$screen", "$autocapture", "other"]),
    st.sampled_from(["ana", "ben"]),
    st.integers(0, 25) | st.integers(-(10**8), 10**8),
    PROPERTIES,
)
COMMITS = st.lists(st.lists(EVENTS, max_size=6), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with App(Settings(home=tmp_path_factory.mktemp("home"))) as app:
        yield app


def computed(app: App, after: int, upto: int, team: int, piece: int = 0) -> dict[str, dict[str, Any]]:
    """The rows of these changes, by session; in pieces of so many events, if any."""
    source, selection = SessionSource(app.lake, piece), Selection(after, upto, team_id=team)
    selects = source.pieces(selection, NOW) if piece else [source.rows(selection, NOW)]
    columns = [column.name for column in SESSIONS.columns]
    found = []
    with app.lake.cursor() as cursor:
        for rows in selects:
            found += cursor.execute(f"SELECT {', '.join(columns)} FROM ({rows})").fetchall()
    named = [dict(zip(columns, row, strict=True)) for row in found]
    assert len({row["session_id"] for row in named}) == len(named)
    return {row["session_id"]: row for row in named}


TEAMS = itertools.count(1000)
PIECES = st.sampled_from([1, 3, 1000])


def examples(count: int) -> hypothesis.settings:
    """So many of them, each of which takes some seconds."""
    health = [hypothesis.HealthCheck.function_scoped_fixture]
    return hypothesis.settings(max_examples=count, deadline=None, suppress_health_check=health)


@hypothesis.given(COMMITS, st.data())
@examples(8)
def test_sessions_end_as_a_plain_computation_says(
    app: App, tmp_path: Path, commits: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    assert_ends_as_a_plain_computation(app, tmp_path, commits, data)


@pytest.mark.torture
@hypothesis.given(COMMITS, st.data())
@examples(200)
def test_many_sessions_end_as_a_plain_computation_says(
    app: App, tmp_path: Path, commits: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    assert_ends_as_a_plain_computation(app, tmp_path, commits, data)


def assert_ends_as_a_plain_computation(
    app: App, tmp_path: Path, commits: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    team, source = next(TEAMS), SessionSource(app.lake)
    sent: list[dict[str, Any]] = []
    table: dict[str, dict[str, Any]] = {}
    begin = reached = source.position()
    for commit in commits:
        events = [{**event, "uuid": os.urandom(8).hex(), "team_id": team} for event in commit]
        sent += events
        path = tmp_path / os.urandom(8).hex()
        path.write_text("\n".join(map(json.dumps, events)) + "\n\n")
        if events:
            app.events.load(str(path), "posthog")
        if data.draw(st.booleans(), label="run"):
            reached = run(app, table, reached, source.position(), team, data.draw(PIECES, label="piece"))
    run(app, table, reached, source.position(), team)
    expected = sessions(sent)
    assert {(team, name): {key: row[key] for key in expected[team, name]} for name, row in table.items()} == expected
    at_once: dict[str, dict[str, Any]] = {}
    run(app, at_once, begin, source.position(), team, piece=0)
    assert at_once == table
    assert sum(change.rows for change in source.changes(begin, source.position())) == len(expected)


def run(app: App, table: dict[str, dict[str, Any]], after: int, upto: int, team: int, piece: int = 2) -> int:
    """Merge what changed by its versions, as a run does."""
    for name, row in computed(app, after, upto, team, piece).items():
        if name not in table or row["session_version"] > table[name]["session_version"]:
            table[name] = row
    return upto


def test_only_ids_of_version_7_are_sessions(app: App, tmp_path: Path) -> None:
    team, begin = next(TEAMS), app.lake.position()
    given = ["0190A000-0000-7000-8000-00000000000A", "0190a000-0000-4000-8000-000000000000", "s1", 5, None, ["x"], ""]
    for quick in (True, False):
        lines = [
            {
                "uuid": f"{team}-{quick}-{n}",
                "event": "e",
                "distinct_id": "a" if quick else 5,
                "timestamp": "2026-01-01T00:00:00Z",
                "team_id": team,
            }
            | {"properties": {"$session_id": value}}
            for n, value in enumerate(given)
        ]
        path = tmp_path / f"{quick}"
        path.write_text("\n".join(map(json.dumps, lines)))
        app.events.load(str(path), "posthog")
    found = computed(app, begin, app.lake.position(), team)
    assert list(found) == ["0190a000-0000-7000-8000-00000000000a"]


CHANNELS = [
    ({"utm_campaign": "EU Cross-Network 1", "gclid": "x"}, "Cross Network"),
    ({"utm_source": "google", "utm_medium": "cpc"}, "Paid Search"),
    ({"gclid": "x", "$referring_domain": "www.google.co.uk"}, "Paid Search"),
    ({"gad_source": "1"}, "Paid Search"),
    ({"utm_source": "facebook", "utm_medium": "Paid_Social"}, "Paid Social"),
    ({"utm_medium": "ppc", "fbclid": "x"}, "Paid Social"),
    ({"utm_source": "youtube", "utm_medium": "cpv"}, "Paid Video"),
    ({"utm_campaign": "summer-shop", "utm_medium": "cpc"}, "Paid Shopping"),
    ({"utm_medium": "cpc", "utm_source": "somewhere"}, "Paid Unknown"),
    ({"utm_source": "facebook", "utm_medium": "cpc", "$referring_domain": "www.google.com"}, "Paid Social"),
    ({"utm_source": "youtube", "gclid": "x", "$referring_domain": "www.google.com"}, "Paid Video"),
    ({"utm_campaign": "shopping", "gclid": "x", "$referring_domain": "www.google.com"}, "Paid Shopping"),
    ({"utm_campaign": "shopping", "gclid": "x", "utm_source": "bing"}, "Paid Search"),
    ({"utm_medium": "social", "gclid": "x", "$referring_domain": "www.google.com"}, "Paid Social"),
    ({"utm_medium": "paid_search", "$referring_domain": "www.facebook.com"}, "Paid Search"),
    ({"utm_medium": "cpm"}, "Display"),
    ({"utm_medium": "email", "gclid": "x", "$referring_domain": "www.google.com"}, "Paid Search"),
    ({"utm_medium": "social", "$referring_domain": "www.google.com"}, "Organic Social"),
    ({"utm_source": "google", "utm_campaign": "shop now"}, "Organic Search"),
    ({"utm_campaign": "shop now", "utm_medium": "email"}, "Organic Shopping"),
    ({"$referring_domain": "$direct", "utm_source": "$direct"}, "Direct"),
    ({"$referring_domain": "$direct"}, "Direct"),
    ({"$referring_domain": "$direct", "utm_source": "null", "utm_medium": ""}, "Direct"),
    ({"$referring_domain": "$direct", "utm_source": "newsletter", "utm_medium": "email"}, "Email"),
    ({"$referring_domain": "duckduckgo.com"}, "Organic Search"),
    ({"$referring_domain": "t.co"}, "Organic Social"),
    ({"$referring_domain": "m.youtube.com"}, "Organic Video"),
    ({"$referring_domain": "www.amazon.de"}, "Organic Shopping"),
    ({"utm_source": "LinkedIn"}, "Organic Social"),
    ({"utm_medium": "web-push"}, "Push"),
    ({"utm_medium": "sms"}, "SMS"),
    ({"utm_medium": "affiliate"}, "Affiliate"),
    ({"fbclid": "x"}, "Organic Social"),
    ({"$referring_domain": "blog.example.org"}, "Referral"),
    ({"$referring_domain": "notgoogle.example.org"}, "Referral"),
    ({}, "Unknown"),
]


def test_channels(app: App, tmp_path: Path) -> None:
    team, begin = next(TEAMS), app.lake.position()
    lines = []
    for number, (properties, _) in enumerate(CHANNELS):
        session = f"0190a000-0000-7000-8000-{number:012d}"
        lines.append(
            {
                "uuid": f"{team}-{number}",
                "event": "$pageview",
                "distinct_id": "a",
                "timestamp": NOW.isoformat(),
                "team_id": team,
            }
            | {"properties": {**properties, "$session_id": session}}
        )
    (tmp_path / "events").write_text("\n".join(map(json.dumps, lines)))
    app.events.load(str(tmp_path / "events"), "posthog")
    found = computed(app, begin, app.lake.position(), team)
    assert [
        (p, found[f"0190a000-0000-7000-8000-{n:012d}"]["channel_type"]) for n, (p, _) in enumerate(CHANNELS)
    ] == CHANNELS
