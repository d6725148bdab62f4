"""Names by which people sign in: how they are written, and by what attempts to sign in are counted."""

from __future__ import annotations

import re

from tidemill.bearer import digest
from tidemill.errors import ConfigError
from tidemill.store.spelling import folded, plain

__all__ = ["can_be", "hashed", "named", "plain"]

_NAME = re.compile(r"[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,99}(?<!\s)")


def can_be(name: str) -> bool:
    """Whether somebody can be called so."""
    return bool(_NAME.fullmatch(name)) and not any("\ud800" <= letter <= "\udfff" for letter in name)


def named(name: str) -> str:
    """As it is kept; ConfigError if it cannot be one."""
    name = plain(name)
    if not can_be(name):
        raise ConfigError(
            "user_name_invalid",
            "A name has 1 to 100 characters, and no control characters.",
            hint="Choose another one.",
        )
    return name


def hashed(name: str) -> bytes:
    """By what attempts are counted: the same for all texts that are the same name."""
    return digest(f"sign-in {folded(name)}")
