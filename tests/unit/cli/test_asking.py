"""Questions before what cannot be undone: who is there to answer, and what a script is told."""

from __future__ import annotations

import io
import sys

import pytest
import typer

from tidemill.cli import asking
from tidemill.errors import ConfigError


def test_an_answer_that_comes_by_a_pipe_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    asking.confirm("Delete it?")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(typer.Abort):
        asking.confirm("Delete it?")


@pytest.mark.parametrize("given", [io.StringIO(""), None])
def test_where_nobody_can_answer_it_is_told_how_to_go_without(
    given: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", given)
    with pytest.raises(ConfigError, match=r"Delete it\?") as caught:
        asking.confirm("Delete it?")
    assert "--yes" in caught.value.hint


def test_what_takes_much_with_it_is_confirmed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" WAREHOUSE \n"))
    asking.confirm_name("Type the name", "warehouse")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match="nothing is done"):
        asking.confirm_name("Type the name", "warehouse")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(ConfigError) as caught:
        asking.confirm_name("Type the name", "warehouse")
    assert "--yes" in caught.value.hint
