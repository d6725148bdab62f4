"""Writes rows of properties as JSON objects. Nulls are left out; the names of these may be asked for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tidemill.events.formats import text
from tidemill.imports import values
from tidemill.imports.unfit import Unfit

#: What tells where an event came from. No other property has these names.
ORIGIN = frozenset({"$import_id", "$import", "$import_run", "$import_row"})
#: What a field of a msgspec.Struct may not be called.
_UNNAMABLE = frozenset(map(chr, range(32))) | {'"', "\\"}

encode = msgspec.json.Encoder().encode


@dataclasses.dataclass
class Written:
    """Objects of rows. `nulls`: names of each row's properties that are null. `wrong`: by the places of rows whose
    object is empty for that, the place of a column and what is wrong with its value."""

    objects: list[bytes]
    nulls: list[tuple[str, ...]]
    wrong: dict[int, tuple[int, Unfit]]


class Writer:
    """Writes properties of these names. The members of one that is `*` or ends with `.*` are properties of their own;
    where a name is there twice, the column that has it counts."""

    def __init__(self, names: Sequence[str], *, nulls: bool) -> None:
        """`nulls`: names of properties that are null are asked for."""
        names = list(map(text.clean, names))
        self._names, self._asked = names, nulls
        self._spread = [(at, values.prefix(name)) for at, name in enumerate(names) if values.is_spread(name)]
        self._own = [(at, name) for at, name in enumerate(names) if not values.is_spread(name)]
        self._struct = None if self._spread else _struct(names)

    def write(self, columns: Sequence[Sequence[Any]], rows: int) -> Written:
        """Objects of so many rows, by their columns."""
        if not columns:
            return Written([b"{}"] * rows, [()] * rows, {})
        if self._struct is None:
            return self._merged(columns)
        objects, wrong = _encoded(map(self._struct, *columns), rows, lambda at: self._mended(at, columns))
        return Written(objects, self._nulls(columns, rows), wrong)

    def _mended(self, at: int, columns: Sequence[Sequence[Any]]) -> Any:
        row = [self._cleaned(place, column[at]) for place, column in enumerate(columns)]
        return self._struct(*row) if self._struct else self._merge(row)[0]

    def _cleaned(self, place: int, value: Any) -> Any:
        try:
            return values.cleaned(value, 0 if values.is_spread(self._names[place]) else 1)
        except Unfit as unfit:
            raise _InColumn(place, unfit) from None

    def _merged(self, columns: Sequence[Sequence[Any]]) -> Written:
        merged = [self._merge(row) for row in zip(*columns, strict=True)]
        made = (members for members, _ in merged)
        objects, wrong = _encoded(made, len(merged), lambda at: self._mended(at, columns))
        return Written(objects, [tuple(map(text.clean, nulls)) for _, nulls in merged], wrong)

    def _merge(self, row: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
        members: dict[str, Any] = {}
        for at, prefix in self._spread:
            inner = row[at]
            if inner:
                members.update({prefix + name: value for name, value in inner.items()} if prefix else inner)
        for at, name in self._own:
            members[name] = row[at]
        for name in ORIGIN.intersection(members):
            del members[name]
        nulls = [name for name, value in members.items() if value is None]
        for name in nulls:
            del members[name]
        return members, nulls

    def _nulls(self, columns: Sequence[Sequence[Any]], rows: int) -> list[tuple[str, ...]]:
        with_nulls = [at for at, column in enumerate(columns) if None in column] if self._asked else []
        if not with_nulls:
            return [()] * rows
        names = [self._names[at] for at in with_nulls]
        patterns: dict[tuple[bool, ...], tuple[str, ...]] = {}
        found = []
        for pattern in zip(*([value is None for value in columns[at]] for at in with_nulls), strict=True):
            known = patterns.get(pattern)
            if known is None:
                known = patterns[pattern] = tuple(itertools.compress(names, pattern))
            found.append(known)
        return found


class _InColumn(Exception):  # noqa: N818 - carries what is wrong to who knows the row
    def __init__(self, at: int, unfit: Unfit) -> None:
        super().__init__(at, unfit)
        self.at, self.unfit = at, unfit


def _struct(names: Sequence[str]) -> Callable[..., Any] | None:
    """A class whose instances are written as objects with these names, a few times faster than dicts; None if it cannot
    have them."""
    if any(_UNNAMABLE.intersection(name) or not name for name in names):
        return None
    fields = {f"f{at}": name for at, name in enumerate(names)}
    return msgspec.defstruct(
        "Properties", [(field, Any, None) for field in fields], rename=fields, omit_defaults=True, gc=False
    )


def _encoded(
    made: Iterable[Any], rows: int, mended: Callable[[int], Any]
) -> tuple[list[bytes], dict[int, tuple[int, Unfit]]]:
    """Objects, as JSON. `mended` makes the object of a row anew that could not be written, or not so as it should."""
    objects: list[bytes]
    try:
        objects = list(map(encode, made))
        looked_at: Iterable[int] = [at for at, one in enumerate(objects) if not text.is_plain(one)]
    except (UnicodeEncodeError, RecursionError):  # halves of surrogate pairs; too many levels
        objects, looked_at = [b"{}"] * rows, range(rows)
    wrong: dict[int, tuple[int, Unfit]] = {}
    for at in looked_at:
        try:
            objects[at] = encode(mended(at))
        except _InColumn as found:
            objects[at], wrong[at] = b"{}", (found.at, found.unfit)
    return objects, wrong
