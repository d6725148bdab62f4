"""Signs in as a service account: a token for a signed statement of who one is.

Sources: Google's documentation, "Using OAuth 2.0 for Server to Server Applications"; RFC 7523.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from typing import Any

from pydantic import SecretStr

from tidemill.destinations import answers
from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.outbound.client import Http

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_GOOGLE = "https://oauth2.googleapis.com"
#: How long a token is good, and so many seconds before its end another is got; clocks may differ by a few.
_SECONDS, _BEFORE, _CLOCKS = 3_600, 300, 10


def checked(key: SecretStr) -> SecretStr:
    """A key of a service account.

    Raises
    ------
    ConfigError
        It is none. Nothing of it is in it.
    """
    try:
        _signer(private_key(key))
        good = bool(email(key))
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise ConfigError(
            "service_account_key",
            "That is no key of a service account.",
            hint="It is a JSON file: Google Cloud console, IAM, Service accounts, Keys, Add key.",
        )
    return key


def email(key: SecretStr) -> str:
    """Who it is of."""
    return str(json.loads(key.get_secret_value())["client_email"])


def private_key(key: SecretStr) -> str:
    """What is secret of it."""
    return str(json.loads(key.get_secret_value())["private_key"])


class Tokens:
    """Gives the token of the moment. May be used by several threads."""

    def __init__(self, key: SecretStr, endpoint: str | None, http: Http) -> None:
        self._key, self._http = key, http
        self._url = f"{endpoint or _GOOGLE}/token"
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """A token that is good for some minutes at least.

        Raises
        ------
        AccessError
            Google does not take the key.
        """
        with self._lock:
            if time.monotonic() > self._until:
                self._token, seconds = self._fetched()
                self._until = time.monotonic() + seconds - _BEFORE
            return self._token

    def forget(self) -> None:
        """It was refused: get another."""
        with self._lock:
            self._until = 0.0

    def _fetched(self) -> tuple[str, float]:
        body = urllib.parse.urlencode({"grant_type": _GRANT, "assertion": _statement(self._key)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._http.request("POST", self._url, headers=headers, body=body, signs_in=True)
        if answer.status in {400, 401, 403}:
            raise AccessError(
                "destination_denied",
                f"Google does not take the service account's key: {answer.said((private_key(self._key),))}.",
                hint="It was deleted or disabled, or this machine's clock is wrong. Make another key.",
            )
        found = answers.checked(answer, "Google").json()
        if not isinstance(found, dict) or not isinstance(found.get("access_token"), str):
            raise UnavailableError("destination_failed", "Google gives no token.", hint="It is tried again.")
        return found["access_token"], float(found.get("expires_in") or _SECONDS)


def _statement(key: SecretStr) -> str:
    """Who we are and what for, signed (a JWT)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    given = json.loads(key.get_secret_value())
    now = int(time.time()) - _CLOCKS
    head = {"alg": "RS256", "typ": "JWT", "kid": given.get("private_key_id", "")}
    said = {
        "iss": given["client_email"],
        "scope": _SCOPE,
        "aud": f"{_GOOGLE}/token",
        "iat": now,
        "exp": now + _SECONDS,
    }
    signed = f"{_coded(json.dumps(head).encode())}.{_coded(json.dumps(said).encode())}"
    signature = _signer(given["private_key"], looked_at=True).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_coded(signature)}"


def _signer(pem: str, *, looked_at: bool = False) -> Any:
    """The key that signs. To look whether its numbers fit takes a tenth of a second: it is done once."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    found = serialization.load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=looked_at)
    if not isinstance(found, rsa.RSAPrivateKey):
        raise ValueError
    return found


def _coded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
