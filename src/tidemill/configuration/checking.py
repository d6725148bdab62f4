"""Checks what a configuration says of each thing by itself: names, keys, types, and secrets that are referred to."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds import KINDS
from tidemill.configuration.kinds.kind import KEPT, Fields, Secret
from tidemill.configuration.origins import Origin
from tidemill.configuration.problems import Position, Problems, meant
from tidemill.configuration.reading import Tree, Way
from tidemill.configuration.words import Reference
from tidemill.connections.spec import NAME_RULE
from tidemill.errors import ConfigError

VERSION = 1
#: Sections of a file. Sources are written with their connections.
SECTIONS = tuple(section for section in KINDS if section != "sources")
_SOURCE = "source"
_LONGEST = 60


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a file says of a thing. `given`: its fields, as they are written whole, but without what is left out; None
    if something of them is wrong."""

    section: str
    name: str
    tree: Tree
    way: Way
    given: Fields | None

    def at(self, *way: str | int) -> Position:
        """Where a field of it is written; without one, its name."""
        return self.tree.at((*self.way, *way), key=not way)


@dataclasses.dataclass(frozen=True)
class Entries:
    """What files say. `named`: by section and name; `places`: where each section is written first. A section that no
    file has is in neither."""

    named: Mapping[str, Mapping[str, Entry]]
    places: Mapping[str, Position]

    def of(self, section: str) -> Mapping[str, Entry]:
        """Those of a section."""
        return self.named.get(section, {})


def entries(trees: Sequence[Tree], problems: Problems, origin: Origin) -> Entries:
    """What files say. Problems are told."""
    found: dict[str, dict[str, Entry]] = {}
    places: dict[str, Position] = {}
    taken: dict[tuple[str, str], Entry] = {}
    for tree in trees:
        for section, name, way, data in _written(tree, problems):
            into = found.setdefault(section, {})
            places.setdefault(section, tree.at(way[:1], key=True))
            if name is None:
                continue
            entry = Entry(section, name, tree, way, _checked(tree, section, way, data, problems, origin))
            first = taken.setdefault((section, name.lower()), entry)
            if first is entry:
                into[name] = entry
            else:
                problems.add(entry.at(), f"{name} is written twice: also at {first.at()}.")
    origin.settle(problems)
    return Entries(found, places)


def _written(tree: Tree, problems: Problems) -> Iterator[tuple[str, str | None, Way, Any]]:
    """Sections and things of a file: the name of each, its way, and what is written of it."""
    data = tree.data
    if not isinstance(data, dict):
        problems.add(tree.at(()), f"A configuration has sections: {', '.join(SECTIONS)}.")
        return
    for section, things in data.items():
        if section == "version":
            if things != VERSION:
                problems.add(tree.at((section,)), f"There is no version {things!r}: this one is {VERSION}.")
            continue
        if section not in SECTIONS:
            allowed = f"Allowed: version, {', '.join(SECTIONS)}."
            guess = meant(section, SECTIONS)
            problems.add(tree.at((section,), key=True), f"There is no section {section!r}.{guess} {allowed}")
            continue
        if things is not None and not isinstance(things, dict):
            problems.add(tree.at((section,)), f"{section} has names, and below each what it is.")
            continue
        yield from _of_section(tree, section, things or {}, problems)


def _of_section(
    tree: Tree, section: str, things: Mapping[str, Any], problems: Problems
) -> Iterator[tuple[str, str | None, Way, Any]]:
    yield section, None, (section,), None
    if section == "connections":
        yield "sources", None, (section,), None
    for name, data in things.items():
        way: Way = (section, name)
        if not re.fullmatch(NAME_RULE, name):
            rule = "up to 100 letters, digits, spaces and any of _ . - (a letter or digit first)"
            problems.add(tree.at(way, key=True), f"{name!r} is no name: {rule}.")
        fields = {} if data is None else data
        if not isinstance(fields, dict):
            problems.add(tree.at(way), f"Below {name} is written what it is: a key, a colon, and a value on each line.")
            continue
        if section == "connections":
            if fields.get(_SOURCE) is not None:
                yield "sources", name, (*way, _SOURCE), fields[_SOURCE]
            fields = {field: value for field, value in fields.items() if field != _SOURCE}
        yield section, name, way, fields


def _checked(tree: Tree, section: str, way: Way, data: Any, problems: Problems, origin: Origin) -> Fields | None:
    """The fields of a thing; None if something is wrong."""
    try:
        document = KINDS[section].document(data)
        given = document.model_validate(data).model_dump(mode="json", exclude_unset=True)
    except pydantic.ValidationError as error:
        for item in error.errors():
            at, said = _problem(tree, document, way, item)
            problems.add(at, said)
        return None
    except ConfigError as error:
        is_kind = error.code == "kind_unknown"
        problems.add_error(tree.at((*way, "kind") if is_kind else way, key=not is_kind), error)
        return None
    fields = {name: value for name, value in given.items() if value is not None}
    is_good = True
    for name in [one for one in documents.secrets(document) if one in fields]:
        reference = Reference.model_validate(fields[name])
        try:
            secret = origin.secret(reference, tree.folder)
            fields[name] = Secret(reference, secret) if secret is not None else KEPT
        except ConfigError as error:
            problems.add_error(tree.at((*way, name)), error)
            is_good = False
    return fields if is_good else None


def _problem(tree: Tree, document: type[Document], way: Way, item: Any) -> tuple[Position, str]:
    """Where something is wrong, and what, in the words of the file."""
    inner: Way = tuple(item["loc"])
    at = (*way, *inner)
    name = ".".join(str(part) for part in inner if isinstance(part, str)) or "This"
    models = _models(document, inner[:-1]) if inner else [document]
    match item["type"]:
        case "extra_forbidden":
            known = [key for model in models for key in model.model_fields]
            guess = meant(str(inner[-1]), known)
            return tree.at(at, key=True), f"There is no {inner[-1]!r} here.{guess} Allowed: {', '.join(known)}."
        case "missing":
            return tree.at(at[:-1], key=True), f"{name} is missing."
        case "value_error" if not inner:
            return tree.at(way, key=True), f"{item['ctx']['error']}."
        case "value_error":
            return tree.at(at), f"{name}: {str(item['ctx']['error']).rstrip('.')}."
    if Reference in models or Reference in _models(document, inner):
        return tree.at(at), f"{name} is a secret, which is not written here. Write {{env: NAME}} or {{file: PATH}}."
    said = str(item["msg"]).replace("Input should", "it should")
    given = "" if isinstance(item["input"], dict | list) else f", and not {item['input']!r}"
    return tree.at(at), f"{name}: {said}{given if len(given) < _LONGEST else ''}."


def _models(document: type[Document], way: Way) -> list[type[pydantic.BaseModel]]:
    """The models whose fields may be written at a place."""
    found: list[type[pydantic.BaseModel]] = [document]
    for part in way:
        if isinstance(part, int):
            continue
        fields = [model.model_fields[part] for model in found if part in model.model_fields]
        found = [model for field in fields for model in _named(field.annotation)]
    return found


def _named(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _named(part)
