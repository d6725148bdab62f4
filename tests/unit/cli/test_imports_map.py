"""A column that may be a cursor is named, where one may be chosen still."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tidemill.cli import imports, named, output

TOLD = "updated_at may be a cursor: --cursor updated_at"


class Imports:
    """Imports of which one is mapped. `made`: how it is then."""

    def __init__(self, **made: Any) -> None:
        usual = {"name": "users", "kind": "people", "spec": None, "extraction": "diff", "mode": "upsert", "last": None}
        self.made, self.mapped = {**usual, **made}, dict[str, Any]()

    def suggested(self, name: str, kind: Any) -> dict[str, Any]:
        """What its columns suggest."""
        assert name == self.made["name"]
        return {"kind": kind, "identity": "id", "cursor": "updated_at"}

    def map(self, name: str, kind: Any, fields: dict[str, Any], *, reset: str | None) -> Any:
        """Keep what is said."""
        assert (name, kind.value, reset) == (self.made["name"], self.made["kind"], None)
        self.mapped = fields
        return SimpleNamespace(**self.made)


def notes(monkeypatch: pytest.MonkeyPatch, mapped: Imports, *options: str) -> list[str]:
    """What is said to the user of it."""

    @contextlib.contextmanager
    def app(name: str | None) -> Iterator[Any]:
        assert name == mapped.made["name"]
        yield SimpleNamespace(imports=mapped)

    found: list[str] = []
    monkeypatch.setattr(named, "app", app)
    monkeypatch.setattr(output, "note", found.append)
    done = CliRunner().invoke(imports.app, ["map", "users", "--people", *options])
    assert done.exit_code == 0, done.exception
    return found


def test_a_column_that_may_be_a_cursor_is_told_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = Imports()
    assert TOLD in notes(monkeypatch, mapped, "--suggest")
    assert (mapped.mapped["identity"], "cursor" in mapped.mapped) == ("id", False)


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ({}, ("--identity", "id")),
        ({"extraction": "cursor"}, ("--suggest", "--cursor", "changed_at")),
        ({}, ("--suggest", "--extraction", "diff")),
        ({"extraction": "cursor"}, ("--suggest",)),
        ({"mode": "mirror"}, ("--suggest",)),
        ({"last": "a run"}, ("--suggest",)),
    ],
)
def test_it_is_not_told_where_none_may_be_chosen(
    monkeypatch: pytest.MonkeyPatch, made: dict[str, Any], options: tuple[str, ...]
) -> None:
    assert TOLD not in notes(monkeypatch, Imports(**made), *options)
