"""Directives that choose and shape: @path, @literal, @if, @arrayPath, @flatten, @merge, @transform, and of null."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from tidemill.reverse_etl.mapping import paths
from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.paths import EVENT, ITEM, Event
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit, assert_held, failed, told, truthy

#: Characters of what @flatten puts between names.
LONGEST_SEPARATOR = 100
#: Items of lists within the items of a list: a short mapping could have more of them than there is time.
MOST_ITEMS = 100_000
#: How many are left, of the row that is mapped.
_shapes = threading.local()


def path(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@path: what is there in the row."""
    if isinstance(argument, str):
        return compiler.path("@path", argument, place)
    if not isinstance(argument, dict):
        return compiler.wrong(place, f"@path is {told(argument)}; it is a path, or a directive that gives one")
    compiler.reads_anything(place)
    child = compiler.node(argument, place.below("@path"))

    def read(row: Any) -> Any:
        named = child(row)
        if not isinstance(named, str):
            raise failed(place.path, f"@path is made of {told(named)}, and should be of a text")
        try:
            return paths.found(named, place.scope)(row)
        except Unfit as unfit:
            raise failed(place.path, f"@path {unfit}") from None

    return read


def literal(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@literal: the value itself. Directives in it are carried out, as at Segment."""
    return compiler.node(argument, place.below("@literal", keeps=place.keeps))


def branch(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@if: one of two values, by whether a third exists, or is not blank."""
    options = compiler.options("@if", argument, place, ("exists", "blank", "then", "else"))
    if options is None:
        return nothing
    if not truthy(options.get("exists")) and not truthy(options.get("blank")):
        return compiler.wrong(place, "@if has neither exists nor blank")
    asked = "exists" if "exists" in options else "blank"
    condition = compiler.node(options[asked], place.below(f"@if.{asked}"))
    is_not_blank = asked == "blank"
    then: Reader = nothing
    otherwise: Reader = nothing
    if "then" in options:
        then = compiler.node(options["then"], place.below("@if.then", keeps=place.keeps))
    if truthy(options.get("else")):  # so it is at Segment; {"@literal": false} counts
        otherwise = compiler.node(options["else"], place.below("@if.else", keeps=place.keeps))

    def chosen(row: Any) -> Any:
        found = condition(row)
        if found is None or found is MISSING or (is_not_blank and _blank(found)):
            return otherwise(row)
        return then(row)

    return chosen


def _blank(value: Any) -> bool:
    """Whether JavaScript's `==` takes a value for the empty text."""
    while isinstance(value, list):
        if len(value) != 1:
            return not value
        value = value[0]
        if value is None:
            return True
        if not isinstance(value, list):
            return isinstance(value, str) and value == ""
    return isinstance(value, str | int | float) and not value


def array_path(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@arrayPath: a list, each item in another shape, in which `$` is the item."""
    if not isinstance(argument, list) or not 1 <= len(argument) <= 2:
        return compiler.wrong(place, f"@arrayPath is {told(argument)}; it is a list of a path, and a shape")
    named, shape = argument[0], argument[1] if len(argument) > 1 else None
    if isinstance(named, str):
        root = compiler.path("@arrayPath[0]", named, place)
    elif isinstance(named, dict):
        root = compiler.node(named, place.below("@arrayPath[0]"))
    else:
        return compiler.wrong(place, f"@arrayPath[0] is {told(named)}; it is a path, or a directive")
    if shape is None or shape == {}:
        return root
    if not isinstance(shape, dict):
        return compiler.wrong(place, f"@arrayPath[1] is {told(shape)}; it is an object, or a directive")
    compiler.steps += 1
    child = compiler.node(shape, place.below("@arrayPath[1]", scope=ITEM))
    return _shaping(root, child, place)


def _shaping(root: Reader, child: Reader, place: Place) -> Reader:
    inside, at = not place.scope.event, place.path

    def shaped(row: Any) -> Any:
        found = root(row)
        if isinstance(found, dict):
            found = [found]
        if not isinstance(found, list):
            return found
        if not inside:
            _shapes.left = MOST_ITEMS
        else:
            _shapes.left -= len(found)
            if _shapes.left < 0:
                raise failed(at, f"@arrayPath has more than {MOST_ITEMS:,} items in all")
        made = [child(item) for item in found]
        return [None if item is MISSING else item for item in made]

    return shaped


def flatten(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@flatten: an object of one level, of names with a separator between them."""
    options = compiler.options("@flatten", argument, place, ("value", "separator", "omitArrays"))
    if options is None:
        return nothing
    good = compiler.short("@flatten", "separator", options.get("separator"), 1, LONGEST_SEPARATOR, place)
    if "value" not in options:
        return compiler.wrong(place, "@flatten has no value")
    child = compiler.node(options["value"], place.below("@flatten.value"))
    if not good:
        return nothing
    separator, lists = options["separator"], not truthy(options.get("omitArrays"))

    def flat(row: Any) -> Any:
        found = child(row)
        if not isinstance(found, dict) and not (lists and isinstance(found, list)):
            return found
        made: dict[str, Any] = {}
        try:
            _spread(assert_held(found), "", separator, lists, made)
        except Unfit as unfit:
            raise failed(place.path, f"@flatten {unfit}") from None
        return made

    return flat


def _spread(value: Any, before: str, separator: str, lists: bool, into: dict[str, Any]) -> None:
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, dict) or (lists and isinstance(part, list)):
            _spread(part, f"{before}{name}{separator}", separator, lists, into)
        else:
            into[f"{before}{name}"] = part


def merge(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@merge: several objects as one. A key that is missing in one takes the place of the same in another, too."""
    options = compiler.options("@merge", argument, place, ("objects", "direction"))
    if options is None:
        return nothing
    direction = options.get("direction")
    direction = direction.lower() if isinstance(direction, str) else direction
    good = compiler.one_of("@merge", "direction", direction, ("left", "right"), place)
    objects = options.get("objects")
    if not isinstance(objects, list):
        return compiler.wrong(place, f"@merge.objects is {told(options.get('objects', MISSING))}; it is a list")
    parts = [_mergeable(compiler, part, number, place) for number, part in enumerate(objects)]
    if not good:
        return nothing
    if direction == "left":
        parts.reverse()
    return _merging(parts, place)


def _mergeable(compiler: Compiler, part: Any, number: int, place: Place) -> tuple[int, Reader]:
    if not isinstance(part, dict):
        return number, compiler.wrong(
            place, f"@merge.objects[{number}] is {told(part)}; it is an object, or a directive"
        )
    return number, compiler.node(part, place.below(f"@merge.objects[{number}]", keeps=True))


def _merging(parts: Sequence[tuple[int, Reader]], place: Place) -> Reader:
    keeps, at = place.keeps, place.path

    def merged(row: Any) -> Any:
        made: dict[str, Any] = {}
        for number, read in parts:
            found = read(row)
            if isinstance(found, dict):
                made.update(found)
            elif found is not None and found is not MISSING:
                raise failed(at, f"@merge.objects[{number}] gave {told(found)}, and should give an object")
        return made if keeps else {key: value for key, value in made.items() if value is not MISSING}

    return merged


def transform(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@transform: a mapping of what another mapping made of the row."""
    options = compiler.options("@transform", argument, place, ("apply", "mapping"))
    if options is None:
        return nothing
    for name in ("apply", "mapping"):
        if not isinstance(options.get(name), dict):
            told_of = told(options.get(name, MISSING))
            return compiler.wrong(place, f"@transform.{name} is {told_of}; it is an object, or a directive")
    beneath = place.below("@transform.mapping", scope=EVENT if place.scope.row else place.scope, keeps=place.keeps)
    return transformed(compiler, options["apply"], compiler.node(options["mapping"], beneath), place)


def transformed(compiler: Compiler, apply: Any, mapping: Reader, place: Place) -> Reader:
    """What gives the result of `apply` to a mapping, which is compiled already."""
    first = compiler.node(apply, place.below("@transform.apply"))
    compiler.steps += 1

    def made(row: Any) -> Any:
        found = first(row)
        if found is None or found is MISSING:
            found = {}
        elif not isinstance(found, dict):
            raise failed(place.path, f"@transform.apply gave {told(found)}, and should give an object")
        if compiler.repeats:
            try:
                assert_held(found)
            except Unfit as unfit:
                raise failed(place.path, f"@transform.apply {unfit}") from None
        return mapping(Event.of(found, row.given) if isinstance(row, Event) else found)

    return made


def exclude_when_null(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@excludeWhenNull: a value, but nothing in place of null; objects lose the keys that are null, lists stay."""
    child = compiler.node(argument, place.below("@excludeWhenNull", keeps=place.keeps))
    keeps = place.keeps

    def cleaned(row: Any) -> Any:
        found = child(row)
        if found is None:
            return MISSING
        if not isinstance(found, dict):
            return found
        try:
            return _without_nulls(assert_held(found), keeps)
        except Unfit as unfit:
            raise failed(place.path, f"@excludeWhenNull {unfit}") from None

    return cleaned


def _without_nulls(value: dict[str, Any], keeps: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, dict):
            made[name] = _without_nulls(part, False)
        elif part is not None:
            made[name] = part
        elif keeps:
            made[name] = MISSING
    return made
