"""Directives that make texts: @template, @case, @replace, @json."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from tidemill.reverse_etl.mapping import paths
from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.paths import Scope
from tidemill.reverse_etl.mapping.values import (
    LARGEST,
    MISSING,
    Reader,
    Unfit,
    bounded,
    encoded,
    failed,
    text,
    told,
    too_large,
    truthy,
)

#: Characters of a pattern and a replacement, as at Segment.
LONGEST_PATTERN = 10

_PLACEHOLDER = re.compile(r"\{\{\{([^{}]+)\}\}\}|\{\{([^{}]+)\}\}")


def template(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@template: a text with `{{a.b}}` in it."""
    if isinstance(argument, str):
        names = [(found[1] or found[2]).strip() for found in _PLACEHOLDER.finditer(argument)]
        readers = [compiler.path("@template", name, place) for name in names]
        return _rendering(argument, readers, place.path)
    if not isinstance(argument, dict):
        return compiler.wrong(place, f"@template is {told(argument)}; it is a text, or a directive that gives one")
    compiler.reads_anything(place)
    child = compiler.node(argument, place.below("@template"))

    def rendered(row: Any) -> Any:
        source = child(row)
        if not isinstance(source, str):
            raise failed(place.path, f"@template is made of {told(source)}, and should be of a text")
        try:
            render = _rendering_of(source, place.scope, place.path)
        except Unfit as unfit:
            raise failed(place.path, f"@template {unfit}") from None
        return render(row)

    return rendered


@functools.lru_cache(maxsize=256)
def _rendering_of(source: str, scope: Scope, at: str) -> Reader:
    bounded(source)
    names = [(found[1] or found[2]).strip() for found in _PLACEHOLDER.finditer(source)]
    return _rendering(source, [paths.reader(paths.parse(name), scope) for name in names], at)


def _rendering(source: str, readers: list[Reader], at: str) -> Reader:
    pattern = _pattern(source)
    if not readers:
        return lambda _: source

    def render(row: Any) -> Any:
        found, size = [], 0
        try:
            for read in readers:
                part = text(read(row))
                size += len(part)
                if size > LARGEST:
                    raise too_large()
                found.append(part)
            return bounded(pattern % tuple(found))
        except Unfit as unfit:
            raise failed(at, f"@template {unfit}") from None

    return render


def _pattern(source: str) -> str:
    found, end = [], 0
    for place in _PLACEHOLDER.finditer(source):
        found.append(source[end : place.start()].replace("%", "%%"))
        end = place.end()
    return "%s".join([*found, source[end:].replace("%", "%%")])


def case(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@case: a text in lower or upper case; other values stay."""
    options = compiler.options("@case", argument, place, ("operator", "value"))
    if options is None or not compiler.one_of("@case", "operator", options.get("operator"), ("lower", "upper"), place):
        return nothing
    value = options.get("value")
    if not truthy(value):
        return nothing
    child = compiler.node(value, place.below("@case.value"))
    change = str.lower if options["operator"] == "lower" else str.upper

    def changed(row: Any) -> Any:
        found = child(row)
        return change(found) if isinstance(found, str) else found

    return changed


def replace(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@replace: one or two texts in a value, by others. What is no text, number or boolean becomes an empty text."""
    names = ("value", "pattern", "replacement", "pattern2", "replacement2", "ignorecase", "global")
    options = compiler.options("@replace", argument, place, names)
    if options is None:
        return nothing
    good = _replaceable(compiler, options, place)
    if not good or not truthy(options.get("value")):
        return nothing
    child = compiler.node(options["value"], place.below("@replace.value"))
    changes = [_change(options, "")] + ([_change(options, "2")] if truthy(options.get("pattern2")) else [])

    def changed(row: Any) -> Any:
        found = child(row)
        if not isinstance(found, str | int | float):
            return ""
        found = text(found)
        try:
            for change in changes:
                changed_to = change(found)
                found = bounded(changed_to) if len(changed_to) > len(found) else changed_to
        except Unfit as unfit:
            raise failed(place.path, f"@replace {unfit}") from None
        return found

    return changed


def _replaceable(compiler: Compiler, options: dict[str, Any], place: Place) -> bool:
    """Whether the options are as they should be; notes problems if not."""
    good = compiler.short("@replace", "pattern", options.get("pattern"), 1, LONGEST_PATTERN, place)
    second = options.get("pattern2")
    if truthy(second):
        good &= compiler.short("@replace", "pattern2", second, 1, LONGEST_PATTERN, place)
    for option in ("replacement", "replacement2"):
        if options.get(option) is not None:
            good &= compiler.short("@replace", option, options[option], 0, LONGEST_PATTERN, place)
    for option in ("ignorecase", "global"):
        if not isinstance(options.get(option, False), bool | None):
            compiler.wrong(place, f"@replace.{option} is {told(options[option])}; it is true or false")
            good = False
    return good


def _change(options: dict[str, Any], number: str) -> Reader:
    pattern, put = options[f"pattern{number}"], options.get(f"replacement{number}") or ""
    most = -1 if options.get("global") in (None, True) else 1
    if options.get("ignorecase"):
        found = re.compile(re.escape(pattern), re.IGNORECASE)
        return lambda value: found.sub(lambda _: put, value, count=max(most, 0))
    return lambda value: value.replace(pattern, put, most)


def as_json(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@json: a value as JSON, or what JSON says. A text that is not JSON stays."""
    options = compiler.options("@json", argument, place, ("mode", "value"))
    if options is None:
        return nothing
    mode = options.get("mode")
    mode = mode.lower() if isinstance(mode, str) else mode
    if not compiler.one_of("@json", "mode", mode, ("encode", "decode"), place):
        return nothing
    if "value" not in options:
        return compiler.wrong(place, "@json has no value")
    child = compiler.node(options["value"], place.below("@json.value"))
    if mode == "decode":
        return lambda row: _decoded(child(row))

    def encode(row: Any) -> Any:
        found = child(row)
        try:
            return found if found is MISSING else encoded(found)
        except Unfit as unfit:
            raise failed(place.path, f"@json {unfit}") from None

    return encode


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):  # also half a surrogate pair: nobody else could read it
        return value
