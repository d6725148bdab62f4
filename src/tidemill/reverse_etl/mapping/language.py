"""Compiles mappings, and applies them to rows."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import abc
from typing import Any

from tidemill.documents import page
from tidemill.errors import ConfigError
from tidemill.reverse_etl.mapping.compiler import METADATA, Compiler, Place
from tidemill.reverse_etl.mapping.directives import DIRECTIVES
from tidemill.reverse_etl.mapping.paths import EVENT, GIVEN, PROPERTIES, Event
from tidemill.reverse_etl.mapping.shapes import transformed
from tidemill.reverse_etl.mapping.values import Reader, Unfit, assert_held, failed, told

#: Levels of objects and lists, and bytes of JSON, of a mapping.
DEEPEST, LARGEST = 64, 1_000_000
#: Problems that an error tells of.
_TOLD = 20
#: What PostgreSQL does not keep.
_UNKEPT = re.compile("[\0\ud800-\udfff]")
#: A directive around the whole mapping, whose fields stand beside it.
_ROOT = "__segment_internal_directive"
#: Keys of Segment's mappings that are no fields: of its sync modes and its hooks.
_RESERVED = frozenset({"onMappingSave", "retlOnMappingSave"})
_RESERVED_BEGIN = "__segment_internal_"
#: Keys that say how Segment delivers, if their values are the same for all rows.
_OF_DELIVERY = frozenset(
    {
        *("enable_batching", "batch_size", "batch_bytes", "batch_keys", "convert_timestamp"),
        *("use_batch_endpoint", "min_id_length", "userAgentParsing", "trackRevenuePerProduct"),
    }
)
_HINT = f"The language: {page('reference/mapping.md')}"


@dataclasses.dataclass(frozen=True)
class Mapping:
    """A mapping, ready to be applied.

    `columns`: all that it reads of any row; None: everything. A row need not have all of them: `properties` and the
    names of GIVEN are among them, if they are read. `meant`: those that it is written for. `fields`: that it gives, at
    most; None: that depends on the row.
    """

    columns: frozenset[str] | None
    meant: frozenset[str]
    fields: frozenset[str] | None
    _read: Reader
    _given: bool
    _copies: bool
    _repeats: bool

    def unknown(self, columns: abc.Iterable[str]) -> list[str]:
        """Columns that it is written for, and that a model of these columns does not have."""
        return _unknown(self.columns, self.meant, columns)

    def apply(self, row: abc.Mapping[str, Any], given: abc.Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What it makes of a row. `given`: what is known of the row beside its columns, by the names of GIVEN.

        Raises
        ------
        RowError
            A value cannot be made. The message begins with its place in the mapping.
        """
        if given and self._given:
            row = Event.of(row, given)
        elif not isinstance(row, dict):
            row = dict(row)
        try:
            found = self._read(row)
        except (RecursionError, ValueError, OverflowError):  # of values that no JSON in a warehouse has
            raise failed("$", "a value is too deep or too large") from None
        if not isinstance(found, dict):
            raise failed("$", f"the mapping gave {told(found)}, and should give an object")
        if self._repeats:
            try:
                assert_held(found)
            except Unfit as unfit:
                raise failed("$", f"what is made of the row {unfit}") from None
        return dict(found) if self._copies else found


def compile(  # noqa: A001 - mapping.compile is what it does
    mapping: object, columns: abc.Iterable[str] | None = None
) -> Mapping:
    """A mapping of its JSON. `columns`: of its model; where it is wrong, those that are not there are told, too.

    Raises
    ------
    ConfigError
        It is wrong; the message tells each place of it, and what is wrong there.
    """
    problems = _unfit(mapping)
    if problems or not isinstance(mapping, dict):
        raise _error(problems)
    return _compiled(mapping, columns)


def _is_of_segment(key: str, part: Any) -> bool:
    """Whether it is no field, but says what Segment is to do."""
    if key in _RESERVED or (key.startswith(_RESERVED_BEGIN) and key != _ROOT):
        return True
    return key in _OF_DELIVERY and not isinstance(part, dict | str)


def _unknown(read: abc.Set[str] | None, meant: abc.Set[str], columns: abc.Iterable[str]) -> list[str]:
    known = set(columns)
    if PROPERTIES in known and read is not None and PROPERTIES in read:
        return []  # what is behind it are keys
    return sorted(meant - known - GIVEN)


def _compiled(mapping: dict[str, Any], columns: abc.Iterable[str] | None) -> Mapping:
    compiler = Compiler(DIRECTIVES)
    fields = {key: part for key, part in mapping.items() if not _is_of_segment(key, part)}
    wrapped = _ROOT in fields
    around = fields.pop(_ROOT, None)
    read = _around(compiler, around, fields) if wrapped else compiler.node(fields, Place("$"))
    if compiler.problems:
        unknown = _unknown(compiler.columns, compiler.meant, columns) if columns is not None else []
        names = f"$: it names columns that the model does not have: {', '.join(unknown)}"
        raise _error([*compiler.problems, *([names] if unknown else [])])
    plain = not any(name.startswith("@") for name in fields) and not (wrapped and not fields)
    return Mapping(
        columns=None if compiler.columns is None else frozenset(compiler.columns),
        meant=frozenset(compiler.meant),
        fields=frozenset(fields) if plain else None,
        _read=read,
        _given=compiler.given,
        _copies=not plain,
        _repeats=compiler.repeats,
    )


def _around(compiler: Compiler, directive: Any, fields: dict[str, Any]) -> Reader:
    """The whole mapping, with the directive that is around it: of @transform, the fields are the `mapping`."""
    place = Place(f"$.{_ROOT}")
    if not isinstance(directive, dict):
        return compiler.wrong(place, f"is {told(directive)}; it is a directive")
    if not fields:
        return compiler.node(directive, place)
    if set(directive) - {METADATA} != {"@transform"}:
        return compiler.wrong(place, "is not @transform; no other directive has a place for the fields beside it")
    options = compiler.options("@transform", directive["@transform"], place, ("apply", "mapping"))
    apply = options.get("apply") if options else None
    if not isinstance(apply, dict):
        return compiler.wrong(place, "@transform has no apply, or one that is no object")
    return transformed(compiler, apply, compiler.node(fields, Place("$", EVENT)), place)


def _unfit(mapping: object) -> list[str]:
    """What is wrong with it before it is looked at as a mapping: that it is no JSON, too deep or too large."""
    if not isinstance(mapping, dict):
        return [f"$: is {told(mapping)}; a mapping is an object"]
    parts: list[tuple[str, Any, int]] = [("$", mapping, 1)]
    seen = 0
    while parts:
        path, part, depth = parts.pop()
        if depth > DEEPEST:
            return [f"{path[:200]}: is more than {DEEPEST} levels deep"]
        seen += len(part)
        if seen > LARGEST:
            return [f"$: is larger than {LARGEST:,} bytes of JSON"]
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            wrong = _unfit_part(key, value, isinstance(part, dict))
            if wrong:
                return [f"{path[:200]}: {wrong}"]
            if isinstance(value, dict | list):
                parts.append((f"{path[:200]}.{str(key)[:100]}", value, depth + 1))
    return _too_large(mapping)


def _unfit_part(key: object, value: object, named: bool) -> str:
    if named and not isinstance(key, str):
        return f"has the key {told(key)}; keys are texts"
    if isinstance(value, float) and not math.isfinite(value):
        return f"has the number {value}, which JSON does not have"
    if not isinstance(value, str | int | float | dict | list | None):
        return f"has a value of the type {type(value).__name__}, which JSON does not have"
    if (isinstance(key, str) and _UNKEPT.search(key)) or (isinstance(value, str) and _UNKEPT.search(value)):
        return "has U+0000 or half a surrogate pair in it, which cannot be kept"
    return ""


def _too_large(mapping: dict[str, Any]) -> list[str]:
    try:
        size = len(json.dumps(mapping, ensure_ascii=False, separators=(",", ":")).encode())
    except ValueError:  # a number of thousands of digits
        size = LARGEST + 1
    return [f"$: is larger than {LARGEST:,} bytes of JSON"] if size > LARGEST else []


def _error(problems: list[str]) -> ConfigError:
    told_of = problems[:_TOLD]
    if len(problems) > _TOLD:
        told_of.append(f"and {len(problems) - _TOLD} more")
    lines = "\n".join(f"{problem}." for problem in told_of)
    between = " " if len(told_of) == 1 else "\n"
    return ConfigError("mapping_invalid", f"The mapping is not valid.{between}{lines}", hint=_HINT)
