"""Where a configuration comes from: that says what a reference to a secret means.

At the command line it is a variable of the environment, or a file. Who asks over HTTP must not read those of the
server: they could be sent to a place of theirs. There a name is one of the secrets that came with the configuration,
and a secret that did not come stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import SecretStr

from tidemill.configuration.problems import Position, Problems
from tidemill.configuration.words import Reference, assert_said
from tidemill.errors import ConfigError


class Origin(Protocol):
    """Where it comes from. `is_outside`: it is somebody who is not at the command line."""

    is_outside: ClassVar[bool]

    def secret(self, reference: Reference, folder: Path) -> SecretStr | None:
        """The secret; None: the one that the installation has. `folder`: of the configuration. Raises ConfigError."""

    def settle(self, problems: Problems) -> None:
        """All references were looked at: say what is wrong with the rest."""


class Shell:
    """The command line of this machine."""

    is_outside: ClassVar[bool] = False

    def secret(self, reference: Reference, folder: Path) -> SecretStr | None:
        """See Origin."""
        return reference.read(folder)

    def settle(self, problems: Problems) -> None:
        """See Origin."""


class Outside:
    """Somebody who sent it, with secrets by their names."""

    is_outside: ClassVar[bool] = True

    def __init__(self, secrets: Mapping[str, SecretStr]) -> None:
        self._secrets = secrets
        self._unused = dict.fromkeys(secrets)

    def secret(self, reference: Reference, folder: Path) -> SecretStr | None:  # noqa: ARG002 - of Origin
        """See Origin."""
        if reference.env is None:
            raise ConfigError(
                "secret_file",
                "No file of the server is read for who is not at its command line.",
                hint="Write {env: NAME}, and give the secret as NAME in secrets.",
            )
        found = self._secrets.get(reference.env)
        self._unused.pop(reference.env, None)
        return assert_said(found.get_secret_value()) if found is not None else None

    def settle(self, problems: Problems) -> None:
        """See Origin. A name that is misspelt would leave the secret of before as it is, unseen."""
        for name in self._unused:
            problems.add(Position("secrets", 1, 1), f"Nothing in the configuration refers to {name}.")
