"""A connection of a test is deleted; and what is left of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.connection_users import Deleted

JOBS = "^/bigquery/v2/projects/[^/]+/jobs$"
SLOW: list[dict[str, Any]] = [{"path": JOBS, "method": "POST", "fault": "slow_job", "seconds": 600, "times": 99}]
OTHER = "elsewhere"


def delete(app: App, say: Callable[[str], None] = lambda _: None, seconds: float = 100.0, **how: Any) -> Deleted:
    """Delete the connection."""
    return app.connection_users.delete(CONNECTION, by="ana", say=say, wait_seconds=seconds, **how)


def is_gone(app: App) -> bool:
    """Whether there is nothing of the connection any more."""
    names = [one.name for one in app.connections.find()]
    left = [export.name for export in app.exports.find()]
    left += [model.name for model in app.reverse_etl.models.find()]
    left += [sync.name for sync in app.reverse_etl.syncs.find()]
    return CONNECTION not in names and set(left) <= {OTHER}


def fired(installation: Installation) -> bool:
    """Whether what is to go wrong has gone wrong."""
    return any(fault["fired"] for fault in installation.local.faults())


def jobs(installation: Installation) -> list[str]:
    """Jobs that wait or run in BigQuery, of all accounts."""
    with contextlib.closing(installation.client()) as client:
        states = [client.google().list_jobs(state_filter=state, all_users=True) for state in ("pending", "running")]
        return [str(job.job_id) for found in states for job in found]
