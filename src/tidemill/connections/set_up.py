"""What is to be set up on Google's side for a connection: as commands, as steps in the console, and as Terraform.

Sources: PostHog's and Segment's set-up (research, posthog.md section 3, reverse_etl.md section 1.6) say what is
granted; Google's "Create and manage custom roles" and "Control access to resources with IAM" where that is in the
console; the provider `hashicorp/google` which resources Terraform has for it.
"""

from __future__ import annotations

import dataclasses
import enum
import re

from tidemill.bigquery import grant_commands, grants, grants_source, names, needs, sql
from tidemill.bigquery.grants import Use
from tidemill.bigquery.grants_source import SourceUse
from tidemill.bigquery.needs import Needs
from tidemill.connections import terraform
from tidemill.errors import ConfigError

#: Where a source remembers what was delivered, if nothing else is said.
STATE_DATASET = "__tidemill_reverse_etl"
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+")
_TITLES = {
    "roles/bigquery.jobUser": "BigQuery Job User",
    "roles/bigquery.user": "BigQuery User",
    "roles/bigquery.dataEditor": "BigQuery Data Editor",
}
_LOCATION = re.compile(r"[A-Za-z0-9\-]{1,40}")


class Purpose(enum.StrEnum):
    """What a connection is for. The last three are ways of a source: it only reads, or keeps its state in the
    warehouse, in a dataset that is made for it, or that it makes itself."""

    BATCH = "batch"
    STREAMING = "streaming"
    READ_ONLY = "read-only"
    LIMITED = "limited"
    FULL = "full"


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the set-up: its title, and commands for a shell or statements for BigQuery."""

    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class SetUp:
    """The same three times. `commands`: for a shell with gcloud, and for BigQuery; `console`: what to click;
    `terraform`: a file."""

    commands: tuple[Part, ...]
    console: tuple[str, ...]
    terraform: str


def make(
    project: str,
    dataset: str,
    account: str | None,
    purpose: str,
    *,
    location: str | None = None,
    state_dataset: str | None = None,
) -> SetUp:
    """The set-up for these names. Without an account, the commands make one, with its key.

    Raises
    ------
    ConfigError
        One of the names cannot be one: it would be pasted into a shell.
    """
    wanted = Wanted(
        names.check_project(project),
        names.check_dataset(dataset),
        _account(account),
        _location(location),
        _use(purpose, state_dataset),
    )
    return SetUp(_commands(wanted), _console(wanted), terraform.of(wanted.granted))


@dataclasses.dataclass(frozen=True)
class Wanted:
    """For what a set-up is made; all of it is checked."""

    project: str
    dataset: str
    account: str | None
    location: str | None
    use: Use | SourceUse

    @property
    def needs(self) -> Needs:
        """What is to be granted."""
        return needs.of(self.use)

    @property
    def who(self) -> str:
        """The account; without one, the one that the commands make."""
        return self.account or f"tidemill@{_of_domain(self.project)}.iam.gserviceaccount.com"

    @property
    def granted(self) -> terraform.Granted:
        """As Terraform has it."""
        return terraform.Granted(self.project, self.dataset, self.account, self.location, self.needs)


def _of_domain(project: str) -> str:
    """A project of an organisation's domain is written the other way round in addresses."""
    domain, colon, name = project.rpartition(":")
    return f"{name}.{domain}" if colon else project


def _use(purpose: str, state_dataset: str | None) -> Use | SourceUse:
    try:
        wanted = Purpose(purpose)
    except ValueError:
        raise ConfigError(
            "purpose_unknown", f"{purpose!r} is no use of a connection.", hint=f"One of: {', '.join(Purpose)}."
        ) from None
    if wanted in {Purpose.BATCH, Purpose.STREAMING}:
        return Use(wanted.value)
    state = None if wanted is Purpose.READ_ONLY else names.check_dataset(state_dataset or STATE_DATASET)
    return SourceUse(wanted is Purpose.FULL, state)


def _account(account: str | None) -> str | None:
    if account and not _EMAIL.fullmatch(account):
        raise ConfigError(
            "account_name",
            f"{account!r} is no service account.",
            hint="Its e-mail address, such as tidemill@my-project.iam.gserviceaccount.com.",
        )
    return account or None


def _location(location: str | None) -> str | None:
    if location and not _LOCATION.fullmatch(location):
        raise ConfigError("location_name", f"{location!r} is no location.", hint="EU, US, or europe-west1.")
    return location or None


def _commands(wanted: Wanted) -> tuple[Part, ...]:
    found = []
    if wanted.account is None:
        made = (
            f'gcloud iam service-accounts create tidemill --project={wanted.project} --display-name="Tidemill"\n'
            f"gcloud iam service-accounts keys create key.json --iam-account={wanted.who}"
        )
        found.append(Part("In a shell: a service account, and its key", made))
    found.append(
        Part(
            "In BigQuery: the dataset, unless it is there",
            sql.create_dataset(wanted.project, wanted.dataset, wanted.location),
        )
    )
    if isinstance(wanted.use, SourceUse):
        lines = grants_source.least(wanted.project, wanted.who, wanted.use, wanted.location)
    else:
        lines = grants.least(wanted.project, wanted.dataset, wanted.who, wanted.use)
    shell = [line for line in lines if line.startswith("gcloud ")]
    statements = [line for line in lines if not line.startswith("gcloud ")]
    if shell:
        found.append(Part("In a shell: the roles", "\n".join(shell)))
    if statements:
        found.append(Part("In BigQuery: what is granted on the dataset", "\n".join(statements)))
    if isinstance(wanted.use, SourceUse) and not wanted.use.full:
        faster = grants_source.faster(wanted.project, wanted.who)
        found.append(Part("In a shell, not needed: large results are read faster with it", faster))
    return tuple(found)


def _console(wanted: Wanted) -> tuple[str, ...]:
    """What to click in the console of Google Cloud."""
    project, granted = wanted.project, wanted.needs
    steps = []
    if wanted.account is None:
        steps += [
            f"IAM & Admin, Service accounts, in the project {project}: Create service account, tidemill, with no role.",
            "Open it: Keys, Add key, Create new key, JSON. A file is downloaded: it is the key for this connection.",
        ]
    where = wanted.location or "the location you choose (it cannot be changed later)"
    steps.append(
        f"BigQuery, Explorer, the project {project}: Create dataset {wanted.dataset}, in {where}, unless it is there."
    )
    if granted.own:
        steps.append(
            f'IAM & Admin, Roles: Create role, with the title "{granted.own.title}" and the id {granted.own.name}. '
            f"Add these permissions: {', '.join(granted.own.permissions)}."
        )
    steps += _granting(wanted)
    return tuple(steps)


def _granting(wanted: Wanted) -> list[str]:
    granted, who = wanted.needs, wanted.who
    on_project = [_titled(role) for role in granted.on_project]
    if granted.own and not granted.is_on_dataset:
        on_project.append(f'"{granted.own.title}", under Custom')
    steps = []
    if on_project:
        steps.append(
            f"IAM & Admin, IAM: Grant access. As the principal give {who}, and assign {' and '.join(on_project)}."
        )
    if granted.own and granted.is_on_dataset:
        steps.append(
            f"BigQuery, the dataset {wanted.dataset}: Sharing, Permissions, Add principal. Give {who}, and assign "
            f'"{granted.own.title}", under Custom.'
        )
    if granted.state_dataset:
        steps.append(
            f"BigQuery: Create dataset {granted.state_dataset}, in the location of the data. Then Sharing, "
            f"Permissions, Add principal: give {who}, and assign {_titled(granted.on_state)}."
        )
    return steps


def _titled(role: str) -> str:
    """A role, as the console names it, and as it is called."""
    return f"{_TITLES[role]} ({role})"


def allow_list(networks: tuple[str, ...]) -> tuple[Part, ...]:
    """What lets requests of this installation through a perimeter of VPC Service Controls."""
    if not networks:
        return ()
    title = "Only where a perimeter of VPC Service Controls is around the project: let these addresses through"
    return (Part(title, "\n".join(grant_commands.access_level(networks))),)
