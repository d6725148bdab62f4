"""Amplitude's Merge IDs table: which user turned out to be which other. Rows never change.

Facts: Amplitude, "Google BigQuery" (destination), its merge table schema; its numbers are BIGNUMERIC as in the events.
"""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

MERGE_IDS = Model(
    name="merge_ids",
    title="Merge IDs, as Amplitude has them",
    description="One row for each user that turned out to be another one. Follow them to the end: they form chains.",
    columns=(
        Column("amplitude_id", Type.BIGNUMERIC, "The number that is merged into another one."),
        Column("merge_event_time", Type.TIMESTAMP, "When the event happened by which that is known."),
        Column("merge_server_time", Type.TIMESTAMP, "When the server received that event."),
        Column("merged_amplitude_id", Type.BIGNUMERIC, "The number that stays."),
    ),
    key=("amplitude_id",),
    cluster_by=("amplitude_id",),
    table="MERGE_IDS_{team_id}",
    one_team=True,
)
