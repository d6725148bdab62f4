"""The persons model: one row a distinct_id that has a person, the newest state of it."""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

PERSONS = Model(
    name="persons",
    title="Persons",
    description="One row for each distinct_id, with the person it belongs to. Rows change: each run merges the newest.",
    columns=(
        Column("team_id", Type.INT64, "The team (project) that the person belongs to."),
        Column("distinct_id", Type.STRING, "A distinct_id of the person."),
        Column("person_id", Type.STRING, "The id of the person that the distinct_id belongs to."),
        Column("properties", Type.STRING, "A JSON object with the newest properties of the person.", json=True),
        Column("person_version", Type.INT64, "Grows with each change of the person; rows are merged by it."),
        Column("person_distinct_id_version", Type.INT64, "Grows when the distinct_id goes to another person."),
        Column("created_at", Type.TIMESTAMP, "When the person was first seen."),
        Column("is_deleted", Type.BOOL, "True once the person was deleted; its properties are gone then."),
        Column("bq_updated_timestamp", Type.TIMESTAMP, "When this state of the row was handed to BigQuery."),
    ),
    key=("team_id", "distinct_id"),
    versions=("person_version", "person_distinct_id_version"),
    cluster_by=("team_id", "distinct_id"),
    table="persons",
)
