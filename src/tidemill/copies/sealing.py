"""The secret key in a backup: sealed by a passphrase, or plain, or not there."""

from __future__ import annotations

import base64
import json
import os

from tidemill.errors import ConfigError

#: scrypt: about a tenth of a second, and 32 MB (RFC 7914; OWASP, "Password Storage Cheat Sheet").
_COST = {"n": 2**15, "r": 8, "p": 1}


def sealed(keys: str, passphrase: str) -> bytes:
    """Keys, as only who has the passphrase can read them."""
    from cryptography.fernet import Fernet  # 40 ms

    salt = os.urandom(16)
    token = Fernet(_derived(passphrase, salt)).encrypt(keys.encode())
    return json.dumps({"salt": salt.hex(), "token": token.decode()}).encode()


def unsealed(text: bytes, passphrase: str) -> str:
    """The keys again.

    Raises
    ------
    ConfigError
        The passphrase is another one.
    """
    from cryptography.fernet import Fernet, InvalidToken

    said = json.loads(text)
    try:
        return Fernet(_derived(passphrase, bytes.fromhex(said["salt"]))).decrypt(said["token"].encode()).decode()
    except InvalidToken:
        raise ConfigError(
            "passphrase_wrong",
            "The passphrase is not the one that the backup's secret key was sealed with.",
            hint="Set TIDEMILL_BACKUP_PASSPHRASE to that one.",
        ) from None


def fits(keys: str, check: str) -> bool:
    """Whether one of these keys encrypted that text."""
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet

    try:
        MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()]).decrypt(check.encode())
    except (InvalidToken, ValueError):
        return False
    return True


def _derived(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return base64.urlsafe_b64encode(Scrypt(salt=salt, length=32, **_COST).derive(passphrase.encode()))
