"""Commands and statements that grant, for a shell with `gcloud` and for BigQuery. They can be typed as printed.

Sources: IAM "Create and manage custom roles", BigQuery "Data control language (DCL)", gcloud's reference
"access-context-manager levels create" and "perimeters update", Access Context Manager "Example YAML file for access
levels".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from tidemill.bigquery import sql

_ACCOUNT = re.compile(r"[^@]+@([a-z0-9.\-:]+)\.iam\.gserviceaccount\.com")
_SOMEBODY = "ACCOUNT_EMAIL"
ACT_AS = "iam.serviceAccounts.getAccessToken"


@dataclasses.dataclass(frozen=True)
class Role:
    """A custom role: exactly what is granted by it."""

    name: str
    title: str
    permissions: tuple[str, ...]

    def of(self, project: str) -> str:
        """Its name in a project."""
        return f"projects/{project}/roles/{self.name}"

    def create(self, project: str) -> str:
        """The command that makes it."""
        return (
            f'gcloud iam roles create {self.name} --project={project} --title="{self.title}" --stage=GA '
            f"--permissions={','.join(self.permissions)}"
        )


def on_project(role: str, project: str, account: str | None) -> str:
    """The command that grants a role on a project."""
    return (
        f'gcloud projects add-iam-policy-binding {project} --member="{member(account)}" --role="{role}" '
        "--condition=None"
    )


def on_dataset(role: str, project: str, dataset: str | None, account: str | None) -> str:
    """The statement that grants a role on a dataset."""
    return sql.grant_on_dataset(role, project, dataset or "DATASET", member(account))


def act_as(account: str | None, caller: str | None, project: str) -> str:
    """The command that lets `caller` act as `account`, whose own project may be another than `project`."""
    if found := _ACCOUNT.fullmatch(account or ""):
        name, _, domain = found[1].partition(".")
        project = f"{domain}:{name}" if domain else name
    who = member(caller) if caller else "user:YOUR_EMAIL"
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {account or _SOMEBODY} "
        f'--project={project} --member="{who}" '
        '--role="roles/iam.serviceAccountTokenCreator"'
    )


def member(account: str | None) -> str:
    """The account as policies name it."""
    return f"serviceAccount:{account or _SOMEBODY}"


def access_level(networks: Sequence[str]) -> list[str]:
    """The commands that let requests from these networks through a perimeter of VPC Service Controls: the first two
    make an access level of them, the last one has a perimeter take it. Who types them knows policy and perimeter."""
    lines = ["- ipSubnetworks:", *(f"  - {network}" for network in networks)]
    written = " ".join(f"'{line}'" for line in lines)
    level = "levels create tidemill --policy=POLICY_ID --title=Tidemill --basic-level-spec=tidemill.yaml"
    perimeter = "perimeters update PERIMETER --policy=POLICY_ID --add-access-levels=tidemill"
    return [
        f"printf '%s\\n' {written} > tidemill.yaml",
        f"gcloud access-context-manager {level}",
        f"gcloud access-context-manager {perimeter}",
    ]
