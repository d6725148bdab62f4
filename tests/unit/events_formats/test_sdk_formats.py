"""What each SDK's or export's record becomes."""

import datetime as dt
import json
from typing import Any

import pytest

from tidemill.errors import RowError
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event

NOW = 1_700_000_000_000_000
NOON = 1_694_779_200_000_000
AT_NOON = "2023-09-15T12:00:00.000Z"


def read(name: str, record: Any) -> list[Event | RowError]:
    data = record if isinstance(record, bytes) else json.dumps(record).encode()
    return registry.SDK_FORMATS[name].parse(data, NOW)


def one(name: str, record: Any) -> Event:
    (event,) = read(name, record)
    assert isinstance(event, Event)
    return event


def code(name: str, record: Any) -> str:
    with pytest.raises(RowError) as caught:
        read(name, record)
    return caught.value.code


BASE = {"event": "e", "distinct_id": "d"}


class TestPostHog:
    def test_a_captured_event(self) -> None:
        event = one("posthog", {**BASE, "uuid": "u", "timestamp": AT_NOON, "properties": {"$ip": "1.2.3.4", "a": 1}})
        assert (event.uuid, event.event, event.distinct_id, event.timestamp, event.has_time) == (
            "u",
            "e",
            "d",
            NOON,
            True,
        )
        assert (event.ip, json.loads(event.properties), event.envelope) == ("1.2.3.4", {"$ip": "1.2.3.4", "a": 1}, None)

    @pytest.mark.parametrize("shape", ["single", "array", "batch"])
    def test_single_array_and_batch_are_the_same(self, shape: str) -> None:
        events = [{**BASE, "event": name, "timestamp": AT_NOON} for name in "abc"]
        bodies = {"single": events[0], "array": events, "batch": {"api_key": "k", "batch": events}}
        found = read("posthog", bodies[shape])
        assert [event.event for event in found if isinstance(event, Event)] == list("a" if shape == "single" else "abc")

    def test_a_bad_member_does_not_spoil_the_batch(self) -> None:
        found = read("posthog", {"batch": [5, BASE, {"event": ""}, {"event": "x"}]})
        assert [getattr(item, "code", "taken") for item in found] == [
            "field_type",
            "taken",
            "event_missing",
            "distinct_id_missing",
        ]

    @pytest.mark.parametrize(
        ("record", "wanted"),
        [
            ({"event": "e", "distinct_id": 12}, "12"),
            ({"event": "e", "distinct_id": 1.5}, "1.5"),
            ({"event": "e", "distinct_id": True}, "true"),
            ({"event": "e", "distinct_id": ["a"]}, '["a"]'),
            ({"event": "e", "distinct_id": 123456789012345678901234567890}, "123456789012345678901234567890"),
            ({"event": "e", "$distinct_id": "x"}, "x"),
            ({"event": "e", "distinct_id": "", "properties": {"distinct_id": "p"}}, "p"),
            ({"event": "e", "distinct_id": None, "properties": {"distinct_id": 7}}, "7"),
            ({"event": "e", "distinct_id": "é" * 300}, "é" * 200),
        ],
    )
    def test_where_the_person_may_stand(self, record: dict[str, Any], wanted: str) -> None:
        assert one("posthog", record).distinct_id == wanted

    @pytest.mark.parametrize("blank", ["", "  ", None])
    def test_nobody_is_no_person(self, blank: str | None) -> None:
        assert code("posthog", {"event": "e", "distinct_id": blank}) == "distinct_id_missing"

    def test_person_properties_beside_or_inside(self) -> None:
        inside = one("posthog", {**BASE, "properties": {"$set": {"a": 1}}, "$set": {"a": 2}, "$set_once": {"b": 3}})
        assert (inside.set, inside.set_once) == ('{"a": 1}', '{"b": 3}')
        escaped = one("posthog", b'{"event":"e","distinct_id":"d","properties":{"\\u0024set":{"a":1}}}')
        assert escaped.set == '{"a":1}'
        odd = one("posthog", {**BASE, "properties": {"$set": 5, "$set_once": "{bad"}})
        assert (odd.set, odd.set_once) == (None, None)

    def test_the_offset_counts_from_when_it_was_sent(self) -> None:
        event = one("posthog", {"batch": [{**BASE, "offset": 1500}], "sent_at": "2023-09-15T12:00:01.500Z"})
        assert (event.timestamp, event.has_time) == (NOON, True)

    def test_without_a_time_it_is_when_it_was_read(self) -> None:
        event = one("posthog", BASE)
        assert (event.timestamp, event.has_time) == (NOW, False)

    def test_an_exported_event_keeps_what_has_no_column(self) -> None:
        event = one(
            "posthog",
            {
                **BASE,
                "uuid": "u",
                "properties": '{"a": 1}',
                "set": '{"s": 1}',
                "set_once": "",
                "elements": "[]",
                "team_id": 7,
                "timestamp": "2023-09-15 12:00:00.000000",
                "person_properties": {"plan": "pro"},
                "site_url": "",
            },
        )
        assert (event.properties, event.set, event.set_once, event.team_id) == ('{"a": 1}', '{"s": 1}', None, 7)
        assert (event.timestamp, event.envelope) == (NOON, '{"person_properties":{"plan": "pro"}}')

    def test_no_key_is_kept(self) -> None:
        event = one("posthog", {**BASE, "api_key": "k1", "token": "k2", "$token": "k3", "type": "capture"})
        assert event.envelope == '{"type":"capture"}'

    @pytest.mark.parametrize("team", [2**63, 10**30, -1, "7"])
    def test_a_team_that_no_column_holds(self, team: int | str) -> None:
        assert code("posthog", {**BASE, "team_id": team}) == "field_type"

    @pytest.mark.parametrize("offset", [1e300, -1e15, 1e20])
    def test_an_offset_beyond_all_times(self, offset: float) -> None:
        assert code("posthog", {**BASE, "sent_at": AT_NOON, "offset": offset}) == "timestamp_out_of_range"

    @pytest.mark.parametrize(
        "record", [b'"x"', b"5", b"null", {"batch": 5}, b"data=%%%", b"data=e30", b"{}", b"9" * 5000]
    )
    def test_what_is_no_event(self, record: Any) -> None:
        with pytest.raises(RowError):
            read("posthog", record)


class TestSegment:
    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            ("identify", "$identify"),
            ("page", "$pageview"),
            ("screen", "$screen"),
            ("group", "$groupidentify"),
            ("alias", "$create_alias"),
        ],
    )
    def test_calls_other_than_track_get_well_known_names(self, kind: str, name: str) -> None:
        event = one("segment", {"type": kind, "userId": "u", "messageId": "m", "timestamp": AT_NOON})
        assert (event.event, event.kind, event.uuid, event.timestamp) == (name, kind, "m", NOON)

    def test_track(self) -> None:
        event = one(
            "segment",
            {
                "type": "track",
                "event": "Bought",
                "anonymousId": "a",
                "properties": {"p": 1},
                "originalTimestamp": AT_NOON,
                "writeKey": "secret",
                "context": {"ip": "1.2.3.4"},
                "integrations": {"All": True},
            },
        )
        assert (event.event, event.distinct_id, event.properties, event.ip) == ("Bought", "a", '{"p": 1}', "1.2.3.4")
        assert json.loads(event.envelope or "") == {
            "anonymousId": "a",
            "originalTimestamp": AT_NOON,
            "context": {"ip": "1.2.3.4"},
            "integrations": {"All": True},
        }

    def test_traits_of_identify_are_set_and_others_are_kept(self) -> None:
        identify = one("segment", {"type": "identify", "userId": "u", "traits": {"plan": "pro"}})
        assert (identify.set, identify.envelope) == ('{"plan": "pro"}', '{"userId":"u"}')
        rudder = one("segment", {"type": "identify", "userId": "u", "context": {"traits": {"plan": "pro"}}})
        assert rudder.set == '{"plan": "pro"}'
        group = one("segment", {"type": "group", "userId": "u", "groupId": "g", "traits": {"size": 3}})
        assert group.set is None
        assert json.loads(group.properties) == {"$group_type": "group", "$group_key": "g", "$group_set": {"size": 3}}
        assert json.loads(group.envelope or "") == {"userId": "u"}

    def test_a_batch_shares_what_stands_beside_it(self) -> None:
        body = {
            "writeKey": "secret",
            "sentAt": AT_NOON,
            "context": {"ip": "9.9.9.9"},
            "batch": [
                {"type": "track", "event": "a", "userId": "u"},
                {"type": "odd", "userId": "u"},
                {"type": "track", "event": "b", "userId": "u", "context": {}},
            ],
        }
        first, second, third = read("segment", body)
        assert isinstance(first, Event)
        assert isinstance(third, Event)
        assert (first.ip, first.timestamp, third.ip) == ("9.9.9.9", NOON, None)
        assert getattr(second, "code", "") == "call_unknown"
        assert "secret" not in (first.envelope or "")

    @pytest.mark.parametrize("kind", [[1], {"a": 1}, 5, True])
    def test_a_type_that_is_no_text(self, kind: Any) -> None:
        assert code("segment", {"type": kind, "userId": "u"}) == "call_unknown"

    def test_an_array_of_calls(self) -> None:
        assert len(read("segment", [{"type": "track", "event": "a", "userId": "u"}] * 3)) == 3


class TestAmplitude:
    def test_an_exported_event(self) -> None:
        event = one(
            "amplitude",
            {
                "uuid": "u",
                "$insert_id": "i",
                "event_type": "e",
                "user_id": None,
                "device_id": "dev",
                "event_time": "2023-09-15 12:00:00.000000",
                "event_properties": {"p": 1},
                "user_properties": {"plan": "pro"},
                "ip_address": "1.2.3.4",
                "amplitude_id": 5,
            },
        )
        assert (event.uuid, event.distinct_id, event.timestamp, event.ip) == ("u", "dev", NOON, "1.2.3.4")
        assert (event.properties, event.set) == ('{"p": 1}', '{"plan": "pro"}')
        assert json.loads(event.envelope or "")["amplitude_id"] == 5

    def test_a_body_of_http_v2(self) -> None:
        events = [
            {"event_type": "e", "user_id": "u", "time": NOON // 1000, "insert_id": "i", "ip": "$remote"},
            {"time": 5},
        ]
        taken, bad = read("amplitude", {"api_key": "secret", "events": events})
        assert isinstance(taken, Event)
        assert (taken.timestamp, taken.ip) == (NOON, None)
        assert "secret" not in (taken.envelope or "")
        assert getattr(bad, "code", "") == "event_missing"

    def test_the_id_of_an_event_of_a_body_is_that_of_its_insert_id_and_its_device(self) -> None:
        def uuid(**fields: Any) -> str:
            return one("amplitude", {"event_type": "e", "insert_id": "i", **fields}).uuid

        assert uuid(device_id="d1") == uuid(device_id="d1", user_id="u", time=NOON // 1000) != ""
        assert len({uuid(device_id="d1"), uuid(device_id="d2"), uuid(user_id="u"), uuid(user_id="u", insert_id=1)}) == 4

    def test_operations_on_person_properties(self) -> None:
        operations = {"$set": {"a": 1}, "$setOnce": {"b": 2}}
        event = one("amplitude", {"event_type": "$identify", "user_id": "u", "user_properties": operations})
        assert (event.kind, event.set, event.set_once) == ("identify", '{"a": 1}', '{"b": 2}')
        more = {"event_type": "e", "user_id": "u", "user_properties": {**operations, "$add": {"n": 1}}}
        assert json.loads(one("amplitude", more).envelope or "")["user_properties"]["$add"] == {"n": 1}

    @pytest.mark.parametrize(
        ("sent", "received", "off"),
        [(0, 59, 0), (0, 60, 60), (0, 7200, 7200), (7200, 0, -7200), (59, 0, 0), (None, 7200, 0), (7200, None, 0)],
    )
    def test_the_clock_of_a_device_is_put_right(self, sent: int | None, received: int | None, off: int) -> None:
        second = 1_000_000

        def said(seconds: int | None) -> str | None:
            return None if seconds is None else dt.datetime.fromtimestamp(NOON / second + seconds, dt.UTC).isoformat()

        record = {"event_type": "e", "user_id": "u", "client_event_time": said(-5)}
        record |= {"client_upload_time": said(sent), "server_received_time": said(received)}
        assert one("amplitude", record).timestamp == NOON + (off - 5) * second
        assert one("amplitude", {**record, "event_time": said(1)}).timestamp == NOON + second

    @pytest.mark.parametrize("time", [[1], {"a": 1}, True, "later"])
    def test_a_time_that_is_none(self, time: Any) -> None:
        assert code("amplitude", {"event_type": "e", "user_id": "u", "time": time}) == "timestamp_invalid"


class TestMixpanel:
    @pytest.mark.parametrize("time", [NOON // 1_000_000, NOON // 1000])
    def test_seconds_or_milliseconds(self, time: int) -> None:
        record = {"event": "e", "properties": {"time": time, "distinct_id": "d", "$insert_id": "i", "mp_lib": "web"}}
        event = one("mixpanel", record)
        assert (event.uuid, event.distinct_id, event.timestamp) == ("i", "d", NOON)
        assert json.loads(event.properties) == record["properties"]

    def test_the_user_or_the_device_if_there_is_no_distinct_id(self) -> None:
        assert one("mixpanel", {"event": "e", "properties": {"$user_id": "u", "$device_id": "v"}}).distinct_id == "u"
        assert code("mixpanel", {"event": "e", "properties": {}}) == "distinct_id_missing"

    def test_an_array(self) -> None:
        found = read("mixpanel", [{"event": "e", "properties": {"distinct_id": "d"}}, 5])
        assert [type(item) for item in found] == [Event, RowError]


NASTY: list[Any] = [None, True, 5, 1.5, "", "x", [], [1], {}, {"a": 1}, 10**30, "\ud800", "2023-01-01", -1]
FIELDS = {
    "posthog": ["event", "uuid", "distinct_id", "timestamp", "offset", "sent_at", "properties", "$set", "set", "ip"],
    "segment": ["type", "event", "userId", "anonymousId", "messageId", "timestamp", "properties", "traits", "context"],
    "amplitude": ["event_type", "uuid", "user_id", "device_id", "time", "event_properties", "user_properties", "ip"],
    "mixpanel": ["event", "properties"],
}
MORE = {"posthog": ["elements", "elements_chain", "team_id", "batch"], "segment": ["batch"], "amplitude": ["events"]}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", NASTY, ids=repr)
def test_any_value_in_any_field_is_taken_or_refused(name: str, value: Any) -> None:
    records: dict[str, dict[str, Any]] = {
        "posthog": {**BASE},
        "segment": {"type": "track", "event": "e", "userId": "u"},
        "amplitude": {"event_type": "e", "user_id": "u"},
        "mixpanel": {"event": "e", "properties": {"distinct_id": "d"}},
    }
    good = records[name]
    for field in FIELDS[name] + MORE.get(name, []):
        try:
            found = read(name, {**good, field: value})
        except RowError:
            continue
        for event in found:
            if isinstance(event, Event):
                assert -(2**63) <= event.timestamp < 2**63
                for text in (event.properties, event.set, event.set_once, event.envelope):
                    assert text is None or isinstance(json.loads(text), dict)
                assert all("\ud800" not in text for text in (event.event, event.distinct_id, event.uuid))
