"""Who may say where a dbt project is: its files may be this machine's, and dbt runs what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.access.permissions import Permission
from tidemill.errors import ConfigError

#: What says which files of which repository dbt parses, and that it is that one.
_OF_REPOSITORY = {"git", "branch", "subfolder", "host_key"}
_ELSEWHERE = ("https://", "http://", "gs://", "ssh://", "git@")


def assert_elsewhere(given: Mapping[str, Any]) -> None:
    """A path would be one of the server's machine, about whose files a role, or a token, says nothing."""
    fields = given.get("fields") or {}
    for name in ("manifest", "catalog", "git", "folder"):
        place = str(fields.get(name) or "")
        if place and (name == "folder" or not place.startswith(_ELSEWHERE)):
            raise ConfigError(
                "dbt_place",
                "A project in a folder of the server is added, and changed, at its command line only.",
                hint="Give an address: https://, ssh:// or gs://.",
            )


def of_repository(given: Mapping[str, Any]) -> Permission | None:
    """What it takes to say of which repository, or of what in it, a project is: dbt runs it here, so it is trusted from
    then on. A manifest is only read. Whether the repository has one today says nothing of tomorrow."""
    fields = given.get("fields") or {}
    leaves = fields.get("manifest") and not fields.get("git")
    return None if leaves or not _OF_REPOSITORY & set(fields) else Permission.DBT_RUN
