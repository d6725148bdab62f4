"""Deletes rows of a person from the tables that persons are exported into, as for a privacy request."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.errors import ConflictError
from tidemill.exports.spec import ExportSpec
from tidemill.store.records import Export, Run

_AT_ONCE = 500  # ids in one statement, whose text has 1 MB at most ("Quotas": Query jobs)


def concerns(export: Export, team_id: int) -> bool:
    """Whether the export's table may hold rows of a person of this team."""
    return export.model == "persons" and export.spec.get("team_id") in (None, team_id)


def assert_still(export: Export, last: Run | None) -> None:
    """Raise ConflictError if a run may be bringing rows that were read before."""
    if last is not None and last.status != "completed":
        raise ConflictError(
            "run_unfinished",
            f"A run of {export.name} is not finished, and may bring the person back.",
            hint=f"tidemill export run {export.name}, and then delete the person again.",
        )


def erase(client: Client, export: Export, team_id: int, distinct_ids: Sequence[str]) -> int:
    """Delete the rows of these ids. Gives their number; none if the table is gone."""
    client.locate(export.dataset)
    if client.get_table(export.dataset, export.table_id) is None:
        return 0
    place, deleted = (export.project, export.dataset, export.table_id), 0
    for start in range(0, len(distinct_ids), _AT_ONCE):
        ids = distinct_ids[start : start + _AT_ONCE]
        answer = client.query(
            sql.delete_rows(place, {"team_id": team_id}, "distinct_id", ids),
            job_id=f"tidemill_erase_{secrets.token_hex(12)}",
            permission="bigquery.tables.updateData",
            dataset=export.dataset,
            table=export.table_id,
            max_bytes_billed=ExportSpec.model_validate(export.spec).max_bytes_billed,
        )
        deleted += answer.affected or 0
    return deleted
