"""Amplitude's Event table: one row an event, by the columns of Amplitude's BigQuery export.

Facts: Amplitude, "Google BigQuery" (destination), its event table schema. `event_type` and `insert_id` are added: that
page leaves them out, and no export can be read without them.
"""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type


def _json(name: str, description: str) -> Column:
    return Column(name, Type.STRING, description, json=True)


AMPLITUDE_EVENTS = Model(
    name="amplitude_events",
    title="Events, as Amplitude has them",
    description="One row for each event, by the columns of Amplitude's BigQuery export. Rows never change.",
    columns=(
        Column("adid", Type.STRING, "The advertising id of Google Play."),
        Column(
            "amplitude_id", Type.BIGNUMERIC, "The number of the user, before merges: see MERGE_IDS. It never changes."
        ),
        Column("app", Type.INT64, "The project (team) that the event belongs to."),
        Column("city", Type.STRING, "The city."),
        Column("client_event_time", Type.TIMESTAMP, "When the event was logged, by the device's clock."),
        Column("client_upload_time", Type.TIMESTAMP, "When the event was sent, by the device's clock."),
        Column("country", Type.STRING, "The country."),
        _json("data", "What else was sent with the event, and has no column of its own."),
        Column("device_carrier", Type.STRING, "The carrier of the device."),
        Column("device_family", Type.STRING, "The family of the device, such as Apple iPhone."),
        Column("device_id", Type.STRING, "The id of the device."),
        Column("device_type", Type.STRING, "The type of the device, such as Apple iPhone 5s."),
        Column("dma", Type.STRING, "The designated marketing area."),
        Column("event_id", Type.INT64, "A counter that tells events apart."),
        _json("event_properties", "The properties of the event."),
        Column("event_time", Type.TIMESTAMP, "When the event happened; by its day the table is partitioned."),
        Column("event_type", Type.STRING, "The name of the event."),
        Column("followed_an_identify", Type.BOOL, "Whether an identify call came since the SDK's event before."),
        _json("group_properties", "The properties of the groups."),
        _json("groups", "The groups by their types."),
        Column("idfa", Type.STRING, "Apple's advertising id."),
        Column("insert_id", Type.STRING, "The id that the sender gave, by which duplicates were left out."),
        Column("ip_address", Type.STRING, "The IP address."),
        Column("is_attribution_event", Type.BOOL, "Whether the event is about attribution."),
        Column("language", Type.STRING, "The language."),
        Column("library", Type.STRING, "The library that sent the event, with its version."),
        Column("location_lat", Type.FLOAT64, "The latitude."),
        Column("location_lng", Type.FLOAT64, "The longitude."),
        Column("os_name", Type.STRING, "The operating system."),
        Column("os_version", Type.STRING, "The version of the operating system."),
        Column("paying", Type.STRING, "What was sent: true if the user ever paid; NULL if nothing was."),
        Column("platform", Type.STRING, "The platform."),
        Column("processed_time", Type.TIMESTAMP, "When the event was committed here, or processed by Amplitude."),
        Column("region", Type.STRING, "The region."),
        Column("sample_rate", Type.BIGNUMERIC, "The rate of sampling."),
        Column("server_received_time", Type.TIMESTAMP, "When the server received the event."),
        Column("server_upload_time", Type.TIMESTAMP, "When the server took the event in."),
        Column("session_id", Type.BIGNUMERIC, "When the session began, in milliseconds since 1970; -1: in no session."),
        Column("start_version", Type.STRING, "The first version of the app that the user was seen with."),
        Column("user_id", Type.STRING, "The id of the user, if the sender knew it."),
        _json("user_properties", "The properties of the user that were sent; operations on them as they were sent."),
        Column("uuid", Type.STRING, "The unique id of the event."),
        Column("version_name", Type.STRING, "The version of the app."),
    ),
    key=("uuid",),
    partition_by="event_time",
    cluster_by=("event_type", "amplitude_id"),
    table="EVENTS_{team_id}",
    json_type=True,
    event_column="event_type",
    one_team=True,
)
