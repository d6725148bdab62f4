"""Passwords: what is one, and how it is kept (argon2id, with the parameters of RFC 9106, section 4)."""

from __future__ import annotations

import threading

import argon2

from tidemill.errors import ConfigError

LEAST, MOST = 12, 200
_HASHER = argon2.PasswordHasher()
#: Each takes 64 MiB for a moment: who tries many at once waits.
_AT_ONCE = threading.BoundedSemaphore(2)


def assert_good(password: str, name: str) -> None:
    """Raise ConfigError, if a password is too easy to guess, or too long."""
    if not LEAST <= len(password) <= MOST:
        raise ConfigError(
            "password_short" if len(password) < LEAST else "password_long",
            f"A password has {LEAST} to {MOST} characters.",
            hint="Take some words that have nothing to do with each other.",
        )
    if password.lower() == name.lower() or len(set(password)) < 4:
        raise ConfigError(
            "password_easy",
            "That password is easy to guess.",
            hint="Take some words that have nothing to do with each other.",
        )


def hashed(password: str) -> str:
    """As it is kept."""
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_it(kept: str | None, password: str) -> bool:
    """Whether that is the password. It takes as long, whether or not there is one."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(kept or _NOBODYS(), password) and kept is not None
        except argon2.exceptions.VerifyMismatchError:
            return False


def is_old(kept: str) -> bool:
    """Whether it is kept by parameters of before, and should be kept anew."""
    return _HASHER.check_needs_rehash(kept)


class _Nobodys:
    """The hash of a password that nobody has."""

    def __init__(self) -> None:
        self._made = ""

    def __call__(self) -> str:
        self._made = self._made or _HASHER.hash("nobody has that password")
        return self._made


_NOBODYS = _Nobodys()
