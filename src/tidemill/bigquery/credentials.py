"""How we sign in: a service account key, the machine's own credentials, or an account to act as."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import TYPE_CHECKING, Any

from tidemill.errors import AccessError, ConfigError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

#: A key has about 2,300.
MOST_CHARACTERS = 200_000
SCOPES = ("https://www.googleapis.com/auth/bigquery",)
_FIELDS = ("client_email", "private_key", "private_key_id", "project_id", "token_uri")
_HINT = (
    "Create one in Google Cloud: gcloud iam service-accounts keys create key.json --iam-account=ACCOUNT_EMAIL, "
    "and give the file as it is."
)
_GOOGLE = re.compile(r"https://([a-z0-9\-]+\.)+(googleapis|google)\.com(/[\w./\-]*)?")
_LOCAL = re.compile(r"(http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?)(/[\w./\-]*)?")
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+")


@dataclasses.dataclass(frozen=True)
class Auth:
    """A credential. Exactly one of `key` (the JSON text) and `adc` is set."""

    key: str | None = dataclasses.field(default=None, repr=False)
    adc: bool = False
    impersonate: str | None = None

    @functools.cached_property
    def info(self) -> KeyInfo | None:
        """What the key says, if there is one. Raises ConfigError as `parse_key`, but for a damaged private key."""
        return _info(self.key) if self.key is not None else None


@dataclasses.dataclass(frozen=True)
class KeyInfo:
    """What a key says that is not secret. `endpoint`: where the API is, if not at Google."""

    account: str
    project: str
    endpoint: str | None


def parse_key(text: str) -> KeyInfo:
    """Check a service account key. No part of it is ever put into an error.

    Raises
    ------
    ConfigError
        That says what the text is instead, or which field is missing.
    """
    info = _info(text)
    _check_private_key(str(_fields(text)["private_key"]))
    return info


def _info(text: str) -> KeyInfo:
    fields = _fields(text)
    missing = [name for name in _FIELDS if not isinstance(fields.get(name), str) or not fields[name]]
    if missing:
        raise ConfigError("key_incomplete", f"The service account key lacks {', '.join(missing)}.", hint=_HINT)
    if not _EMAIL.fullmatch(fields["client_email"]):  # it is printed in commands to copy
        raise ConfigError("key_damaged", "The client_email in the service account key is no address.", hint=_HINT)
    if fields.get("universe_domain", "googleapis.com") != "googleapis.com":
        raise ConfigError("key_universe", "The key is for another cloud than Google's public one.", hint=_HINT)
    return KeyInfo(str(fields["client_email"]), str(fields["project_id"]), _endpoint(str(fields["token_uri"])))


def _fields(text: str) -> dict[str, Any]:
    if not text.strip():
        raise ConfigError(
            "key_empty",
            "There is no service account key: what was given is empty.",
            hint="Give --key FILE; or --adc, to sign in as this machine does. " + _HINT,
        )
    if len(text) > MOST_CHARACTERS:
        raise ConfigError("key_too_large", "This is no service account key: it is far too large.", hint=_HINT)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("key_not_json", "The service account key is not JSON.", hint=_HINT) from None
    if not isinstance(fields, dict):
        raise ConfigError("key_not_json", "The service account key is not a JSON object.", hint=_HINT)
    kind = fields.get("type")
    if kind != "service_account":
        others = {
            "authorized_user": "the credential of a person (gcloud auth application-default login)",
            "external_account": "a workload identity federation file",
            "impersonated_service_account": "an impersonation file",
        }
        what = others.get(str(kind)) or (
            "an OAuth client file" if {"installed", "web"} & set(fields) else "not of type service_account"
        )
        extra = " For that, use --adc." if kind in others else ""
        raise ConfigError("key_kind", f"This is no service account key: it is {what}.", hint=_HINT + extra)
    return fields


def _endpoint(token_uri: str) -> str | None:
    """None for Google. A key whose token address is on this machine is one of the embedded BigQuery."""
    # The whole address is matched: parsers differ in what they take for the host of "https://evil\\.google.com".
    if _GOOGLE.fullmatch(token_uri):
        return None
    if local := _LOCAL.fullmatch(token_uri):
        return local[1]
    raise ConfigError(
        "key_token_uri",
        "The key's token_uri is not Google's: signed requests would go to somebody else.",
        hint="Use the key file as Google made it (token_uri https://oauth2.googleapis.com/token).",
    )


def _check_private_key(pem: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm  # 40 ms
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        usable = isinstance(serialization.load_pem_private_key(pem.encode(), password=None), rsa.RSAPrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        usable = False
    if not usable:
        raise _damaged()


def _damaged() -> ConfigError:
    return ConfigError(
        "key_damaged",
        "The private key in the service account key is damaged.",
        hint="Give the file as it was downloaded; pasting often loses the \\n in private_key.",
    )


def endpoint(auth: Auth) -> str | None:
    """Where the API is, if not at Google."""
    return auth.info.endpoint if auth.info else None


def account(auth: Auth) -> str | None:
    """The e-mail address that BigQuery will see, as far as the credential says it."""
    if auth.impersonate:
        return auth.impersonate
    return auth.info.account if auth.info else None


def caller(auth: Auth) -> str | None:
    """The e-mail address of the account that signs in to act as another; None if it is not known, or none does."""
    return auth.info.account if auth.impersonate and auth.info else None


@functools.lru_cache(maxsize=64)
def shared(auth: Auth) -> Credentials:
    """As `build`; the same for all who sign in so: the next run takes the token that the last one got. It is renewed
    when it is old, or refused."""
    return build(auth)


def build(auth: Auth) -> Credentials:
    """Google's credentials object.

    Raises
    ------
    ConfigError
        The key is none.
    AccessError
        This machine has no Application Default Credentials.
    """
    import google.auth  # heavy
    from google.auth import exceptions, impersonated_credentials
    from google.oauth2 import service_account

    if auth.info and auth.key is not None:
        info = json.loads(auth.key)
        own: Any = service_account.Credentials(
            _signer(auth.key), info["client_email"], info["token_uri"], scopes=SCOPES, project_id=info["project_id"]
        )
    else:
        try:
            own, _ = google.auth.default(scopes=SCOPES)
        except exceptions.DefaultCredentialsError as error:
            raise AccessError(
                "no_default_credentials",
                "This machine has no Application Default Credentials.",
                hint="gcloud auth application-default login, or use a service account key.",
                raw=str(error),
            ) from None
    where = endpoint(auth)
    if auth.impersonate:
        override = f"{where}/v1/projects/-/serviceAccounts/{auth.impersonate}:generateAccessToken" if where else None
        own = impersonated_credentials.Credentials(own, auth.impersonate, list(SCOPES), iam_endpoint_override=override)
    return _kept_local(own) if where else own


@functools.lru_cache(maxsize=16)
def _signer(key: str) -> Any:
    """What signs in the key's name. Whether the key is sound was looked at when it was given: that takes 40 ms.

    Raises
    ------
    ConfigError
        The private key is none.
    """
    from cryptography.hazmat.primitives import serialization  # 40 ms
    from google.auth.crypt import RSASigner

    info = json.loads(key)
    try:
        pem = info["private_key"].encode()
        private = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except ValueError:
        raise _damaged() from None
    return RSASigner(private, info.get("private_key_id"))


def _kept_local(made: Any) -> Any:
    """google-auth asks Google for an account's regions in the background; an embedded account is none of Google's."""
    for one in (made, getattr(made, "_source_credentials", None)):
        if one is not None:
            one._is_regional_access_boundary_lookup_required = lambda: False
    return made
