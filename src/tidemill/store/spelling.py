"""By what names of people are the same: one form for all who compare them, as a database and Python fold letters
differently."""

from __future__ import annotations

import unicodedata


def plain(name: str) -> str:
    """As it is kept: without blanks around it, and with one code for what looks alike (NFKC, UAX #15)."""
    return unicodedata.normalize("NFKC", name).strip()


def folded(name: str) -> str:
    """What two names have in common that are the same but for their case."""
    return unicodedata.normalize("NFKC", plain(name).casefold())
