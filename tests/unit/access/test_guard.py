"""Who may not do something does not, and is in the log; who does is, too, with before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.access import records
from tidemill.access.actor import Actor
from tidemill.access.guard import Guard
from tidemill.access.permissions import Permission
from tidemill.access.plain import plain
from tidemill.access.rule import Change, Rule
from tidemill.errors import AccessError, NotFoundError

RULES = {
    "things.find": Rule(Permission.EXPORTS_READ),
    "things.edit": Rule(
        Permission.EXPORTS_WRITE, Change("thing.edit", "fields.name", ("force",), True, "fields.rename")
    ),
    "things.parts.cut": Rule(Permission.EXPORTS_WRITE, Change("part.cut")),
}


class Things:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {"a": {"size": 1, "password": "pw-before"}}
        self.parts = Parts()

    def find(self) -> list[str]:
        return sorted(self.kept)

    def edit(self, fields: Mapping[str, Any], *, force: bool = False) -> None:
        if fields["name"] not in self.kept:
            raise NotFoundError("thing_unknown", "There is none.")
        found = self.kept.pop(fields["name"])
        self.kept[fields.get("rename", fields["name"])] = {**found, **fields, "force": force}

    def secret(self) -> str:
        return "nobody calls it"


class Parts:
    def cut(self, name: str) -> str:
        return name


class Book:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def begin(self, **fields: Any) -> int:
        self.records.append({"outcome": "begun", **fields})
        return len(self.records) - 1

    def end(self, number: int, **fields: Any) -> None:
        self.records[number].update(fields)


def guarded(*permissions: Permission, kind: Any = "user") -> tuple[Any, Things, Book]:
    things, book = Things(), Book()
    actor = Actor("anna", kind, frozenset(permissions), "192.0.2.7")
    return Guard(things, "things", RULES, actor, lambda: book, lambda _, name: things.kept.get(name)), things, book


def test_what_may_be_seen_is_seen_and_not_written_down() -> None:
    found, _, book = guarded(Permission.EXPORTS_READ)
    assert found.find() == ["a"]
    assert book.records == []


@pytest.mark.parametrize(
    ("kind", "code", "says"), [("user", "not_allowed", "anna"), ("token", "scope_missing", "token")]
)
def test_what_may_not_be_done_is_not_done_and_is_in_the_log(kind: str, code: str, says: str) -> None:
    found, things, book = guarded(Permission.EXPORTS_READ, kind=kind)
    with pytest.raises(AccessError, match=says) as refused:
        found.edit({"name": "a", "size": 2})
    assert refused.value.code == code
    assert "exports:write" in str(refused.value)
    assert things.kept["a"]["size"] == 1
    (record,) = book.records
    assert (record["outcome"], record["action"], record["name"]) == ("refused", "thing.edit", "a")


def test_a_change_is_written_with_before_and_after() -> None:
    found, _, book = guarded(Permission.EXPORTS_WRITE)
    found.edit({"name": "a", "rename": "b", "size": 2}, force=True)
    (record,) = book.records
    assert (record["actor"], record["address"], record["outcome"]) == ("anna", "192.0.2.7", "done")
    assert record["before"] == {"size": 1, "password": "********"}
    assert (record["after"]["size"], record["after"]["password"]) == (2, "********")
    assert record["details"] == {"force": True}


def test_what_fails_is_written_with_why() -> None:
    found, _, book = guarded(Permission.EXPORTS_WRITE)
    with pytest.raises(NotFoundError):
        found.edit({"name": "z"})
    assert (book.records[0]["outcome"], book.records[0]["code"]) == ("failed", "thing_unknown")


def test_who_dies_in_the_middle_is_in_the_log() -> None:
    found, things, book = guarded(Permission.EXPORTS_WRITE)
    seen = []
    things.parts.cut = lambda name: seen.append([dict(one) for one in book.records]) or name  # type: ignore[func-returns-value,method-assign]
    found.parts.cut("x")
    assert [one["outcome"] for one in seen[0]] == ["begun"]


@pytest.mark.parametrize("name", ["secret", "kept", "parts.other", "_guarded_"])
def test_what_is_not_in_the_table_cannot_be_had(name: str) -> None:
    found, _, _ = guarded(*Permission)
    with pytest.raises(AttributeError):
        for part in name.split("."):
            found = getattr(found, part)


NAMES = st.sampled_from(
    ["password", "api_key", "token", "key", "webhook_url", "client_secret", "credentials", "headers"]
)


class Settings(pydantic.BaseModel):
    token: pydantic.SecretStr
    name: str = "shown"


@dataclasses.dataclass
class Saved:
    name: str
    key: bytes | None = dataclasses.field(repr=False)


@given(
    st.recursive(
        st.dictionaries(NAMES, st.just("s3cr3t"), min_size=1) | st.just(Settings(token=pydantic.SecretStr("s3cr3t"))),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["spec", "a", "settings"]), inner),
    )
)
def test_secrets_are_blotted_out_wherever_they_are(value: Any) -> None:
    assert "s3cr3t" not in repr(plain(value))


def test_columns_are_no_secrets() -> None:
    assert plain({"key": ("id", "day")}) == {"key": ["id", "day"]}
    assert plain(Saved("warehouse", b"s3cr3t")) == {"name": "warehouse"}


class Asked:
    def __init__(self) -> None:
        self.records: list[int | None] = []

    def find(self, name: str) -> Any:
        self.records.append(records.current())
        return SimpleNamespace(already=name == "again")


def test_what_goes_on_after_the_call_ends_its_record_itself() -> None:
    things, book = Asked(), Book()
    rules = {"things.find": Rule(Permission.EXPORTS_WRITE, Change("thing.find", lasts=True))}
    actor = Actor("anna", "user", frozenset(Permission))
    found: Any = Guard(things, "things", rules, actor, lambda: book, lambda *_: None)
    found.find("first")
    found.find("again")
    assert things.records == [0, 1], "who is called knows which record it is"
    assert [one["outcome"] for one in book.records] == ["begun", "done"]
    assert records.current() is None


class Stepping:
    def __init__(self) -> None:
        self.stands: dict[str, Any] = {"size": 1}

    def find(self, name: str, *, breaks: bool = False) -> Any:
        yield f"begins with {name}"
        self.stands = {"size": 2}
        if breaks:
            raise NotFoundError("thing_unknown", "There is none.")
        yield "ends"


def stepping() -> tuple[Any, Book]:
    things, book = Stepping(), Book()
    rules = {"things.find": Rule(Permission.EXPORTS_WRITE, Change("thing.find", compares=True))}
    actor = Actor("anna", "user", frozenset(Permission))
    return Guard(things, "things", rules, actor, lambda: book, lambda *_: things.stands), book


def test_what_is_done_step_by_step_is_done_with_its_last_step() -> None:
    found, book = stepping()
    steps = found.find("a")
    assert book.records[0]["outcome"] == "begun"
    assert next(steps) == "begins with a"
    assert book.records[0]["outcome"] == "begun"
    assert list(steps) == ["ends"]
    record = book.records[0]
    assert (record["outcome"], record["before"], record["after"]) == ("done", {"size": 1}, {"size": 2})


def test_a_step_that_fails_and_one_that_nobody_waits_for_are_written_too() -> None:
    found, book = stepping()
    with pytest.raises(NotFoundError):
        list(found.find("a", breaks=True))
    assert (book.records[0]["outcome"], book.records[0]["code"]) == ("failed", "thing_unknown")
    steps = found.find("a")
    next(steps)
    steps.close()
    assert (book.records[1]["outcome"], book.records[1]["code"]) == ("failed", "GeneratorExit")


def test_what_a_call_takes_beyond_its_own_permission_is_asked_for_and_written_down() -> None:
    rules = {"things.edit": dataclasses.replace(RULES["things.edit"], also=lambda part, _: {MORE} if part.kept else ())}
    book = Book()

    def of(*permissions: Permission, kind: Any = "user") -> Any:
        return Guard(Things(), "things", rules, Actor("anna", kind, frozenset(permissions)), lambda: book, _none)

    with pytest.raises(AccessError, match="syncs:write"):
        of(Permission.EXPORTS_WRITE).edit({"name": "a"})
    assert [record["outcome"] for record in book.records] == ["refused"]
    of(Permission.EXPORTS_WRITE, MORE).edit({"name": "a"})
    of(Permission.EXPORTS_WRITE, kind="shell").edit({"name": "a"})


def test_an_error_lists_names_to_those_alone_who_may_see_them() -> None:
    class Lists:
        def find(self) -> None:
            raise NotFoundError("connection_unknown", "There is none.", hint="Connections: hidden.")

    for permissions, told in (((), False), ((Permission.CONNECTIONS_READ,), True)):
        actor = Actor("anna", "user", frozenset({Permission.EXPORTS_READ, *permissions}))
        with pytest.raises(NotFoundError) as refused:
            Guard(Lists(), "things", RULES, actor, Book, _none).find()
        assert ("hidden" in refused.value.hint, bool(refused.value.hint)) == (told, True)


MORE = Permission.SYNCS_WRITE


def _none(_kind: str, _name: str) -> None:
    """Nothing is known of it."""
