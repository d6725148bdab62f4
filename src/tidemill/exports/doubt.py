"""Exports in doubt: the installation was restored from a backup, so their table may hold rows that it does not know,
and that may come again. Until that is settled, rows are merged into it. See docs/decisions/0020-backups.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.bigquery.client import Client
from tidemill.errors import AccessError, ConflictError
from tidemill.exports.work import Parts, Work, model_of
from tidemill.store.records import Export

if TYPE_CHECKING:
    from tidemill.exports.verify import Verified

#: How long a stream in doubt waits between two runs.
APART_SECONDS = 60.0


def mode(parts: Parts, export: Export) -> str | None:
    """How the rows of a run get in, of an export in doubt; None if it is in none.

    Rows that lie in the store as they are exported are added where their key is missing. Others (people's numbers,
    sessions, what a query gives) may be there as they were in the time that was lost: they are replaced.

    Raises
    ------
    ConflictError
        Its rows have no key: nobody can say which of them are there.
    """
    since = parts.runs.doubts.of(export.id)
    if since is None:
        return None
    model = model_of(export)
    if not model.key:
        raise _keyless(export, since)
    return "merge" if parts.source(export).direct and not model.versions else "replace"


def _keyless(export: Export, since: dt.datetime) -> ConflictError:
    return ConflictError(
        "restored_without_key",
        f"This installation was restored from a backup of {since:%Y-%m-%d %H:%M} UTC. What {export.name} has sent "
        "since is not known here, and its rows have no key by which they could be told from new ones.",
        hint=f"Look into the table. To send all that came after that run: tidemill export settle {export.name}. "
        f"To leave it out: tidemill export pause {export.name}, tidemill export settle {export.name}, "
        f"tidemill export unpause {export.name} --skip",
    )


def await_others(parts: Parts, work: Work, client: Client) -> None:
    """Before the first rows: jobs that were begun before the restore, by processes that nobody knows any more, must be
    over. What they add later would not be seen by a MERGE that has begun."""
    if parts.runs.doubts.of(work.export.id) is None:
        return
    prefix, own = f"tidemill_{work.export.id.hex}_", f"tidemill_{work.export.id.hex}_{work.run.id.hex}"
    try:
        names = [name for name in client.at_work() if name.startswith(prefix) and not name.startswith(own)]
    except AccessError:
        text = (
            "It could not be looked whether BigQuery is still at jobs of before the restore: bigquery.jobs.list is "
            "missing. None takes longer than six hours."
        )
        parts.runs.remark(work.run.id, text)
        return
    for name in names:
        parts.watches.report(work.run.id, "waiting for jobs of before the restore")
        client.wait_for(name, work.export.dataset, work.export.table_id)


def remarked(parts: Parts, work: Work) -> bool:
    """Whether it is said of a run that it merges because of a doubt."""
    since = parts.runs.doubts.of(work.export.id)
    if since is None or work.again:
        return False
    text = f"The installation was restored from a backup of {since:%Y-%m-%d %H:%M} UTC: rows were merged."
    parts.runs.remark(work.run.id, text)
    return True


def ends(parts: Parts, work: Work) -> None:
    """A run is completed. If it sent all rows of a model that changes, by versions greater than any before, then
    nothing is in doubt any more."""
    whole = work.changing and not work.again and work.run.snapshot_after == 0
    if whole and work.model.versions and work.spec.query is None:
        parts.runs.doubts.end(work.export.id)


def verified(parts: Parts, export: Export, found: Verified) -> None:
    """The table was held against the store. If it holds no row that is not known, nothing is in doubt any more."""
    strange = sum(day.foreign + day.duplicated for day in found.different)
    if found.since is None and not strange:
        parts.runs.doubts.end(export.id)


def stream(parts: Parts, export: Export, run: Callable[[], object], wait: Callable[[float], bool]) -> bool:
    """Move a stream by runs, for as long as it is in doubt. Whether it is not any more; else it is to stop.

    `wait`: so many seconds; it says whether to stop.

    Raises
    ------
    AccessError
        It may not be merged.
    """
    while parts.runs.doubts.of(export.id) is not None:
        try:
            run()
        except AccessError as error:
            raise AccessError(
                error.code,
                "The installation was restored from a backup, and the table may hold rows that come again. So rows are "
                f"merged. {error.message}",
                hint=f"{error.hint} Or, if you are sure that none comes again: tidemill export settle {export.name}",
                raw=error.raw,
            ) from None
        if wait(APART_SECONDS):
            return False
    return True


def settle(parts: Parts, export: Export) -> None:
    """The user says that no row comes again which the table has and the store has not.

    Raises
    ------
    ConflictError
        It is in no doubt.
    """
    if not parts.runs.doubts.end(export.id):
        raise ConflictError(
            "no_doubt", f"Nothing is in doubt about the table of {export.name}.", hint="There is nothing to settle."
        )
