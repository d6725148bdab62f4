"""Sign-in: a service account's signed assertion for an access token, as Google's OAuth endpoint does it."""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64decode
from typing import Any

from starlette.responses import JSONResponse

from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import Refusal

LIFETIME = 3600
_SKEW = 300  # seconds that the sender's clock may be ahead
#: What google-auth puts into every assertion, wherever it sends it.
_GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Tokens:
    """The access tokens that are valid now. They do not outlive the process: clients then sign in again."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._valid: dict[str, tuple[str, float]] = {}

    def grant(self, form: dict[str, str], audience: str) -> JSONResponse:
        """Answer ``POST /token``."""
        if form.get("grant_type") != _GRANT:
            return _oauth_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        try:
            account, scope = self._claims(form.get("assertion", ""), audience)
        except ValueError as error:
            return _oauth_error("invalid_grant", str(error))
        if not scope.strip():
            return _oauth_error("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = self.issue(account)
        return JSONResponse({"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"})

    def issue(self, account: str) -> str:
        """A new token of that account."""
        token = "ya29." + secrets.token_urlsafe(32)
        self._valid[token] = (account, time.time() + LIFETIME)
        return token

    def expire(self) -> None:
        """No token is valid any more."""
        self._valid.clear()

    def holder(self, authorization: str | None) -> str:
        """The account whose token an `Authorization` header holds.

        Raises
        ------
        Refusal
            401.
        """
        token = (authorization or "").removeprefix("Bearer ")
        account, until = self._valid.get(token, ("", 0.0))
        if not account or until < time.time():
            said = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            raise Refusal(401, "authError", said, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return account

    def _claims(self, assertion: str, audience: str) -> tuple[str, str]:
        """The account that signed the assertion, and the scopes it asks for. Raises ValueError with Google's words."""
        try:
            head, body, signature = assertion.split(".")
            claims = _decoded(body)
            algorithm = _decoded(head).get("alg")
        except (ValueError, UnicodeDecodeError):
            raise ValueError("Bad JWT: could not be parsed.") from None
        account = str(claims.get("iss", ""))
        known = self._accounts.all().get(account)
        if known is None:
            raise ValueError("Invalid grant: account not found")
        if algorithm != "RS256" or not _signed(f"{head}.{body}", signature, known["public_key"]):
            raise ValueError("Invalid JWT Signature.")
        if claims.get("aud") not in {audience, _GOOGLE_AUDIENCE} or not _short_lived(claims):
            raise ValueError(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim."
            )
        return account, str(claims.get("scope", ""))


def _short_lived(claims: dict[str, Any]) -> bool:
    """Whether the assertion is good now, and for an hour at most."""
    issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return False
    return now < expires <= issued + LIFETIME and issued <= now + _SKEW


def _decoded(part: str) -> dict[str, Any]:
    found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _signed(text: str, signature: str, public_key: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_public_key(public_key.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        key.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _oauth_error(error: str, description: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": description}, 400)
