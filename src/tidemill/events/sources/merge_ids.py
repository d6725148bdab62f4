"""Merge ids: who turned out to be whom, from the metadata database, by the steps of the identities."""

from __future__ import annotations

from tidemill.events.sources.metadata import MetadataSource
from tidemill.events.sources.source import Selection


class MergeIdSource(MetadataSource):
    """See the module; the methods are those of source.Source."""

    repeatable = ordered = True

    def asked(self, selection: Selection, schema: str) -> str:
        """See MetadataSource."""
        team = f" AND team_id = {selection.team_id}" if selection.team_id is not None else ""
        return (
            "SELECT number AS amplitude_id, event_time AS merge_event_time, server_time AS merge_server_time, "
            f"into_number AS merged_amplitude_id, team_id, 40 AS bytes, change FROM {schema}.merge_ids "
            f"WHERE change > {selection.after} AND change <= {selection.upto}{team}"
        )

    def added(self, handed_at: str) -> str:
        """See MetadataSource."""
        return "team_id AS row_team, amplitude_id::VARCHAR AS row_id, change AS row_change, amplitude_id AS row_number"
