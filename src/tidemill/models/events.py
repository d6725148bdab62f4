"""The events model: one row an event, immutable."""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

EVENTS = Model(
    name="events",
    title="Events",
    description="One row for each event that was sent, as it was sent. Rows never change.",
    columns=(
        Column("uuid", Type.STRING, "The unique id of the event: the sender's own, or derived from its content."),
        Column("event", Type.STRING, "The name of the event that was sent."),
        Column("properties", Type.STRING, "A JSON object with all properties sent with the event.", json=True),
        Column("elements", Type.STRING, "Kept for compatibility with older exports; deprecated."),
        Column("set", Type.STRING, "A JSON object with the person properties sent as $set.", json=True),
        Column("set_once", Type.STRING, "A JSON object with the person properties sent as $set_once.", json=True),
        Column("distinct_id", Type.STRING, "The distinct_id of the user who sent the event."),
        Column("team_id", Type.INT64, "The team (project) that the event belongs to."),
        Column("ip", Type.STRING, "The IP address that was sent with the event."),
        Column("site_url", Type.STRING, "Kept for compatibility with older exports; deprecated, always empty."),
        Column("timestamp", Type.TIMESTAMP, "When the event happened."),
        Column("bq_ingested_timestamp", Type.TIMESTAMP, "When the row was handed to BigQuery."),
    ),
    key=("team_id", "uuid"),
    partition_by="timestamp",
    cluster_by=("event",),
    table="events",
    event_column="event",
)
