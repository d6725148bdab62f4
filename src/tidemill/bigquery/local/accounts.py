"""Service accounts of the embedded BigQuery: their keys and their permissions, in files of its directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tidemill import atomic
from tidemill.errors import ConfigError

#: What exports, imports and reverse ETL may ever need: a new key has all of it unless told otherwise.
ALL_PERMISSIONS = (
    "bigquery.datasets.create",
    "bigquery.datasets.delete",
    "bigquery.datasets.get",
    "bigquery.datasets.update",
    "bigquery.jobs.create",
    "bigquery.readsessions.create",
    "bigquery.tables.create",
    "bigquery.tables.delete",
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.list",
    "bigquery.tables.update",
    "bigquery.tables.updateData",
    "iam.serviceAccounts.getAccessToken",
)
_NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")


class Accounts:
    """The accounts in one directory. Every process reads them anew when the file changes."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "accounts.json"
        self._keys = directory / "keys"
        self._read_at = 0
        self._known: dict[str, dict[str, Any]] = {}

    def all(self) -> dict[str, dict[str, Any]]:
        """By e-mail address: `public_key` (PEM) and `permissions`."""
        try:
            stamp = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if stamp != self._read_at:
            self._known = json.loads(self._file.read_text())
            self._read_at = stamp
        return self._known

    def permissions(self, account: str) -> frozenset[str]:
        """What an account may do now."""
        return frozenset(self.all().get(account, {}).get("permissions", ()))

    def key(
        self, name: str, project: str, token_uri: str, allow: Sequence[str] | None, deny: Sequence[str]
    ) -> dict[str, str]:
        """The key of the account of that name, made at the first call; its permissions are set anew.

        A permission on one dataset alone is written ``permission@dataset``.

        Raises
        ------
        ConfigError
            The name, or a permission, is none.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "account_name", f"{name!r} is no name of a service account.", hint="3 to 30 of a-z, 0-9 and hyphens."
            )
        named = {permission.partition("@")[0] for permission in (*(allow or ()), *deny)}
        unknown = sorted(named - set(ALL_PERMISSIONS))
        if unknown:
            raise ConfigError(
                "permission_unknown", f"{', '.join(unknown)} is unknown.", hint=f"Known: {', '.join(ALL_PERMISSIONS)}."
            )
        granted = sorted(set(ALL_PERMISSIONS if allow is None else allow) - set(deny))
        self._keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            path = self._keys / f"{name}.json"
            made = json.loads(path.read_text()) if path.exists() else _new_key(name, project)
            made["token_uri"] = token_uri
            atomic.write(path, json.dumps(made, indent=2))
            accounts = dict(self.all())
            accounts[made["client_email"]] = {"public_key": _public(made["private_key"]), "permissions": granted}
            atomic.write(self._file, json.dumps(accounts, indent=2))
        return made

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._keys / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _new_key(name: str, project: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization  # 40 ms
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    email = f"{name}@{project}.iam.gserviceaccount.com"
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": email,
        "client_id": str(secrets.randbelow(10**21)),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "",
    }


def _public(private_key: str) -> str:
    from cryptography.hazmat.primitives import serialization

    # It was made here; to prove its numbers anew takes 30 ms.
    private = serialization.load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
    public = private.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
