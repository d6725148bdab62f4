"""Reads YAML into plain values that know where they were written.

YAML 1.2, as far as a configuration needs it: a date is a text, and so is `no`. Names that are written twice are found,
also in two files of a folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tidemill.configuration.problems import Position, Problems

#: Where something is: the keys and numbers that lead to it.
Way = tuple[str | int, ...]
_TAG = "tag:yaml.org,2002:"
#: Anchors may be used again and again, each time for all that is below them.
_MOST_VALUES = 1_000_000
_DEEPEST = 50
_TRUE, _NUMBERS = {"true", "True", "TRUE"}, {f"{_TAG}int", f"{_TAG}float"}


@dataclasses.dataclass(frozen=True)
class Text:
    """A file, as it was read. `name`: as it is called in problems; `folder`: from which paths in it lead."""

    name: str
    text: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class Tree:
    """What a file holds. `keys`, `values`: where the key of something, and its value, are written."""

    name: str
    folder: Path
    data: Any
    keys: dict[Way, Position]
    values: dict[Way, Position]

    def at(self, way: Way, *, key: bool = False) -> Position:
        """Where it is written; or what is nearest above it."""
        for length in range(len(way), -1, -1):
            short = way[:length]
            if (key or length < len(way)) and short in self.keys:
                return self.keys[short]
            if short in self.values:
                return self.values[short]
        return Position(self.name, 1, 1)


def read(text: Text, problems: Problems) -> Tree | None:
    """The tree of a file; None if it is no YAML, which is told."""
    reader = YAML(typ="safe", pure=True)
    try:
        node = reader.compose(text.text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(text.name, mark.line + 1, mark.column + 1) if mark else Position(text.name, 1, 1)
        said = " ".join(part.strip().splitlines()[0] for part in (error.context, error.problem) if part)
        problems.add(at, f"This is no YAML: {said}.")
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        said = next(iter(str(error).strip().splitlines()), "it cannot be read")
        problems.add(Position(text.name, 1, 1), f"This is no YAML: {said}.")
        return None
    walk = _Walk(text.name, problems)
    data = walk.value(node, ()) if node is not None else {}
    return Tree(text.name, text.folder, data, walk.keys, walk.values)


class _Walk:
    """Goes through the nodes of a file."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name, self._problems = name, problems
        self.keys: dict[Way, Position] = {}
        self.values: dict[Way, Position] = {}
        self._above: list[int] = []
        self._count = 0

    def _place(self, node: Node) -> Position:
        return Position(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def value(self, node: Node, way: Way) -> Any:
        """The value of a node, and of all below it."""
        self.values[way] = self._place(node)
        self._count += 1
        if self._count > _MOST_VALUES or len(way) > _DEEPEST or id(node) in self._above:
            said = "It is written within itself." if id(node) in self._above else "This is too much, or too deep."
            self._problems.add(self._place(node), said)
            return None
        self._above.append(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, way)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*way, number)) for number, item in enumerate(node.value)]
            return self._scalar(node) if isinstance(node, ScalarNode) else None
        finally:
            self._above.pop()

    def _mapping(self, node: MappingNode, way: Way) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._problems.add(self._place(key), "A key is a name.")
                continue
            if key.tag == f"{_TAG}merge":
                merged |= self._merged(value, way)
                continue
            name = str(key.value)
            if name in found:
                first = self.keys[(*way, name)]
                self._problems.add(self._place(key), f"{name} is written twice: also at line {first.line}.")
                continue
            self.keys[(*way, name)] = self._place(key)
            found[name] = self.value(value, (*way, name))
        return {**merged, **found}

    def _merged(self, node: Node, way: Way) -> dict[str, Any]:
        """What `<<` brings in: the first counts most."""
        several = node.value if isinstance(node, SequenceNode) else [node]
        found: dict[str, Any] = {}
        for one in several:
            data = self.value(one, way)
            if not isinstance(data, dict):
                self._problems.add(self._place(node), "<< brings in keys and values of another place.")
                continue
            found = {**data, **found}
        return found

    def _scalar(self, node: ScalarNode) -> Any:
        text, tag = str(node.value), str(node.tag)
        if tag == f"{_TAG}null":
            return None
        if tag == f"{_TAG}bool":
            return text in _TRUE
        if tag in _NUMBERS:
            return _number(text)
        if tag not in {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"}:
            self._problems.add(self._place(node), f"{tag} is nothing that a configuration has.")
        return text


def _number(text: str) -> int | float | str:
    plain = text.replace("_", "")
    for base in (0, 10):  # 0x1F, 0o17; and 017, which is seventeen
        with contextlib.suppress(ValueError):
            return int(plain, base)
    with contextlib.suppress(ValueError):
        return float(plain)
    return text


def folder_files(folder: Path) -> list[Path]:
    """The files of a configuration that is a folder, by name."""
    found = [one for one in folder.iterdir() if one.suffix in {".yaml", ".yml"} and one.is_file()]
    return sorted(one for one in found if not one.name.startswith("."))


def texts(places: Sequence[tuple[str, Path]]) -> Iterator[Text]:
    """The texts of files: the name of each, and its path. Raises OSError, UnicodeDecodeError."""
    for name, path in places:
        yield Text(name, path.read_text("utf-8"), path.parent.absolute())
