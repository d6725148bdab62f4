"""Secrets at rest: Fernet, by one key or several, the newest first. The key file is `secret.key` at home, 0600."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    from tidemill.settings import Settings


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

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".secret")  # mode 0600
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, self.path)  # unlike a rename, it fails if somebody else was first
        Path(name).unlink()
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)  # or a power cut could leave secrets without the key
        os.close(folder)

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
            hint=f"Put back {self.path} or set TIDEMILL_SECRET_KEYS. "
            "Or give each connection its key anew: tidemill connection edit NAME --key FILE, and each channel its "
            "secret: tidemill notify edit NAME",
        )

    def _open(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet

            if not self._settings.secret_keys and not self.path.exists():
                raise ConfigError(
                    "secret_key_lost",
                    f"The secret key {self.path} is gone: what was encrypted with it cannot be read.",
                    hint="Put the file back. If it is lost: tidemill init makes another one, "
                    "then give each connection its key anew: tidemill connection edit NAME --key FILE, and each "
                    "channel its secret: tidemill notify edit NAME",
                )
            keys = (self._settings.secret_keys or self.path.read_text()).split(",")
            try:
                self._fernet = MultiFernet([Fernet(key.strip()) for key in keys if key.strip()])
            except ValueError:
                raise ConfigError(
                    "secret_key_invalid",
                    "The secret key is not a Fernet key (32 bytes in URL-safe base64).",
                    hint=f"Look at {self.path} and TIDEMILL_SECRET_KEYS.",
                ) from None
        return self._fernet
