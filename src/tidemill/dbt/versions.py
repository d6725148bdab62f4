"""Versions of packages, and what is wanted of them: `1.1.1`, `>=1.0.0`, `<2.0.0`, as semver.org and dbt have them."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tidemill.errors import ConfigError

_FORM = re.compile(
    r"(?P<how>>=|<=|>|<|=)?\s*v?(?P<numbers>\d{1,9}\.\d{1,9}\.\d{1,9})"
    r"(?:-(?P<before>[0-9A-Za-z.\-]{1,100}))?(?:\+[0-9A-Za-z.\-]{1,100})?"
)
_HOW: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip
#: Numbers; whether it is a release; and the parts of what comes before one, of which numbers come first.
_Key = tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]


@dataclasses.dataclass(frozen=True)
class Wish:
    """One bound: `>=1.0.0`."""

    how: str
    key: _Key

    def fits(self, key: _Key) -> bool:
        """Whether a version is within it."""
        return _HOW[self.how](key, self.key)

    @property
    def is_release(self) -> bool:
        """Whether it names a release, not what comes before one."""
        return self.key[1]


def wishes(given: object) -> tuple[Wish, ...]:
    """The bounds that a text, a number or a list of them says; several stand with commas.

    Raises
    ------
    ConfigError
        It says none.
    """
    texts = [part for one in (given if isinstance(given, list) else [given]) for part in str(one).split(",")]
    return tuple(map(_wish, texts))


def _wish(text: str) -> Wish:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        hint = "It looks like 1.1.1, or ['>=1.0.0', '<2.0.0']."
        raise ConfigError("dbt_package", f"{text.strip()!r} is no version of a package.", hint=hint)
    return Wish(found["how"] or "=", _key(found))


def _key(found: re.Match[str]) -> _Key:
    parts = (found["before"] or "").split(".") if found["before"] else []
    ordered = tuple((0, int(one), "") if one.isdecimal() else (1, 0, one) for one in parts)
    return tuple(map(int, found["numbers"].split("."))), not parts, ordered


def newest(
    known: Iterable[str], wanted: Sequence[Wish], *, before_releases: bool = False, pinned: str | None = None
) -> str | None:
    """The newest version that is within all bounds, or the pinned one if it is; None if there is none.
    `before_releases`: also what comes before a release, as it does if a bound names such a one."""
    before_releases = before_releases or any(not wish.is_release for wish in wanted)
    found: dict[str, _Key] = {}
    for text in known:
        match = _FORM.fullmatch(text)
        if match is None or match["how"]:
            continue
        key = _key(match)
        if (key[1] or before_releases) and all(wish.fits(key) for wish in wanted):
            found[text] = key
    if pinned in found:
        return pinned
    return max(found, key=lambda text: found[text], default=None)
