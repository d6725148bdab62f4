"""Persons: one row a distinct_id that has one, from the metadata database, by the steps of the identities.

A row belongs to the step that changed it last, its person's or its own. So what changes again while a run moves it
comes with a later run, and only then: a run never holds an older state than one before it.
"""

from __future__ import annotations

from types import MappingProxyType

from tidemill.events.sources.metadata import MetadataSource
from tidemill.events.sources.source import Selection

_ROWS = """
    SELECT d.team_id, d.distinct_id, d.person_id, p.properties, p.version AS person_version,
        d.version AS person_distinct_id_version, p.created_at, p.deleted AS is_deleted,
        p.bytes + octet_length(d.distinct_id) + 100 AS bytes, greatest(p.change, d.change) AS change
    FROM {schema}.distinct_ids d JOIN {schema}.persons p ON p.team_id = d.team_id AND p.id = d.person_id
    WHERE greatest(p.change, d.change) <= {upto} AND NOT p.erased AND {since}{team}
"""


class PersonSource(MetadataSource):
    """See the module; the methods are those of source.Source."""

    repeatable = False  # of a person only the newest state is kept
    ordered = MappingProxyType({"team_id": "team_id", "distinct_id": 'distinct_id COLLATE "C"'})

    def asked(self, selection: Selection, schema: str) -> str:
        """See MetadataSource."""
        team = f" AND d.team_id = {selection.team_id}" if selection.team_id is not None else ""
        after = selection.after
        # Each way by its index; all of them by neither.
        ways = (f"d.change > {after}", f"p.change > {after} AND d.change <= {after}") if after else ("true",)
        return " UNION ALL ".join(
            _ROWS.format(schema=schema, upto=selection.upto, since=since, team=team) for since in ways
        )

    def added(self, handed_at: str) -> str:
        """See MetadataSource."""
        return f"{handed_at} AS bq_updated_timestamp, team_id AS row_team, distinct_id AS row_id"
