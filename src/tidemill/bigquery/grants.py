"""Which permission is for what, which role has it, and the commands that grant it.

Sources: BigQuery "Access control: predefined roles", IAM "Create and manage custom roles", and for the lists PostHog's
set-up of batch exports, and of its BigQuery export app, which streams.
"""

from __future__ import annotations

import dataclasses
import enum
import re

from tidemill.bigquery import sql

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


@dataclasses.dataclass(frozen=True)
class _Role:
    """A custom role: exactly what is granted on the dataset."""

    name: str
    title: str
    permissions: tuple[str, ...]


#: The right to run jobs is in none of them: it can only be granted on the project.
_CUSTOM_ROLES = {
    Use.BATCH: _Role(
        "tidemillBatchExport", "Tidemill batch export", tuple(sorted({*BATCH_EXPORT, *OPTIONAL} - {_RUN_JOBS}))
    ),
    Use.STREAMING: _Role("tidemillStreamingExport", "Tidemill streaming export", STREAMING_EXPORT),
}
_PROJECT_ROLES = {
    _RUN_JOBS: "roles/bigquery.jobUser",
    "bigquery.jobs.get": "roles/bigquery.resourceViewer",  # another account's job; one's own need nothing
    "bigquery.datasets.create": "roles/bigquery.user",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser",
}
_DATASET_ROLE = "roles/bigquery.dataEditor"
_ACCOUNT = re.compile(r"[^@]+@([a-z0-9.\-:]+)\.iam\.gserviceaccount\.com")
_SOMEBODY = "ACCOUNT_EMAIL"


def hint(
    permission: str,
    project: str,
    dataset: str | None,
    account: str | None,
    caller: str | None = None,
    use: Use = Use.BATCH,
) -> str:
    """What to do about a missing permission: the role that has it, and the command that gives it to the account.

    `caller`: who signs in to act as the account. `use`: which custom role is the least.
    """
    if permission == "iam.serviceAccounts.getAccessToken":
        return f"Allow the caller to act as that account:\n{act_as(account, caller, project)}"
    if role := _PROJECT_ROLES.get(permission):
        return f"Grant {role} on the project:\n{on_project(role, project, account)}"
    grant = on_dataset(_DATASET_ROLE, project, dataset, account)
    said = f"Grant {_DATASET_ROLE} on the dataset (it has {permission}), in BigQuery:\n{grant}"
    if permission not in _CUSTOM_ROLES[use].permissions:
        return said
    own = "\n".join(_own_role(project, dataset, account, use))
    return f"{said}\nOr, with no permission that is not needed, make a role of your own:\n{own}"


def least(project: str, dataset: str, account: str | None, use: Use = Use.BATCH) -> list[str]:
    """The set-up with no permission that is not needed, as commands and a statement for BigQuery, in order.

    The last two make a role and grant it on the dataset; before them is what has to be granted on the project.
    """
    jobs = [on_project(_PROJECT_ROLES[_RUN_JOBS], project, account)] if use is Use.BATCH else []
    return [*jobs, *_own_role(project, dataset, account, use)]


def _own_role(project: str, dataset: str | None, account: str | None, use: Use) -> list[str]:
    role = f"projects/{project}/roles/{_CUSTOM_ROLES[use].name}"
    return [custom_role(project, use), on_dataset(role, project, dataset, account)]


def custom_role(project: str, use: Use = Use.BATCH) -> str:
    """The command that makes a role of exactly what exports need on a dataset."""
    role = _CUSTOM_ROLES[use]
    return (
        f'gcloud iam roles create {role.name} --project={project} --title="{role.title}" --stage=GA '
        f"--permissions={','.join(role.permissions)}"
    )


def on_project(role: str, project: str, account: str | None) -> str:
    """The command that grants a role on a project."""
    return (
        f'gcloud projects add-iam-policy-binding {project} --member="{_member(account)}" --role="{role}" '
        "--condition=None"
    )


def on_dataset(role: str, project: str, dataset: str | None, account: str | None) -> str:
    """The statement that grants a role on a dataset."""
    return sql.grant_on_dataset(role, project, dataset or "DATASET", _member(account))


def act_as(account: str | None, caller: str | None, project: str) -> str:
    """The command that lets `caller` act as `account`, whose own project may be another than `project`."""
    if found := _ACCOUNT.fullmatch(account or ""):
        name, _, domain = found[1].partition(".")
        project = f"{domain}:{name}" if domain else name
    member = _member(caller) if caller else "user:YOUR_EMAIL"
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {account or _SOMEBODY} "
        f'--project={project} --member="{member}" '
        '--role="roles/iam.serviceAccountTokenCreator"'
    )


def _member(account: str | None) -> str:
    return f"serviceAccount:{account or _SOMEBODY}"
