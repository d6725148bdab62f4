"""Amplitude's tables: events, merge ids, and the view that follows the merges."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.errors import ConfigError

EVENTS, MERGES = "EVENTS_1", "MERGE_IDS_1"


def load(app: App, folder: Path, format_name: str, *lines: dict[str, Any]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), format_name).rejects == 0


def hit(uuid: str, user: str | None, device: str | None, **more: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "event_type": "hit",
        "user_id": user,
        "device_id": device,
        "event_time": "2026-01-02 03:04:05.600000",
        **more,
    }


def make(installation: Installation, app: App) -> None:
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "amp", "model": "amplitude_events", "team_id": 1}, by="t")
    app.exports.create(CONNECTION, {"name": "merged", "model": "merge_ids", "team_id": 1}, by="t")


def rows(installation: Installation, query: str) -> list[dict[str, Any]]:
    client = installation.client()
    try:
        return [dict(row) for row in client.google().query_and_wait(query)]
    finally:
        client.close()


def table(installation: Installation, name: str) -> str:
    return f"`{DEFAULT_PROJECT}.{installation.dataset}.{name}`"


def test_merged_users_are_resolved_by_the_view(installation: Installation, tmp_path: Path) -> None:
    """The rows of Amplitude's page on unique users, and a chain; in several runs, whose rows stay as they were sent."""
    steps = [
        *[("joe", "X", 1), (None, "X", 1), ("joe", "Y", 1), ("jane", "Y", 2), (None, "Y", 2)],
        *[(None, "G", 3), (None, "G", 3), ("john", "G", 3)],
        *[("david", "W", 4), (None, "Z", 5), ("david", "Z", 4), (None, "Z", 4)],
    ]
    with installation.app() as app:
        make(installation, app)
        for start in (0, 4, 10):
            chosen = list(enumerate(steps))[start : {0: 4, 4: 10, 10: 12}[start]]
            load(app, tmp_path, "amplitude", *(hit(f"e{n:02d}", user, device) for n, (user, device, _) in chosen))
            load(app, tmp_path, "amplitude", hit(f"other team {start}", "joe", "X") | {"uuid": f"t{start}"})
            app.exports.run("amp", by="t")
            app.exports.run("merged", by="t")
        # PostHog's ids join in a chain: p into q, q into r.
        lines = [
            {"uuid": f"p{n}", "event": name, "distinct_id": user, "timestamp": "2026-01-03T00:00:00Z"}
            | {"properties": {"alias": alias} if alias else {}}
            for n, (name, user, alias) in enumerate(
                [
                    *[("hit", "p", None), ("hit", "q", None), ("hit", "r", None)],
                    *[("$merge_dangerously", "q", "p"), ("$merge_dangerously", "r", "q")],
                ]
            )
        ]
        load(app, tmp_path, "posthog", *lines)
        app.exports.run("amp", by="t")
        app.exports.run("merged", by="t")
        assert [app.exports.run(name, by="t") for name in ("amp", "merged")] == [[], []]
        found = rows(
            installation,
            f"SELECT uuid, amplitude_id, resolved_amplitude_id FROM {table(installation, EVENTS + '_resolved')}",
        )
        by_uuid = {row["uuid"]: (int(row["amplitude_id"]), int(row["resolved_amplitude_id"])) for row in found}
        assert len(found) == len(by_uuid) == len(steps) + 3 + len(lines)
        assert [by_uuid[f"e{n:02d}"][0] for n in range(len(steps))] == [number for *_, number in steps]
        assert by_uuid["e09"] == (5, 4)
        assert [by_uuid[f"p{n}"] for n in range(5)] == [(6, 8), (7, 8), (8, 8), (7, 8), (8, 8)]
        merges = rows(installation, f"SELECT * FROM {table(installation, MERGES)} ORDER BY amplitude_id")
        assert [(int(row["amplitude_id"]), int(row["merged_amplitude_id"])) for row in merges] == [
            (5, 4),
            (6, 7),
            (7, 8),
        ]
        assert merges[0]["merge_event_time"] == dt.datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=dt.UTC)
        assert merges[0]["merge_server_time"] > dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
        for name in ("amp", "merged"):
            assert not app.exports.tables.verify(name, by="t").different


def test_a_backfill_and_an_export_made_anew_send_the_same_rows(installation: Installation, tmp_path: Path) -> None:
    with installation.app(chunk_bytes=2000) as app:
        make(installation, app)
        load(app, tmp_path, "amplitude", *(hit(f"e{n:02d}", None, f"d{n % 3}") for n in range(30)))
        load(app, tmp_path, "amplitude", *(hit(f"f{n:02d}", f"u{n % 2}", f"d{n % 3}") for n in range(30)))
        load(app, tmp_path, "amplitude", *(hit(f"g{n:02d}", None, f"d{n % 3}") for n in range(30)))
        for name in ("amp", "merged"):
            app.exports.run(name, by="t")
        before = [
            rows(installation, f"SELECT * FROM {table(installation, name)} ORDER BY 1, 2") for name in (EVENTS, MERGES)
        ]
        assert [len(one) for one in before] == [90, 1]
        rows(installation, f"DELETE FROM {table(installation, EVENTS)} WHERE event_type = 'hit' AND uuid > 'f'")
        rows(installation, f"DELETE FROM {table(installation, MERGES)} WHERE TRUE")
        assert [len(app.exports.tables.verify(name, by="t").different) for name in ("amp", "merged")] == [1, 1]
        for name in ("amp", "merged"):
            estimate = app.exports.backfills.estimate(name, "earliest", None, None)
            app.exports.backfills.begin(name, estimate, by="t", parallel=2, progress=lambda _: None)
            assert not app.exports.tables.verify(name, by="t").different
        after = [
            rows(installation, f"SELECT * FROM {table(installation, name)} ORDER BY 1, 2") for name in (EVENTS, MERGES)
        ]
        assert [sorted(map(repr, one)) for one in after] == [sorted(map(repr, one)) for one in before]


AMPLITUDE = {
    "app": 187520, "amplitude_id": 99, "event_id": 7, "session_id": 1767322800000, "city": "Köln", "country": "Germany",
    "carrier": "O2", "device_family": "Apple iPhone", "device_type": "Apple iPhone 5s", "dma": "x", "adid": "a-d",
    "idfa": "i-d", "ip_address": "1.2.3.4", "is_attribution_event": True, "language": "German", "library": "http/1.0",
    "location_lat": 50.9, "location_lng": 6.9, "os_name": "ios", "os_version": "8.1", "paying": "true",
    "platform": "iOS", "region": "NRW", "start_version": "1.0", "version_name": "2.0", "$insert_id": "ins",
    "client_event_time": "2026-01-02 03:04:01.000000", "client_upload_time": "2026-01-02 03:04:02.000000",
    "server_received_time": "2026-01-02 03:04:06.600000", "server_upload_time": "2026-01-02 03:04:07.600000",
    "processed_time": "2026-01-02 03:04:08.600000", "event_properties": {"n": 1.5, "big": 12345678901234567},
    "user_properties": {"plan": "pro"}, "groups": {"org": ["a"]}, "group_properties": {"size": 3},
    "data": {"first_event": True}, "followed_an_identify": False, "unknown_field": [1], "sample_rate": None,
}  # fmt: skip


@pytest.mark.parametrize("json_type", [None, False])
def test_what_amplitude_exported_comes_out_by_its_columns(
    installation: Installation, tmp_path: Path, json_type: bool | None
) -> None:
    with installation.app() as app:
        installation.connect(app)
        fields = {"name": "amp", "model": "amplitude_events", "team_id": 1, "json_type": json_type}
        app.exports.create(CONNECTION, fields, by="t")
        load(app, tmp_path, "amplitude", hit("u-1", "ana", "dev", **AMPLITUDE))
        app.exports.run("amp", by="t")
    (row,) = rows(installation, f"SELECT * FROM {table(installation, EVENTS)}")
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=dt.UTC)
    expected = {name: value for name, value in AMPLITUDE.items() if name in row} | {
        "app": 1,
        "amplitude_id": 1,
        "device_carrier": "O2",
        "device_id": "dev",
        "user_id": "ana",
        "insert_id": "ins",
        "uuid": "u-1",
        "event_type": "hit",
        "event_time": moment,
        "data": {"unknown_field": [1], "first_event": True, "app": 187520, "amplitude_id": 99},
    }
    times = {name: dt.datetime.fromisoformat(f"{value}+00:00") for name, value in AMPLITUDE.items() if "_time" in name}
    read = {name: json.loads(v) if isinstance(v, str) and v.startswith("{") else v for name, v in row.items()}
    assert read == {**expected, **times}


def test_segments_and_posthogs_events_have_amplitudes_columns_too(installation: Installation, tmp_path: Path) -> None:
    segment = {
        "type": "track", "event": "bought", "messageId": "s1", "userId": "ana", "anonymousId": "anon",
        "timestamp": "2026-01-02T03:04:05Z", "sentAt": "2026-01-02T03:04:06Z", "properties": {"n": 1},
        "context": {"os": {"name": "iOS", "version": "17"}, "library": {"name": "js", "version": "4.1"},
                    "locale": "de"},
    }  # fmt: skip
    properties = {
        "$device_id": "anon", "$session_id": "019b7c1d-5e00-7000-8000-000000000001", "$os": "Linux", "$lib": "web",
        "$lib_version": "1.2", "$geoip_latitude": 50.5, "$groups": {"org": "a"}, "$set": {"x": 1},
        "$set_once": {"y": 2},
    }  # fmt: skip
    posthog = {"uuid": "p1", "event": "$pageview", "distinct_id": "anon", "timestamp": "2026-01-02T03:04:05Z"}
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "amp", "model": "amplitude_events", "team_id": 1}, by="t")
        load(app, tmp_path, "segment", segment)
        load(app, tmp_path, "posthog", {**posthog, "properties": properties}, {**posthog, "uuid": "p2"})
        app.exports.run("amp", by="t")
    found = {row["uuid"]: row for row in rows(installation, f"SELECT * FROM {table(installation, EVENTS)}")}
    names = ("user_id", "device_id", "os_name", "library", "language", "session_id", "event_type", "insert_id")
    assert [found["s1"][name] for name in names] == ["ana", "anon", "iOS", "js/4.1", "de", -1, "bought", "s1"]
    assert found["s1"]["client_upload_time"] == dt.datetime(2026, 1, 2, 3, 4, 6, tzinfo=dt.UTC)
    assert found["s1"]["data"]["context"]["os"] == {"name": "iOS", "version": "17"}
    assert found["p2"]["data"] is None  # nothing was sent that has no column
    began = int("019b7c1d5e00", 16)
    assert [found["p1"][name] for name in names] == [None, "anon", "Linux", "web/1.2", None, began, "$pageview", "p1"]
    assert found["p1"]["user_properties"] == {"$set": {"x": 1}, "$setOnce": {"y": 2}}
    assert (found["p1"]["groups"], found["p1"]["location_lat"]) == ({"org": "a"}, 50.5)
    assert found["p1"]["event_properties"]["$lib"] == "web"


def test_a_view_that_is_there_is_left_alone(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        make(installation, app)
        client = installation.client()
        client.create_view(installation.dataset, f"{EVENTS}_resolved", "SELECT 1 AS mine", "")
        client.close()
        load(app, tmp_path, "amplitude", hit("e1", None, "d"), hit("e2", "u", "w"), hit("e3", "u", "d"))
        for name in ("amp", "merged"):
            app.exports.run(name, by="t")
    assert rows(installation, f"SELECT * FROM {table(installation, EVENTS + '_resolved')}") == [{"mine": 1}]


def test_the_team_must_be_said(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        for model in ("amplitude_events", "merge_ids"):
            with pytest.raises(ConfigError) as caught:
                app.exports.create(CONNECTION, {"name": "amp", "model": model}, by="t")
            assert caught.value.code == "team_missing"


@pytest.mark.parametrize(
    "odd",
    [
        {"server_received_time": "infinity"},
        {"processed_time": "294247-01-10"},
        {"client_upload_time": "0044-03-15 (BC)"},
        {"client_upload_time": 999999999999999},
        {"location_lat": "nan", "location_lng": "-Infinity"},
        {"session_id": "170141183460469231731687303715884105727"},
        {"sample_rate": "1e300", "event_id": "1e30"},
    ],
    ids=str,
)
def test_a_value_that_bigquery_has_not_is_null_and_stops_nothing(
    installation: Installation, tmp_path: Path, odd: dict[str, Any]
) -> None:
    with installation.app() as app:
        installation.connect(app)
        for name, json_type in (("amp", True), ("plain", False)):
            fields = {"name": name, "model": "amplitude_events", "team_id": 1, "table": name, "json_type": json_type}
            app.exports.create(CONNECTION, fields, by="t")
        load(app, tmp_path, "amplitude", hit("u-1", "ana", "dev", **{**AMPLITUDE, **odd}))
        for name in ("amp", "plain"):
            app.exports.run(name, by="t")
            (row,) = installation.rows(name)
            for column in odd:
                value = row[column]  # of a session_id, -1 says that there is none; of some times, we know another
                assert value in {None, -1} or 2000 < value.year < 3000


def test_events_keep_the_number_of_a_person_that_was_deleted(installation: Installation, tmp_path: Path) -> None:
    """Who comes under the id from then on is somebody else; also where events are sent again, and a second time."""

    def numbers() -> dict[str, Any]:
        return {row["insert_id"]: row["amplitude_id"] for row in installation.rows("numbered")}

    with installation.app() as app:
        installation.connect(app)
        fields = {"name": "numbered", "model": "amplitude_events", "table": "numbered", "team_id": 1}
        app.exports.create(CONNECTION, fields, by="t")
        device = {"event_type": "hit", "device_id": "phone"}
        for turn in range(3):
            first = {**device, "user_id": "ana", "insert_id": f"known {turn}", "time": 1767322000000}
            file = tmp_path / f"{turn}.jsonl"
            file.write_text(
                "\n".join(map(json.dumps, [first, {**first, "user_id": None, "insert_id": f"device {turn}"}]))
            )
            assert app.events.load(str(file), "amplitude").rows == 2
            if turn:
                app.exports.run("numbered", by="t")
            assert app.identity.delete(1, "ana")
        before = numbers()
        assert before["known 0"] == before["device 0"]
        assert len({before[f"known {turn}"] for turn in range(3)}) == 3
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.numbered` WHERE TRUE", job_id=f"test_{tmp_path.name}")
        client.close()
        estimate = app.exports.backfills.estimate("numbered", "earliest", None, "week")
        app.exports.backfills.begin("numbered", estimate, by="t", parallel=1, progress=lambda _: None)
        assert numbers() == before
