"""Signatures of requests, by the rules of Standard Webhooks: HMAC-SHA256 of id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time

from pydantic import SecretStr

from tidemill.errors import ConfigError

#: Of a key, bytes: what Standard Webhooks asks for.
_KEY_BYTES = (24, 64)
_PREFIX = "whsec_"


def headers(key: SecretStr, identity: str, body: bytes) -> dict[str, str]:
    """The headers of a signed request. Who gets it twice knows it by its identity."""
    moment = int(time.time())
    signature = sign(key_bytes(key), identity, moment, body)
    return {"webhook-id": identity, "webhook-timestamp": str(moment), "webhook-signature": signature}


def sign(key: bytes, identity: str, moment: int, body: bytes) -> str:
    """The signature."""
    signed = b".".join((identity.encode(), str(moment).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def checked(key: SecretStr) -> SecretStr:
    """A key by which can be signed.

    Raises
    ------
    ConfigError
        It is none.
    """
    text = key.get_secret_value()
    try:
        size = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except binascii.Error:
        size = 0
    least, most = _KEY_BYTES
    if not text.startswith(_PREFIX) or not least <= size <= most:
        raise ConfigError(
            "webhook_key",
            f"A key of webhooks is {_PREFIX} and the base64 of {least} to {most} bytes.",
            hint=f"One is made by: echo {_PREFIX}$(head -c 32 /dev/urandom | base64)",
        )
    return key


def new_key() -> SecretStr:
    """A key."""
    return SecretStr(_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def key_bytes(key: SecretStr) -> bytes:
    """What is signed by."""
    return base64.b64decode(key.get_secret_value().removeprefix(_PREFIX))
