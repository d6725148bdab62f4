"""Secrets at rest: Fernet, by one key or several, the newest first. The key file is `secret.key` at home, 0600."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill import atomic
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from pydantic import SecretStr

    from tidemill.settings import Settings

#: What to do where a secret key is lost: all that is encrypted.
GIVE_ANEW = (
    "give each connection its key anew (tidemill connection edit NAME --key FILE), each channel its secret (tidemill "
    "notify edit NAME), and the bucket its key (tidemill events store set)"
)


class Secrets:
    """Encrypts and decrypts what is kept secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fernet: MultiFernet | None = None

    @property
    def path(self) -> Path:
        """The key file; not used if TIDEMILL_SECRET_KEYS is set."""
        return self._settings.home_path / "secret.key"

    def ensure(self) -> None:
        """Make the key file if there is none: only while nothing is encrypted, or a lost key would go unnoticed.

        Two processes at once agree on one key.
        """
        if self._settings.secret_keys or self.path.exists():
            return
        from cryptography.fernet import Fernet  # 40 ms

        with contextlib.suppress(FileExistsError):
            self._written(Fernet.generate_key())

    def _written(self, keys: bytes) -> None:
        """Write the key file. FileExistsError if somebody else was first."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(self.path, keys, new=True)  # on disk, or a power cut could leave secrets without the key

    def keys(self) -> str:
        """All keys, for who may have them."""
        self._open()
        return self._text() or ""

    def put(self, keys: str) -> None:
        """Write the key file of an installation that has none. FileExistsError if it is there."""
        self._written(keys.encode())

    def fingerprints(self) -> list[str]:
        """By which keys are known again, and not found out; the newest first. None if there is no key."""
        text = self._text() or ""
        return [hashlib.blake2b(key, digest_size=8, person=b"tidemill").hexdigest() for key in _split(text)]

    def fits(self, token: bytes) -> bool:
        """Whether one of the keys has encrypted this."""
        try:
            self.decrypt(token)
        except ConfigError:
            return False
        return True

    def encrypt(self, text: str) -> bytes:
        """`text`, encrypted by the newest key."""
        return self._open().encrypt(text.encode())

    def decrypt(self, token: bytes) -> str:
        """The text of `token`.

        Raises
        ------
        ConfigError
            If none of the keys fits.
        """
        from cryptography.fernet import InvalidToken

        try:
            return self._open().decrypt(token).decode()
        except InvalidToken:
            raise self._wrong() from None

    def _wrong(self) -> ConfigError:
        return ConfigError(
            "secret_key_wrong",
            "The secret key does not fit what was encrypted with it.",
            hint=f"Put back {self.path} or set TIDEMILL_SECRET_KEYS. Or {GIVE_ANEW}.",
        )

    def _open(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet

            text = self._text()
            if text is None:
                raise ConfigError(
                    "secret_key_lost",
                    f"The secret key {self.path} is gone: what was encrypted with it cannot be read.",
                    hint="Put the file back. If it is lost: tidemill init --new-secret-key makes another one, then "
                    f"{GIVE_ANEW}.",
                )
            try:
                self._fernet = MultiFernet([Fernet(key) for key in _split(text)])
            except ValueError:
                raise ConfigError(
                    "secret_key_invalid",
                    "The secret key is not a Fernet key (32 bytes in URL-safe base64).",
                    hint=f"Look at {self.path} and TIDEMILL_SECRET_KEYS.",
                ) from None
        return self._fernet

    def _text(self) -> str | None:
        """The keys, as they are given; None if there is none."""
        if self._settings.secret_keys:
            return self._settings.secret_keys
        return self.path.read_text() if self.path.exists() else None


def differing(saved: Mapping[str, str], given: Mapping[str, SecretStr]) -> tuple[str, ...]:
    """Names of secrets that are not the same in both: another one, or in one of them alone."""
    texts = {name: value.get_secret_value() for name, value in given.items()}
    return tuple(name for name in dict.fromkeys([*saved, *texts]) if not _same(saved.get(name), texts.get(name)))


def _same(one: str | None, other: str | None) -> bool:
    """Whether two secrets are the same, but for the ends of lines that files have."""
    if one is None or other is None:
        return one is other
    return hmac.compare_digest(one.strip().encode(), other.strip().encode())


def _split(text: str) -> list[bytes]:
    return [key.strip().encode() for key in text.split(",") if key.strip()]
