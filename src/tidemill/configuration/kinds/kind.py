"""What each kind of thing in a configuration has in common: how it is seen, filled in, made, changed and deleted.

A thing is its fields, as JSON has them, all of them there: two things are the same if these are. A secret is a `Secret`
in a file, and `KEPT` in the installation: whether they are the same the service says.
"""

from __future__ import annotations

import abc
import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import pydantic
from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.configuration.documents import Document
from tidemill.configuration.words import Reference
from tidemill.errors import AccessError, ConfigError

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.bigquery.access_steps import Step

Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Secret:
    """A secret that a file refers to."""

    reference: Reference
    value: SecretStr

    def __str__(self) -> str:
        return f"(secret, of {self.reference})"


class _Kept:
    """A secret that the installation has."""

    def __repr__(self) -> str:
        return "(secret)"


KEPT: Final = _Kept()


@dataclasses.dataclass(frozen=True)
class Need:
    """That a field of a thing names another one."""

    field: str
    section: str
    name: str


@dataclasses.dataclass(frozen=True)
class World:
    """All things as they will be: of the file, and of the installation what the file does not have. `found`: as they
    are; `given`: as the file has them. Each by section and name."""

    app: App
    found: Mapping[str, Mapping[str, Fields]]
    given: Mapping[str, Mapping[str, Fields]]
    deleted: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)

    def get(self, section: str, name: str | None) -> Fields | None:
        """The thing of that name; what is left out of it may be missing."""
        if name is None or name in self.deleted.get(section, ()):
            return None
        return self.all(section).get(name)

    def all(self, section: str) -> dict[str, Fields]:
        """All things of a section, as they will be."""
        both = {**self.found.get(section, {}), **self.given.get(section, {})}
        return {name: fields for name, fields in both.items() if name not in self.deleted.get(section, ())}


@dataclasses.dataclass(frozen=True)
class Doing:
    """What is needed to do something. `by`: who does it; `test`: whether credentials are tested; `reset`: what becomes
    of rows that were delivered, if a mapping changes; `told`: of each step of a test; `as_of`: when what is changed was
    changed last, as it was looked at."""

    app: App
    world: World
    by: str
    test: bool = True
    reset: str | None = None
    told: Callable[[Step], None] = lambda _: None
    as_of: dt.datetime | None = None

    def steps(self, steps: Iterator[Step], what: str) -> None:
        """See a test to its end.

        Raises
        ------
        AccessError
            A step has failed.
        """
        failed = None
        for step in steps:
            self.told(step)
            failed = step if step.status == "failed" and failed is None else failed
        if failed is not None:
            said = f"The test of {what} failed: {failed.title}. {failed.message}".strip()
            raise AccessError("test_failed", said, hint=failed.hint or "Correct it, and apply again.")


@dataclasses.dataclass(frozen=True)
class Change:
    """A thing that is made or changed. `before`: None of a new one; `fields`: names of those that change."""

    name: str
    before: Fields | None
    after: Fields
    fields: Collection[str]

    def touches(self, *fields: str) -> bool:
        """Whether one of these changes."""
        return not set(fields).isdisjoint(self.fields)

    def secret(self, field: str) -> SecretStr | None:
        """A secret that is wanted."""
        found = self.after.get(field)
        return found.value if isinstance(found, Secret) else None

    @property
    def kept(self) -> list[str]:
        """Secrets that stay as they are."""
        return kept(self.after)


class Kind(abc.ABC):
    """A kind. `section`: where it is in a file, also what it is called; `writes`: what it takes to make or change one;
    `fixed`: fields that cannot be changed; `essential`: those that are always written; `mapped`: those that say what is
    made of rows; `alone`: one that no two may have the same of."""

    section: ClassVar[str]
    title: ClassVar[str]
    writes: ClassVar[Permission]
    fixed: ClassVar[Collection[str]] = ()
    essential: ClassVar[Collection[str]] = ()
    mapped: ClassVar[Collection[str]] = ()
    alone: ClassVar[str | None] = None

    @abc.abstractmethod
    def document(self, given: Any) -> type[Document]:
        """By what it is checked. ConfigError if that cannot be said."""

    @abc.abstractmethod
    def found(self, app: App) -> dict[str, Fields]:
        """Those of the installation, by name."""

    @abc.abstractmethod
    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """What is written of one, with all that is left out.

        Raises
        ------
        ConfigError
            Something of it is wrong.
        """

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """What must be written of one: without what is the same if it is left out."""
        kept = {field: fields[field] for field in self.essential if fields.get(field) is not None}
        try:
            defaults = self.whole(world, name, kept)
        except ConfigError:  # an older version has taken what is not taken any more
            defaults = {}
        return shortened(fields, defaults, self.essential)

    def ordered(self, fields: Fields) -> Fields:
        """Fields in the order of the document."""
        order = [*self.document(fields).model_fields, *fields]
        return {field: fields[field] for field in dict.fromkeys(order) if field in fields}

    def needs(self, fields: Fields) -> Iterator[Need]:
        """What it refers to."""
        yield from ()

    def same(self, field: str, before: Any, after: Any) -> bool:
        """Whether two values of a field are one."""
        return bool(before == after)

    def differing(self, app: App, name: str, given: Mapping[str, SecretStr]) -> Collection[str]:
        """Of the secrets that the installation has, or that are given: those that are others."""
        return ()

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """Why it cannot be changed so, if that is known before."""
        return None

    def inside(self, change: Change) -> str | None:
        """Why it can be made, or changed so, at the command line alone."""
        return None

    def permissions(self, change: Change | None) -> Collection[Permission]:
        """What it takes to make it, to change it, or (None) to delete it."""
        return (self.writes,)

    def changed_at(self, app: App, name: str) -> dt.datetime | None:
        """When one was changed last, by which a change made at the same moment is refused; None: it is not told."""
        return None

    @abc.abstractmethod
    def create(self, doing: Doing, change: Change) -> None:
        """Make it. Raises TidemillError."""

    @abc.abstractmethod
    def change(self, doing: Doing, change: Change) -> None:
        """Change it. Raises TidemillError."""

    @abc.abstractmethod
    def delete(self, doing: Doing, name: str) -> None:
        """Delete it. Raises TidemillError."""


def kept(fields: Fields) -> list[str]:
    """Names of secrets that stay as they are."""
    return [name for name, value in fields.items() if value is KEPT]


def canonical(document: type[Document], values: Mapping[str, Any]) -> Fields:
    """Values of a spec, as they are written: all fields of a document. Secrets stay as they are."""
    hidden = {name: value for name, value in values.items() if isinstance(value, Secret | _Kept)}
    said = {name: value for name, value in values.items() if value is not None and name not in hidden}
    named = {name: value for name, value in said.items() if name in document.model_fields}
    made = document.model_construct(**named)
    return {**made.model_dump(mode="json", warnings=False), **hidden}


def typed(document: type[Document], fields: Fields) -> dict[str, Any]:
    """Fields of a thing, as specs have them: 20GB is a number. Secrets are left out."""
    return {
        name: None if value is None else _adapter(document, name).validate_python(value)
        for name, value in fields.items()
        if not isinstance(value, Secret | _Kept) and name in document.model_fields
    }


@functools.cache
def _adapter(document: type[Document], name: str) -> pydantic.TypeAdapter[Any]:
    field = document.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return pydantic.TypeAdapter(kind)


def shortened(fields: Fields, defaults: Fields, kept: Collection[str] = ()) -> Fields:
    """Fields without those that are as they would be by themselves; of what has fields itself, likewise."""
    found: Fields = {}
    for name, value in fields.items():
        default = defaults.get(name)
        if name in kept and value is not None:
            found[name] = value
        elif value is not None and value != default:
            found[name] = shortened(value, default) if isinstance(value, dict) and isinstance(default, dict) else value
    return found
