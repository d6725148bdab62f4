"""Makes functions of the parts of a mapping, and collects all that is wrong with it on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from tidemill.reverse_etl.mapping import paths
from tidemill.reverse_etl.mapping.paths import ROW, Scope
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit, told

#: How often a part of a row may be in what is made of it, without a second look.
_OFTEN = 1_000
#: What may stand beside a directive: notes of whoever wrote it.
METADATA = "_metadata"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in a mapping something stands: its path, and what `$` is there.

    `keeps`: keys of an object whose values are missing are kept, as such: @merge lets them take the place of others.
    `missing`: what stands there may be missing on purpose.
    """

    path: str
    scope: Scope = ROW
    keeps: bool = False
    missing: bool = False

    def below(self, part: str | int, *, scope: Scope | None = None, keeps: bool = False) -> Place:
        """The place of a part of it."""
        path = f"{self.path}[{part}]" if isinstance(part, int) else f"{self.path}.{part}"
        return Place(path, scope or self.scope, keeps, missing=self.keeps and not keeps)


#: Makes a function of the argument of a directive.
Builder = Callable[["Compiler", Any, Place], Reader]


def nothing(_: Any) -> Any:
    """Always missing."""
    return MISSING


class Compiler:
    """One mapping. `problems`: what is wrong with it; `columns`: those that it may read, None: all; `meant`: those that
    it is written for; `given`: whether it reads what is known of a row beside them. `steps`: of
    directives, one upon what the other made."""

    def __init__(self, directives: dict[str, Builder]) -> None:
        self.problems: list[str] = []
        self.columns: set[str] | None = set()
        self.meant: set[str] = set()
        self.given = False
        self.steps = 1
        self._made = 0
        self._directives = directives

    def wrong(self, place: Place, said: str) -> Reader:
        """Note a problem; the function is for going on to the next."""
        self.problems.append(f"{place.path}: {said}")
        return nothing

    @property
    def repeats(self) -> bool:
        """Whether what it makes of a row may have parts of it so often that it must be measured."""
        return int(self._made ** min(self.steps, 10)) > _OFTEN

    def node(self, value: Any, place: Place) -> Reader:
        """What makes the value of any part of a mapping."""
        if isinstance(value, dict):
            names = [name for name in value if name.startswith("@")]
            return self._directive(value, names, place) if names else self._object(value, place)
        if isinstance(value, list):
            return self._list(value, place)
        return lambda _: value

    def options(self, name: str, argument: Any, place: Place, known: Iterable[str]) -> dict[str, Any] | None:
        """The options of a directive, if they are an object of known names."""
        known = tuple(known)
        if not isinstance(argument, dict):
            self.wrong(place, f"{name} is {told(argument)}; it is an object of {', '.join(known)}")
            return None
        strange = [key for key in argument if key not in known and key != METADATA]
        for key in strange:
            self.wrong(place, f"{name} has no {key!r}; it has {', '.join(known)}")
        return None if strange else argument

    def one_of(self, name: str, option: str, given: Any, choices: tuple[str, ...], place: Place) -> bool:
        """Whether an option is one of the choices; notes a problem if not."""
        if isinstance(given, str) and given in choices:
            return True
        allowed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        self.wrong(place, f"{name}.{option} is {told(given)}; it is {allowed}")
        return False

    def short(self, name: str, option: str, given: Any, least: int, most: int, place: Place) -> bool:
        """Whether an option is a text of so many characters; notes a problem if not."""
        if isinstance(given, str) and least <= len(given) <= most:
            return True
        self.wrong(place, f"{name}.{option} is {told(given)}; it is a text of {least} to {most} characters")
        return False

    def path(self, name: str, text: str, place: Place) -> Reader:
        """What reads a path that stands in the mapping."""
        try:
            steps = paths.parse(text)
        except Unfit as unfit:
            return self.wrong(place, f"{name} {unfit}")
        if place.scope.row:
            self.reads(paths.columns(steps))
            column = paths.meant(steps)
            if column is not None and not place.missing:
                self.meant.add(column)
        self.given = self.given or (place.scope.event and paths.given(steps))
        return paths.reader(steps, place.scope)

    def reads(self, names: frozenset[str] | None) -> None:
        """Note columns that are read; None: all, or it cannot be known which."""
        if names is None or self.columns is None:
            self.columns = None
        else:
            self.columns |= names

    def reads_anything(self, place: Place) -> None:
        """Note that it is the row that says what is read of it."""
        self.given = self.given or place.scope.event
        if place.scope.row:
            self.columns = None

    def _directive(self, value: dict[str, Any], names: list[str], place: Place) -> Reader:
        if len(names) > 1:
            return self.wrong(
                place, f"{' and '.join(names[:3])} stand side by side; one directive is an object by itself"
            )
        name = names[0]
        build = self._directives.get(name)
        if build is None:
            return self.wrong(place, f"there is no directive {told(name)}; there are {', '.join(self._directives)}")
        beside = [key for key in value if key not in {name, METADATA}]
        if beside:
            return self.wrong(place, f"{name} stands beside {told(beside[0])}; a directive is an object by itself")
        self._made += 1
        return build(self, value[name], place)

    def _object(self, value: dict[str, Any], place: Place) -> Reader:
        parts = tuple((key, self.node(part, place.below(key))) for key, part in value.items())
        if place.keeps:
            return lambda row: {key: read(row) for key, read in parts}

        def made(row: Any) -> Any:
            found = {}
            for key, read in parts:
                part = read(row)
                if part is not MISSING:
                    found[key] = part
            return found

        return made

    def _list(self, value: list[Any], place: Place) -> Reader:
        parts = tuple(self.node(part, place.below(number)) for number, part in enumerate(value))

        def made(row: Any) -> Any:
            found = [read(row) for read in parts]
            return [None if part is MISSING else part for part in found] if MISSING in found else found

        return made
