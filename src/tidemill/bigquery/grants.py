"""Which permission is for what, which role has it, and the commands that grant it, for exports; see grants_source.

Sources: BigQuery "Access control: predefined roles", IAM "Create and manage custom roles", and for the lists PostHog's
set-up of batch exports, and of its BigQuery export app, which streams.
"""

from __future__ import annotations

import enum

from tidemill.bigquery import grants_source
from tidemill.bigquery.grant_commands import ACT_AS, Role, act_as, on_dataset, on_project
from tidemill.bigquery.grants_source import SourceUse

_RUN_JOBS = "bigquery.jobs.create"
#: What batch exports need, in the order of the set-up.
BATCH_EXPORT = (
    _RUN_JOBS,
    "bigquery.datasets.get",
    "bigquery.tables.create",
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.list",
    "bigquery.tables.updateData",
)
#: For stage tables and the test's table, which otherwise stay until they expire, and for models that change.
OPTIONAL = ("bigquery.tables.delete",)
#: What a streaming export needs, all of it on the dataset. That its rows need one permission and no job is from
#: BigQuery "Storage Write API": required permissions.
STREAMING_EXPORT = (
    "bigquery.datasets.get",
    "bigquery.tables.create",
    "bigquery.tables.get",
    "bigquery.tables.list",
    "bigquery.tables.updateData",
)


class Use(enum.StrEnum):
    """What a connection is for: each kind of export needs permissions of its own."""

    BATCH = "batch"
    STREAMING = "streaming"


#: What a connection is used for: exports, or as a source.
Purpose = Use | SourceUse

#: The right to run jobs is in none of them: it can only be granted on the project.
CUSTOM_ROLES = {
    Use.BATCH: Role(
        "tidemillBatchExport", "Tidemill batch export", tuple(sorted({*BATCH_EXPORT, *OPTIONAL} - {_RUN_JOBS}))
    ),
    Use.STREAMING: Role("tidemillStreamingExport", "Tidemill streaming export", STREAMING_EXPORT),
}
JOBS_ROLE = "roles/bigquery.jobUser"
_PROJECT_ROLES = {
    _RUN_JOBS: JOBS_ROLE,
    "bigquery.jobs.get": "roles/bigquery.resourceViewer",  # another account's job; one's own need nothing
    "bigquery.datasets.create": "roles/bigquery.user",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser",
}
_DATASET_ROLE = "roles/bigquery.dataEditor"


def hint(
    permission: str,
    project: str,
    dataset: str | None,
    account: str | None,
    caller: str | None = None,
    use: Purpose = Use.BATCH,
) -> str:
    """What to do about a missing permission: the role that has it, and the command that gives it to the account.

    `caller`: who signs in to act as the account. `use`: which custom role is the least.
    """
    if permission == ACT_AS:
        return f"Allow the caller to act as that account:\n{act_as(account, caller, project)}"
    if isinstance(use, SourceUse):
        return grants_source.hint(permission, project, dataset, account, use)
    if role := _PROJECT_ROLES.get(permission):
        return f"Grant {role} on the project:\n{on_project(role, project, account)}"
    grant = on_dataset(_DATASET_ROLE, project, dataset, account)
    said = f"Grant {_DATASET_ROLE} on the dataset (it has {permission}), in BigQuery:\n{grant}"
    if permission not in CUSTOM_ROLES[use].permissions:
        return said
    own = "\n".join(_own_role(project, dataset, account, use))
    return f"{said}\nOr, with no permission that is not needed, make a role of your own:\n{own}"


def least(project: str, dataset: str, account: str | None, use: Use = Use.BATCH) -> list[str]:
    """The set-up with no permission that is not needed, as commands and a statement for BigQuery, in order.

    The last two make a role and grant it on the dataset; before them is what has to be granted on the project.
    """
    jobs = [on_project(JOBS_ROLE, project, account)] if use is Use.BATCH else []
    return [*jobs, *_own_role(project, dataset, account, use)]


def _own_role(project: str, dataset: str | None, account: str | None, use: Use) -> list[str]:
    role = CUSTOM_ROLES[use]
    return [role.create(project), on_dataset(role.of(project), project, dataset, account)]
