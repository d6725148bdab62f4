"""What a user says of a dbt project; validated here, for the command line, the API and forms alike."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import Field, SecretStr

from tidemill import invalid
from tidemill.dbt import clear
from tidemill.errors import ConfigError

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"
#: A branch or a tag, as `git check-ref-format` has them, without what would be read as an option.
BRANCH = r"^[A-Za-z0-9_][A-Za-z0-9_./\-]{0,199}$"

#: A host, of which https is spoken; or the beginning of an address.
_HOST = r"^(?:https?://)?[A-Za-z0-9.\-]{1,253}(?::[0-9]{1,5})?$"


class ProjectSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where a dbt project is: a folder, a Git repository, or a manifest that something else has written."""

    name: str = Field(pattern=NAME_RULE, description="Unique name of the project.")
    folder: str | None = Field(default=None, description="Folder on this machine.")
    git: str | None = Field(default=None, description="Git repository: https://…, ssh://… or git@host:path.")
    manifest: str | None = Field(default=None, description="A manifest.json: a path, https://… or gs://bucket/path.")
    catalog: str | None = Field(default=None, description="A catalog.json, which knows columns and types: likewise.")
    branch: str | None = Field(default=None, pattern=BRANCH, description="Branch or tag, if not the repository's own.")
    subfolder: str = Field(default="", description="Where in the repository the project is.")
    host_key: str | None = Field(default=None, description="Public key of the SSH server, as in known_hosts.")
    token: SecretStr | None = Field(default=None, description="Token for an https:// repository or manifest.")
    ssh_key: SecretStr | None = Field(default=None, description="Private key for an ssh:// repository.")
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, max_length=1_000, description="Secret by which a webhook of dbt Cloud is signed."
    )
    cloud_host: str | None = Field(default=None, pattern=_HOST, description="Host of dbt Cloud: ab123.us1.dbt.com.")
    cloud_token: SecretStr | None = Field(default=None, description="Token that may read runs of dbt Cloud.")
    connection: str | None = Field(default=None, description="Connection whose models they are, and that reads gs://.")
    dataset: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_]{1,1024}$", description="Dataset of dbt's target, if dbt parse must run."
    )
    variables: dict[str, Any] | None = Field(default=None, description="Variables for dbt parse, as a JSON object.")
    refresh: int | None = Field(
        default=None, ge=5, le=10_080, description="Minutes after which it is read anew, while tidemill serve runs."
    )

    @pydantic.model_validator(mode="after")
    def _check(self) -> ProjectSpec:
        named = [name for name in ("folder", "git", "manifest") if getattr(self, name)]
        if len(named) != 1:
            raise ConfigError(
                "dbt_place",
                "A dbt project is in a folder, in a Git repository, or known by a manifest: one of these.",
                hint="Give --folder, or --git, or --manifest.",
            )
        of_git = [name for name in ("branch", "subfolder", "host_key", "ssh_key") if getattr(self, name)]
        if of_git and not self.git:
            option = of_git[0].replace("_", "-")
            raise ConfigError("dbt_place", f"--{option} is about a Git repository.", hint="Give --git, too.")
        if ".." in self.subfolder.split("/") or self.subfolder.startswith("/"):
            raise ConfigError("dbt_place", "--subfolder leads out of the repository.", hint="Name a folder in it.")
        if (self.cloud_host is None) != (self.cloud_token is None):
            raise ConfigError(
                "dbt_cloud",
                "What a run of dbt Cloud did is asked of its host, with a token: both are needed.",
                hint="Give --cloud-host and --cloud-token-file.",
            )
        for place in (self.git, self.manifest, self.catalog):
            if place and clear.holds_secret(place):
                raise ConfigError(
                    "dbt_place_secret",
                    "The address holds what looks like a secret, and addresses are shown.",
                    hint="Leave it out of the address; give a token by --token-file.",
                )
        for place in (self.manifest, self.catalog):
            if place and place.startswith("gs://") and not self.connection:
                raise ConfigError(
                    "dbt_place",
                    "A manifest in Google Cloud Storage is read by a connection.",
                    hint="Give --connection.",
                )
        return self

    @property
    def secrets(self) -> dict[str, str]:
        """What may not be shown, by name."""
        given = {"token": self.token, "ssh_key": self.ssh_key}
        given |= {"webhook_secret": self.webhook_secret, "cloud_token": self.cloud_token}
        return {name: value.get_secret_value() for name, value in given.items() if value is not None}

    def shown(self) -> dict[str, Any]:
        """What is neither secret nor kept beside it, for JSON."""
        beside = {"name", "connection", "token", "ssh_key", "webhook_secret", "cloud_token"}
        return self.model_dump(mode="json", exclude=beside, exclude_none=True, exclude_defaults=True)


def make(fields: dict[str, Any]) -> ProjectSpec:
    """A spec of these fields.

    Raises
    ------
    ConfigError
        A field is wrong.
    """
    try:
        return ProjectSpec(**fields)
    except pydantic.ValidationError as error:
        raise invalid.said(error, ProjectSpec, "dbt_project") from None
