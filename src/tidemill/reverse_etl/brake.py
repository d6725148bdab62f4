"""Stops a run that would delete too many rows."""

from __future__ import annotations

from tidemill.destinations.port import Op
from tidemill.errors import ConflictError
from tidemill.reverse_etl.plan.port import Planned
from tidemill.reverse_etl.work import Job
from tidemill.schedules import telling


def of(job: Job, planned: Planned) -> ConflictError | None:
    """Why the run must not go on with this plan; None if it may."""
    if job.wanted.only is not None:  # they were to be deleted before, and it was not stopped
        return None
    if Op.DELETED not in job.spec.mode.ops:  # rows that leave its model stay where they are: nothing is lost
        return None
    share = planned.counts.deleted / planned.known if planned.known else 0.0
    if share <= job.spec.delete_brake or job.run.spec.get("deletes"):
        return None
    does = "delete" if Op.DELETED in job.wanted.delivers else "forget"
    return ConflictError(
        "delete_brake",
        f"The run would {does} {planned.counts.deleted:,} of {planned.known:,} rows ({share:.0%}); "
        f"more than {job.spec.delete_brake:.0%} stop it.",
        hint=f"If that is meant: {telling.of(job.sync, 'run')} --allow-deletes",
    )
