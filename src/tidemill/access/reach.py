"""What a call reaches beyond what it is about: names of other things, what goes with something, the server's files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tidemill.access.permissions import Permission as P  # noqa: N817 - tables of them
from tidemill.errors import ConfigError

#: What it takes to see the names that an error of this code lists.
LISTS: Mapping[str, P] = {
    "channel_unknown": P.CHANNELS_READ,
    "connection_unknown": P.CONNECTIONS_READ,
    "dbt_project_unknown": P.DBT_READ,
    "destination_unknown": P.DESTINATIONS_READ,
    "export_unknown": P.EXPORTS_READ,
    "import_unknown": P.IMPORTS_READ,
    "key_unknown": P.KEYS_READ,
    "source_model_unknown": P.MODELS_READ,
    "sync_unknown": P.SYNCS_READ,
    "token_unknown": P.TOKENS_READ,
}
_ELSEWHERE = ("https://", "http://", "gs://", "ssh://", "git@")
#: What says which files of which repository dbt parses, and that it is that one.
_OF_REPOSITORY = {"git", "branch", "subfolder", "host_key"}
#: What it takes to delete what uses a connection, by its kind.
_WRITES = {
    "export": P.EXPORTS_WRITE,
    "stream": P.EXPORTS_WRITE,
    "sync": P.SYNCS_WRITE,
    "import": P.IMPORTS_WRITE,
    "model": P.MODELS_WRITE,
    "dbt project": P.DBT_WRITE,
}


def of_uses(part: Any, given: Mapping[str, Any]) -> Collection[P]:
    """Who deletes a connection with all that uses it deletes that, too."""
    return {_WRITES[use.kind] for use in part.uses(given["name"])}


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


def of_repository(given: Mapping[str, Any]) -> P | None:
    """What it takes to say of which repository, or of what in it, a project is: dbt runs it here, so it is trusted from
    then on. A manifest is only read. Whether the repository has one today says nothing of tomorrow."""
    fields = given.get("fields") or {}
    leaves = fields.get("manifest") and not fields.get("git")
    return None if leaves or not _OF_REPOSITORY & set(fields) else P.DBT_RUN


def runs_repository(_part: Any, given: Mapping[str, Any]) -> Collection[P]:
    """The same, as a rule has it."""
    wanted = of_repository(given)
    return {wanted} if wanted else set()
