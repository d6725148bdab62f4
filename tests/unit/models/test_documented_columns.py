"""Names and types of columns are those that are documented by PostHog and Amplitude; written out here, not derived."""

from __future__ import annotations

from tidemill.models.amplitude_events import AMPLITUDE_EVENTS
from tidemill.models.merge_ids import MERGE_IDS
from tidemill.models.model import Model
from tidemill.models.persons import PERSONS
from tidemill.models.sessions import SESSIONS

#: PostHog, "BigQuery destination for batch exports": the sessions model, in its order.
SESSION_NAMES = [
    "session_id",
    "session_id_v7",
    "team_id",
    "distinct_id",
    "start_timestamp",
    "end_timestamp",
    "urls",
    "num_uniq_urls",
    "entry_current_url",
    "entry_pathname",
    "entry_hostname",
    "end_current_url",
    "end_pathname",
    "end_hostname",
    "entry_utm_source",
    "entry_utm_campaign",
    "entry_utm_medium",
    "entry_utm_term",
    "entry_utm_content",
    "entry_referring_domain",
    "entry_gclid",
    "entry_fbclid",
    "entry_gad_source",
    "pageview_count",
    "autocapture_count",
    "screen_count",
    "channel_type",
    "session_duration",
    "duration",
    "is_bounce",
    "last_external_click_url",
    "page_screen_autocapture_count_up_to",
    "exit_current_url",
    "exit_pathname",
    "vitals_lcp",
    "entry_gclsrc",
    "entry_dclid",
    "entry_gbraid",
    "entry_wbraid",
    "entry_msclkid",
    "entry_twclid",
    "entry_li_fat_id",
    "entry_mc_cid",
    "entry_igshid",
    "entry_ttclid",
    "entry__kx",
    "entry_irclid",
]
#: Those that are no STRING.
SESSION_TYPES = {
    **dict.fromkeys(("start_timestamp", "end_timestamp"), "TIMESTAMP"),
    **dict.fromkeys(("team_id", "num_uniq_urls", "pageview_count", "autocapture_count", "screen_count"), "INT64"),
    **dict.fromkeys(("session_duration", "duration", "page_screen_autocapture_count_up_to"), "INT64"),
    "vitals_lcp": "FLOAT64",
    "is_bounce": "BOOL",
}
#: Amplitude, "Google BigQuery" (destination): the event table; of its types those that are no STRING.
EVENT_NAMES = [
    "adid",
    "amplitude_id",
    "app",
    "city",
    "client_event_time",
    "client_upload_time",
    "country",
    "data",
    "device_carrier",
    "device_family",
    "device_id",
    "device_type",
    "dma",
    "event_id",
    "event_properties",
    "event_time",
    "followed_an_identify",
    "group_properties",
    "groups",
    "idfa",
    "ip_address",
    "is_attribution_event",
    "language",
    "library",
    "location_lat",
    "location_lng",
    "os_name",
    "os_version",
    "paying",
    "platform",
    "processed_time",
    "region",
    "sample_rate",
    "server_received_time",
    "server_upload_time",
    "session_id",
    "start_version",
    "user_id",
    "user_properties",
    "uuid",
    "version_name",
    "event_type",
    "insert_id",
]
EVENT_TYPES = {
    **dict.fromkeys(("amplitude_id", "sample_rate", "session_id"), "BIGNUMERIC"),
    **dict.fromkeys(("app", "event_id"), "INT64"),
    **dict.fromkeys(("client_event_time", "client_upload_time", "event_time", "processed_time"), "TIMESTAMP"),
    **dict.fromkeys(("server_received_time", "server_upload_time"), "TIMESTAMP"),
    **dict.fromkeys(("followed_an_identify", "is_attribution_event"), "BOOL"),
    **dict.fromkeys(("location_lat", "location_lng"), "FLOAT64"),
    **dict.fromkeys(("data", "event_properties", "group_properties", "groups", "user_properties"), "JSON"),
}


def types(model: Model, *, json_type: bool) -> dict[str, str]:
    return {column.name: column.type.value for column in model.columns_for(json_type=json_type)}


def test_sessions() -> None:
    assert len(SESSION_NAMES) == 47
    found = types(SESSIONS, json_type=False)
    assert list(found)[:47] == SESSION_NAMES
    assert {name: found[name] for name in SESSION_NAMES} == {n: SESSION_TYPES.get(n, "STRING") for n in SESSION_NAMES}
    assert [column.name for column in SESSIONS.columns if column.repeated] == ["urls"]


def test_amplitude_events() -> None:
    assert types(AMPLITUDE_EVENTS, json_type=True) == {name: EVENT_TYPES.get(name, "STRING") for name in EVENT_NAMES}
    assert (AMPLITUDE_EVENTS.partition_by, AMPLITUDE_EVENTS.json_type) == ("event_time", True)


def test_merge_ids() -> None:
    numbers = dict.fromkeys(("amplitude_id", "merged_amplitude_id"), "BIGNUMERIC")
    times = dict.fromkeys(("merge_event_time", "merge_server_time"), "TIMESTAMP")
    assert types(MERGE_IDS, json_type=False) == {**numbers, **times}


def test_persons() -> None:
    texts = dict.fromkeys(("distinct_id", "person_id", "properties"), "STRING")
    whole = dict.fromkeys(("team_id", "person_version", "person_distinct_id_version"), "INT64")
    more = {"created_at": "TIMESTAMP", "is_deleted": "BOOL", "bq_updated_timestamp": "TIMESTAMP"}
    assert types(PERSONS, json_type=False) == {**texts, **whole, **more}
    assert types(PERSONS, json_type=True)["properties"] == "JSON"
    assert (PERSONS.key, PERSONS.versions) == (
        ("team_id", "distinct_id"),
        ("person_version", "person_distinct_id_version"),
    )


def test_every_column_says_what_it_is() -> None:
    for model in (SESSIONS, AMPLITUDE_EVENTS, MERGE_IDS, PERSONS):
        assert all(len(column.description) > 3 for column in model.columns)
