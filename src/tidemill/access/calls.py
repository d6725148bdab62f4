"""Calls that are made again, because nobody knows whether they were heard: with the same key they are the same call.

Answers may hold a secret that is shown once, such as a new token, and what was asked for may, too: all is encrypted.
"""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import uuid
from typing import Any, Protocol

from tidemill.bearer import digest
from tidemill.errors import ConfigError, ConflictError

_MOST_LETTERS = 255


class Calls(Protocol):
    """The repository of calls."""

    def begin(self, token_id: uuid.UUID, key_hash: bytes, told: bytes) -> Any:
        """Note one, or give the one that there is."""

    def end(self, token_id: uuid.UUID, key_hash: bytes, told: bytes) -> None:
        """It was answered."""

    def forget(self, token_id: uuid.UUID, key_hash: bytes) -> None:
        """It may be made anew."""


class Secrets(Protocol):
    """Encryption."""

    def encrypt(self, text: str) -> bytes:
        """Encrypt."""

    def decrypt(self, token: bytes) -> str:
        """Decrypt."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = dataclasses.field(repr=False)


class CallService:
    """Calls with a key. `asked`: a digest of all that was asked for."""

    def __init__(self, calls: Calls, secrets: Secrets) -> None:
        self._calls, self._secrets = calls, secrets

    def begin(self, token_id: uuid.UUID, key: str, asked: str) -> Answer | None:
        """None: nobody has made it, do it, and `end` it or `forget` it. Else what was answered.

        Raises
        ------
        ConfigError
            The key is none, or was used for another call.
        ConflictError
            The same call is at work.
        """
        if not 1 <= len(key) <= _MOST_LETTERS:
            raise ConfigError(
                "idempotency_key_invalid",
                "The Idempotency-Key is empty, or too long.",
                hint=f"Give 1 to {_MOST_LETTERS} characters, such as a UUID.",
            )
        found = self._calls.begin(token_id, digest(key), self._told(asked, None))
        if found.is_new:
            return None
        told = json.loads(self._secrets.decrypt(found.told))
        if not hmac.compare_digest(told["asked"], asked):
            raise ConfigError(
                "idempotency_key_reused",
                "This Idempotency-Key was used within a day for a call that asked for something else.",
                hint="Use a new key for each thing that you ask for, and the same one only to ask for it again.",
            )
        if not found.is_over:
            raise ConflictError(
                "idempotency_key_busy", "The same call is at work at this moment.", hint="Ask again in a moment."
            )
        headers = tuple((str(name), str(value)) for name, value in told["headers"])
        return Answer(int(told["status"]), headers, base64.b64decode(told["body"]))

    def end(self, token_id: uuid.UUID, key: str, asked: str, answer: Answer) -> None:
        """It was done, and is answered like this."""
        self._calls.end(token_id, digest(key), self._told(asked, answer))

    def forget(self, token_id: uuid.UUID, key: str) -> None:
        """It was refused, or failed: nothing was made, and the same key may ask for it again."""
        self._calls.forget(token_id, digest(key))

    def _told(self, asked: str, answer: Answer | None) -> bytes:
        said: dict[str, Any] = {"asked": asked}
        if answer is not None:
            body = base64.b64encode(answer.body).decode()
            said |= {"status": answer.status, "headers": answer.headers, "body": body}
        return self._secrets.encrypt(json.dumps(said))
