"""Compares a configuration with an installation: what would be made, changed and deleted."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.configuration.checking import Entries, Entry
from tidemill.configuration.kinds import KINDS
from tidemill.configuration.kinds.kind import KEPT, Change, Fields, Kind, Need, Secret, World
from tidemill.configuration.problems import Problems
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.app import App


class Act(enum.StrEnum):
    """What is done with a thing."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclasses.dataclass(frozen=True)
class Field:
    """A field that changes: its name, and what it was and will be. Of a secret it is said where it is, or that it
    is one."""

    name: str
    before: Any
    after: Any


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that would be done. `before`, `after`: all fields; None if it is not there."""

    act: Act
    section: str
    name: str
    fields: tuple[Field, ...]
    before: Fields | None
    after: Fields | None

    @property
    def title(self) -> str:
        """What it is about, in words."""
        return f"{KINDS[self.section].title} {self.name}"

    @property
    def change(self) -> Change | None:
        """What it does; None: the thing is deleted."""
        if self.after is None:
            return None
        return Change(self.name, self.before, self.after, {_outer(field) for field in self.fields})


@dataclasses.dataclass(frozen=True)
class Plan:
    """What would be done, in the order in which it is. `unchanged`: things that are as the file has them; `others`:
    things that it does not have, and that stay. `resets`: names of syncs and imports that have run, and whose mapping
    changes: it is to be said what becomes of rows that were delivered. `compared`: sections of which secrets were held
    against those that the installation has."""

    steps: tuple[Step, ...]
    unchanged: int
    others: int
    resets: tuple[str, ...]
    world: World
    compared: frozenset[str] = frozenset()

    def count(self, act: str) -> int:
        """How many steps are so."""
        return sum(step.act == act for step in self.steps)

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it takes to do it; who compares secrets could guess them, so that takes the right to change them."""
        changing = {one for step in self.steps for one in KINDS[step.section].permissions(step.change)}
        return frozenset(changing | {KINDS[section].writes for section in self.compared})

    @property
    def id(self) -> str:
        """By which a plan is known again: the same steps have the same."""
        said = [[step.act, step.section, step.name, [vars(field) for field in step.fields]] for step in self.steps]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def described(self) -> dict[str, Any]:
        """As JSON has it. Secrets are not in it."""
        steps = [
            {"act": step.act, "kind": KINDS[step.section].title, "name": step.name, "fields": step.fields}
            for step in self.steps
        ]
        counts = {act.value: self.count(act) for act in Act}
        counts |= {"unchanged": self.unchanged, "others": self.others}
        return {"id": self.id, "steps": steps, "counts": counts, "resets": self.resets}


def plan(app: App, entries: Entries, problems: Problems, *, prune: bool, outside: bool = False) -> Plan:
    """The plan of a configuration. `prune`: what it does not have is deleted, of the sections that it has; `outside`:
    somebody has sent it who is not at the command line.

    Raises
    ------
    ConfigError
        With all that is wrong.
    """
    return _Planner(app, entries, problems, prune=prune, outside=outside).plan()


class _Planner:
    """Makes one plan."""

    def __init__(self, app: App, entries: Entries, problems: Problems, *, prune: bool, outside: bool) -> None:
        self._app, self._entries, self._problems, self._outside = app, entries, problems, outside
        self._compared_sections: set[str] = set()
        found = {section: kind.found(app) for section, kind in KINDS.items()}
        self._given: dict[str, dict[str, Fields]] = {section: {} for section in KINDS}
        deleted = {
            section: [name for name in found[section] if self._goes(section, name, prune=prune)] for section in KINDS
        }
        self._world = World(app, found, self._given, deleted)

    def _goes(self, section: str, name: str, *, prune: bool) -> bool:
        """Whether a thing of the installation is deleted. A connection whose file does not say that it is a source is
        none."""
        if section not in self._entries.named or name in self._entries.of(section):
            return False
        return prune or (section == "sources" and name in self._entries.of("connections"))

    def plan(self) -> Plan:
        """See the module."""
        self._assert_names()
        steps, unchanged = [], 0
        for section, kind in KINDS.items():
            for name, entry in sorted(self._entries.of(section).items()):
                step = self._compared(kind, name, entry)
                if step is None:
                    continue
                is_done = step.act is Act.CHANGE and not step.fields
                steps += [] if is_done else [step]
                unchanged += is_done
        for section in reversed(list(KINDS)):
            found = self._world.found[section]
            gone = sorted(self._world.deleted[section])
            steps += [Step(Act.DELETE, section, name, (), found[name], None) for name in gone]
        self._assert_alone()
        self._assert_not_needed()
        self._problems.settle()
        known = sum(len(named) for named in self._world.found.values())
        others = known - unchanged - sum(step.act is not Act.CREATE for step in steps)
        compared = frozenset(self._compared_sections)
        return Plan(tuple(steps), unchanged, others, tuple(self._resets(steps)), self._world, compared)

    def _resets(self, steps: list[Step]) -> Iterator[str]:
        for step in steps:
            if step.act is not Act.CHANGE or step.section not in {"syncs", "imports"}:
                continue
            mapped = KINDS[step.section].mapped
            has_run = self._app.reverse_etl.syncs.get(step.name).last is not None
            if has_run and any(_outer(field) in mapped for field in step.fields):
                yield step.name

    def _compared(self, kind: Kind, name: str, entry: Entry) -> Step | None:
        """What is to be done so that a thing is as it is written. None if something is wrong."""
        if entry.given is None:
            return None
        self._given[kind.section][name] = entry.given  # others may refer to it, whatever comes of it
        unmet = [need for need in kind.needs(entry.given) if not self._is_met(need, entry)]
        if unmet or self._lacks(kind, entry, entry.given):
            return None
        try:
            after = kind.ordered(kind.whole(self._world, name, entry.given))
        except ConfigError as error:
            self._problems.add_error(entry.at(), error)
            return None
        self._given[kind.section][name] = after
        before = self._world.found[kind.section].get(name)
        written = after if before is not None else _written(after, entry.given)
        fields = tuple(self._fields(kind, name, before, written))
        step = Step(Act.CREATE if before is None else Act.CHANGE, kind.section, name, fields, before, after)
        change = step.change
        if before is not None and change is not None:
            self._assert_possible(kind, entry, before, change, fields)
        if self._outside and change is not None and (said := kind.inside(change)) is not None:
            self._problems.add(entry.at(), f"{name}: {said}")
        return step

    def _lacks(self, kind: Kind, entry: Entry, given: Fields) -> bool:
        """Whether a secret is to stay that is not there; it is told."""
        before = self._world.found[kind.section].get(entry.name, {})
        lacking = [field for field, value in given.items() if value is KEPT and before.get(field) is not KEPT]
        for field in lacking:
            said = f"There is no {field} of {entry.name} yet that could stay as it is. Give it in secrets."
            self._problems.add(entry.at(field), said)
        return bool(lacking)

    def _fields(self, kind: Kind, name: str, before: Fields | None, after: Fields) -> Iterator[Field]:
        """Those that change; of a new thing, all that are something."""
        others = self._others(kind, name, before, after) if before is not None else ()
        for field, value in after.items():
            was = before.get(field) if before is not None else None
            if isinstance(value, Secret) or was is KEPT:
                if before is None or field in others:
                    said = "(another secret)" if isinstance(value, Secret) and was is KEPT else _said(value)
                    yield Field(field, _said(was), said)
            elif before is None:
                yield from (one for one in _inner(field, None, value) if one.after not in (None, [], "", {}))
            elif not kind.same(field, was, value):
                yield from _inner(field, was, value)

    def _others(self, kind: Kind, name: str, before: Fields, after: Fields) -> Collection[str]:
        """Secrets that are others, or are there no more. If none is given, nobody is asked: that takes more rights."""
        given = {field: value.value for field, value in after.items() if isinstance(value, Secret)}
        gone = {field for field, value in before.items() if value is KEPT and after.get(field) is None}
        if not given:
            return gone
        self._compared_sections.add(kind.section)
        return gone | (set(kind.differing(self._app, name, given)) & set(given))

    def _assert_possible(
        self, kind: Kind, entry: Entry, before: Fields, change: Change, fields: tuple[Field, ...]
    ) -> None:
        """That fields which change may be changed."""
        refusal = kind.refusal(self._world, entry.name, before, change)
        if refusal is not None:
            self._problems.add(entry.at(), f"{entry.name}: {refusal}")
            return
        for field in fields:
            if _outer(field) in kind.fixed:
                said = f"{field.name} of {entry.name} cannot be changed: it is {_shown(field.before)}"
                hint = f"Make another {kind.title}, of another name."
                self._problems.add(entry.at(*field.name.split(".")), f"{said}, and not {_shown(field.after)}. {hint}")

    def _is_met(self, need: Need, entry: Entry) -> bool:
        """Whether there is what a thing refers to; it is told if not."""
        sections = ("syncs", "imports") if need.section == "syncs" else (need.section,)
        if any(self._world.get(section, need.name) is not None for section in sections):
            return True
        if any(need.name in self._entries.of(section) for section in sections):
            return False  # what is wrong with it is told
        title = KINDS[need.section].title
        if need.section == "sources":
            if self._world.get("connections", need.name) is not None:
                said = f"The connection {need.name} is no source. Write source: {{access: full}} below it."
                self._problems.add(entry.at(need.field), said)
            return False
        gone = any(need.name in self._world.deleted[section] for section in sections)
        known = sorted({name for section in sections for name in self._world.all(section)})
        there = (
            f"{title.capitalize()}s: {', '.join(known)}."
            if known
            else f"There are none: write it below {need.section}."
        )
        said = f"The {title} {need.name} is to be deleted." if gone else f"There is no {title} {need.name!r}."
        self._problems.add(entry.at(need.field), f"{said} {there}")
        return False

    def _assert_names(self) -> None:
        """That names are written as they are, and that what shares names has different ones."""
        for section, named in self._entries.named.items():
            known = {name.lower(): name for name in self._world.found[section]}
            for name, entry in named.items():
                if (saved := known.get(name.lower(), name)) != name:
                    said = f"There is {saved} already, which differs by its case alone. Write {saved}."
                    self._problems.add(entry.at(), said)
        for one, other in (("syncs", "imports"), ("models", "imports")):
            taken = {name.lower() for name in self._world.all(one)} | {name.lower() for name in self._entries.of(one)}
            for name, entry in self._entries.of(other).items():
                has_model = entry.given is not None and entry.given.get("model") is not None
                if name.lower() in taken and not (one == "models" and has_model):
                    self._problems.add(
                        entry.at(), f"There is a {KINDS[one].title} {name} already. Choose another name."
                    )

    def _assert_alone(self) -> None:
        """That no two things have what only one may have, also for the moment until one of them is deleted."""
        for section, kind in KINDS.items():
            if kind.alone is None:
                continue
            found = self._world.found[section]
            taken = {fields.get(kind.alone): name for name, fields in found.items() if name not in self._given[section]}
            for name, fields in sorted(self._given[section].items()):
                other = taken.setdefault(fields.get(kind.alone), name)
                if other != name and fields.get(kind.alone) is not None:
                    self._tell_taken(kind, self._entries.of(section)[name], fields[kind.alone], other)

    def _tell_taken(self, kind: Kind, entry: Entry, value: str, other: str) -> None:
        hint = "Choose another."
        if other in self._world.deleted[kind.section]:
            hint = f"{other} is deleted, but last: apply the file without {entry.name} before."
        said = f"{value} is the {kind.alone} of the {kind.title} {other}. {hint}"
        self._problems.add(entry.at(str(kind.alone)), said)

    def _assert_not_needed(self) -> None:
        """That nothing stays which needs what is deleted."""
        for section, kind in KINDS.items():
            staying = {
                name: fields
                for name, fields in self._world.found[section].items()
                if name not in self._world.deleted[section] and name not in self._entries.of(section)
            }
            for name, fields in staying.items():
                for need in kind.needs(fields):
                    if need.name in self._world.deleted[need.section]:
                        self._tell_needed(need, f"{kind.title} {name}")

    def _tell_needed(self, need: Need, by: str) -> None:
        title = KINDS[need.section].title
        said = f"The {title} {need.name} cannot be deleted: the {by} needs it, and stays."
        self._problems.add(self._entries.places[need.section], said)


def _written(fields: Fields, given: Fields) -> Fields:
    """What a file says itself, of a new thing."""
    found = {name: value for name, value in fields.items() if name in given}
    inner = {name: value for name, value in found.items() if isinstance(value, dict) and isinstance(given[name], dict)}
    return {**found, **{name: _written(value, given[name]) for name, value in inner.items()}}


def _inner(name: str, before: Any, after: Any) -> Iterator[Field]:
    """A field that changes; of one that has fields itself, those."""
    if not isinstance(before, dict | None) or not isinstance(after, dict | None) or (before is None and after is None):
        yield Field(name, before, after)
        return
    was, will = before or {}, after or {}
    for key in [*will, *(key for key in was if key not in will)]:
        if was.get(key) != will.get(key):
            yield Field(f"{name}.{key}", was.get(key), will.get(key))


def _outer(field: Field) -> str:
    return field.name.partition(".")[0]


def _said(value: Any) -> Any:
    """A value, for who may not see a secret."""
    return str(value) if isinstance(value, Secret) else repr(value) if value is KEPT else value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
