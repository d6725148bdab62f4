"""What each use of a connection needs to be granted, as data: set-up texts of all kinds are made of it."""

from __future__ import annotations

import dataclasses

from tidemill.bigquery import grants, grants_source
from tidemill.bigquery.grant_commands import Role
from tidemill.bigquery.grants import Use
from tidemill.bigquery.grants_source import SourceUse


@dataclasses.dataclass(frozen=True)
class Needs:
    """Roles on the project; a role of one's own, and whether it is granted on the dataset alone; a dataset for state,
    which is made, and the role on it."""

    on_project: tuple[str, ...]
    own: Role | None = None
    is_on_dataset: bool = False
    state_dataset: str | None = None
    on_state: str = ""


def of(use: Use | SourceUse) -> Needs:
    """What is to be granted for a use, and nothing else."""
    if isinstance(use, SourceUse):
        return _of_source(use)
    jobs = (grants.JOBS_ROLE,) if use is Use.BATCH else ()
    return Needs(jobs, grants.CUSTOM_ROLES[use], is_on_dataset=True)


def _of_source(use: SourceUse) -> Needs:
    if use.full:
        return Needs((grants_source.USER, grants_source.EDITOR))
    state = use.state_dataset
    return Needs((), grants_source.ROLE, state_dataset=state, on_state=grants_source.EDITOR if state else "")
