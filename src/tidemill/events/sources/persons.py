"""Persons: one row a distinct_id that has one, from the metadata database, by the steps of the identities.

A row belongs to the step that changed it last, its person's or its own. So what changes again while a run moves it
comes with a later run, and only then: a run never holds an older state than one before it.

The first run is of all rows there are. To count them by their steps takes as long as a third of writing them, so of
many a sample of PostgreSQL's blocks says about how they are spread: that only cuts them into files of about one size.
"""

from __future__ import annotations

from tidemill.events.ledger import Commit
from tidemill.events.sources.metadata import MetadataSource
from tidemill.events.sources.source import Selection

_ROWS = """
    SELECT d.team_id, d.distinct_id, d.person_id, p.properties, p.version AS person_version,
        d.version AS person_distinct_id_version, p.created_at, p.deleted AS is_deleted,
        p.bytes + octet_length(d.distinct_id) + 100 AS bytes, greatest(p.change, d.change) AS change
    FROM {schema}.distinct_ids d JOIN {schema}.persons p ON p.team_id = d.team_id AND p.id = d.person_id
    WHERE greatest(p.change, d.change) <= {upto} AND NOT p.erased AND {since}{team}
"""

#: Of these blocks (8 kB each), or about so many, the rows are counted when there are more than `_FEW_BLOCKS`.
_SAMPLED_BLOCKS, _FEW_BLOCKS = 80, 4_000
_BLOCKS = "SELECT pg_relation_size('{schema}.distinct_ids') / current_setting('block_size')::bigint"
#: LATERAL and OFFSET: each by its index, whatever PostgreSQL thinks of the number of rows.
_SAMPLE = """
    SELECT change, (count(*) * {scale})::bigint AS rows, (sum(bytes) * {scale})::bigint AS size FROM (
        SELECT greatest(p.change, d.change) AS change, p.bytes + octet_length(d.distinct_id) + 100 AS bytes
        FROM {schema}.distinct_ids d TABLESAMPLE SYSTEM ({percent})
        JOIN LATERAL (SELECT change, bytes, erased FROM {schema}.persons
            WHERE team_id = d.team_id AND id = d.person_id OFFSET 0) p ON NOT p.erased) AS sampled
    WHERE change <= {upto} GROUP BY 1 ORDER BY 1
"""


class PersonSource(MetadataSource):
    """See the module; the methods are those of source.Source."""

    sampled_blocks, few_blocks = _SAMPLED_BLOCKS, _FEW_BLOCKS
    repeatable = False  # of a person only the newest state is kept

    def asked(self, selection: Selection, schema: str) -> str:
        """See MetadataSource."""
        team = f" AND d.team_id = {selection.team_id}" if selection.team_id is not None else ""
        after = selection.after
        # Each way by its index; all of them by neither.
        ways = (f"d.change > {after}", f"p.change > {after} AND d.change <= {after}") if after else ("true",)
        return " UNION ALL ".join(
            _ROWS.format(schema=schema, upto=selection.upto, since=since, team=team) for since in ways
        )

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """As MetadataSource has it; of a first run over many rows estimated, and up to `upto` all the same."""
        schema = self._metadata.schema
        blocks = int(self._answered(_BLOCKS.format(schema=schema))[0][0])
        if after or blocks <= self.few_blocks:
            return super().changes(after, upto, fold)
        scale = max(1.0, blocks / self.sampled_blocks)
        found = self._answered(_SAMPLE.format(schema=schema, scale=scale, percent=100 / scale, upto=upto))
        commits = [Commit(change, rows, size) for change, rows, size in found if change < upto]
        rows, size = next(((rows, size) for change, rows, size in found if change == upto), (0, 0))
        return [*commits, Commit(upto, rows, size)]

    def added(self, handed_at: str) -> str:
        """See MetadataSource."""
        return f"{handed_at} AS bq_updated_timestamp, team_id AS row_team, distinct_id AS row_id"
