"""Which permission is for what, which role has it, and the commands that grant it.

Sources: BigQuery "Access control: predefined roles", IAM "Create and manage custom roles", and PostHog's set-up of
batch exports for the list.
"""

from __future__ import annotations

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
#: Of these, what is granted on the dataset. The right to run jobs can only be granted on the project.
ON_DATASET = tuple(sorted({*BATCH_EXPORT, *OPTIONAL} - {_RUN_JOBS}))
CUSTOM_ROLE = "tidemillBatchExport"

_PROJECT_ROLES = {
    _RUN_JOBS: "roles/bigquery.jobUser",
    "bigquery.jobs.get": "roles/bigquery.resourceViewer",  # another account's job; one's own need nothing
    "bigquery.datasets.create": "roles/bigquery.user",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser",
}
_DATASET_ROLE = "roles/bigquery.dataEditor"
_ACCOUNT = re.compile(r"[^@]+@([a-z0-9.\-:]+)\.iam\.gserviceaccount\.com")
_SOMEBODY = "ACCOUNT_EMAIL"


def hint(permission: str, project: str, dataset: str | None, account: str | None, caller: str | None = None) -> str:
    """What to do about a missing permission: the role that has it, and the command that gives it to the account.

    `caller`: who signs in to act as the account.
    """
    if permission == "iam.serviceAccounts.getAccessToken":
        return f"Allow the caller to act as that account:\n{act_as(account, caller, project)}"
    if role := _PROJECT_ROLES.get(permission):
        return f"Grant {role} on the project:\n{on_project(role, project, account)}"
    grant = on_dataset(_DATASET_ROLE, project, dataset, account)
    said = f"Grant {_DATASET_ROLE} on the dataset (it has {permission}), in BigQuery:\n{grant}"
    if permission not in ON_DATASET:
        return said
    own = on_dataset(f"projects/{project}/roles/{CUSTOM_ROLE}", project, dataset, account)
    return f"{said}\nOr, with no permission that is not needed, make a role of your own:\n{custom_role(project)}\n{own}"


def least(project: str, dataset: str, account: str | None) -> list[str]:
    """The set-up with no permission that is not needed, as commands and a statement for BigQuery, in order."""
    return [
        on_project(_PROJECT_ROLES[_RUN_JOBS], project, account),
        custom_role(project),
        on_dataset(f"projects/{project}/roles/{CUSTOM_ROLE}", project, dataset, account),
    ]


def custom_role(project: str) -> str:
    """The command that makes a role of exactly what batch exports need on a dataset."""
    return (
        f'gcloud iam roles create {CUSTOM_ROLE} --project={project} --title="Tidemill batch export" --stage=GA '
        f"--permissions={','.join(ON_DATASET)}"
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
