"""With which key an object store is asked: the one that was given to Tidemill for all machines, or this machine's own.

A machine's own is found as Amazon's tools do it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles in ~/.aws, roles
of pods, containers and machines. For Google Cloud Storage it is an HMAC key, in the same variables.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from tidemill.documents import page
from tidemill.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from botocore.credentials import Credentials as Found

#: A key that was given is read again after so long: another one may have been given, on another machine.
_READ_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class AccessKey:
    """A key. `origin` says where it is from, for people."""

    id: str
    secret: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(default="", repr=False)
    origin: str = "kept by Tidemill"


class Credentials:
    """Gives the key of the moment."""

    def __init__(self, given: Callable[[], AccessKey | None]) -> None:
        """`given`: reads the one that was given to Tidemill."""
        self._given = given
        self._kept: AccessKey | None = None
        self._read_at: float | None = None
        self._chain: Found | None = None
        self._guard = threading.Lock()

    def key(self) -> AccessKey:
        """The key.

        Raises
        ------
        ConfigError
            There is none.
        """
        with self._guard:
            return self._kept_key() or self._environment() or self._of_chain()

    def _kept_key(self) -> AccessKey | None:
        if self._read_at is None or monotonic() - self._read_at > _READ_SECONDS:
            try:
                self._kept = self._given()
            except UnavailableError:  # the database is away: the one that was read before is good still
                if self._read_at is None:
                    raise
            self._read_at = monotonic()
        return self._kept

    def _environment(self) -> AccessKey | None:
        """Without Amazon's library, which takes memory."""
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        return AccessKey(key, secret, os.environ.get("AWS_SESSION_TOKEN", ""), "AWS_ACCESS_KEY_ID")

    def _of_chain(self) -> AccessKey:
        import botocore.exceptions
        import botocore.session  # 0.1 s

        try:
            if self._chain is None:
                self._chain = botocore.session.Session().get_credentials()
            found: Any = self._chain.get_frozen_credentials() if self._chain is not None else None
        except botocore.exceptions.BotoCoreError as error:
            raise UnavailableError(
                "event_data_credentials",
                f"No credentials for the event data could be had: {error}",
                hint="Look at ~/.aws and the AWS_… variables, or give a key: tidemill events store set",
            ) from None
        if self._chain is None or found is None:
            raise ConfigError(
                "event_data_credentials",
                "There are no credentials for the event data.",
                hint="tidemill events store set keeps a key, encrypted, for all machines. Or set AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY on each: {page('howto/many-machines.md')}",
            )
        return AccessKey(
            found.access_key, found.secret_key, found.token or "", f"of this machine ({self._chain.method})"
        )
