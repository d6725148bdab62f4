"""What a source of reverse ETL needs, by how much it may do, and the commands that grant it.

Sources: Segment's set-up of BigQuery for reverse ETL, which has the full and the limited way (research,
reverse_etl.md, section 1.6); which predefined role has what is from BigQuery "Access control: predefined roles".
"""

from __future__ import annotations

import dataclasses

from tidemill.bigquery import sql
from tidemill.bigquery.grant_commands import Role, on_dataset, on_project

#: What reading needs, and all that a source without a state dataset does.
READING = ("bigquery.datasets.get", "bigquery.jobs.create", "bigquery.tables.getData")
#: What is done in the state dataset. The role that is granted there has it, and what is to come.
STATE = (
    "bigquery.datasets.get",
    "bigquery.tables.create",
    "bigquery.tables.delete",
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.updateData",
)
#: To make the state dataset.
MAKING = "bigquery.datasets.create"
#: Rows are read faster with it: by the Storage Read API, and all rows of a model by several streams side by side.
FAST = "bigquery.readsessions.create"

ROLE = Role("tidemillReverseEtl", "Tidemill reverse ETL", READING)
_OF_ACCOUNTS = ".iam.gserviceaccount.com"
USER, EDITOR = "roles/bigquery.user", "roles/bigquery.dataEditor"
_OF_USER = {"bigquery.jobs.create", MAKING, FAST}
_FAST_ROLE = "roles/bigquery.readSessionUser"
_SEEING = {"bigquery.tables.get", "bigquery.tables.list"}
_SEEING_ROLE = "roles/bigquery.metadataViewer"


@dataclasses.dataclass(frozen=True)
class SourceUse:
    """What a source may do. `full`: it makes its state dataset itself. `state_dataset`: None if it only reads."""

    full: bool
    state_dataset: str | None


def project_of(account: str) -> str | None:
    """The project that a service account is of, by its address; None if it does not say. That of an organisation's
    domain is written the other way round there ("Service accounts": e-mail addresses)."""
    name, _, host = account.partition("@")
    if host == "appspot.gserviceaccount.com":
        return name
    project, _, domain = host.removesuffix(_OF_ACCOUNTS).partition(".")
    if not host.endswith(_OF_ACCOUNTS) or not project:
        return None
    return f"{domain}:{project}" if domain else project


def least(project: str, account: str | None, use: SourceUse, location: str | None) -> list[str]:
    """The set-up, as commands and statements for BigQuery, in order. `location`: of the data, for the state dataset."""
    if use.full:
        return [on_project(role, project, account) for role in (USER, EDITOR)]
    own = [ROLE.create(project), on_project(ROLE.of(project), project, account)]
    if use.state_dataset is None:
        return own
    return [*own, *state(project, use.state_dataset, account, location)]


def state(project: str, dataset: str, account: str | None, location: str | None) -> list[str]:
    """The statements that make a state dataset, and give it to the account."""
    return [sql.create_dataset(project, dataset, location), on_dataset(EDITOR, project, dataset, account)]


def faster(project: str, account: str | None) -> str:
    """The command for what is only needed for speed. Full access has it already."""
    return on_project(_FAST_ROLE, project, account)


def hint(permission: str, project: str, dataset: str | None, account: str | None, use: SourceUse) -> str:
    """What to do about a missing permission: the role that has it, and the command that gives it to the account."""
    if use.full:
        role = USER if permission in _OF_USER else EDITOR
        return f"Grant {role} on the project (it has {permission}):\n{on_project(role, project, account)}"
    if permission == FAST:
        return f"It is only needed for speed. Grant {_FAST_ROLE} on the project:\n{faster(project, account)}"
    if dataset is not None and dataset == use.state_dataset:
        grant = on_dataset(EDITOR, project, dataset, account)
        return f"Grant {EDITOR} on the state dataset (it has {permission}), in BigQuery:\n{grant}"
    if permission in READING:
        own = "\n".join([ROLE.create(project), on_project(ROLE.of(project), project, account)])
        added = f"gcloud iam roles update {ROLE.name} --project={project} --add-permissions={permission}"
        return f"Make a role of what is needed, and grant it on the project:\n{own}\nIf it is there already:\n{added}"
    role = _SEEING_ROLE if permission in _SEEING else EDITOR
    grant = on_dataset(role, project, dataset, account)
    return f"Grant {role} on the dataset (it has {permission}), in BigQuery:\n{grant}"
