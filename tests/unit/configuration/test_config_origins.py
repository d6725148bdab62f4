"""What may come from who is not at the command line: secrets by names of theirs, and nothing of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.configuration.kinds import KINDS
from tidemill.configuration.kinds.kind import KEPT, Change, World
from tidemill.configuration.origins import Outside, Shell
from tidemill.configuration.problems import Problems
from tidemill.configuration.words import Reference
from tidemill.errors import ConfigError

GIT = {"git": "https://example.com/shop.git", "token": KEPT, "branch": None, "subfolder": ""}
CLOUD = {"cloud_host": "ab123.us1.dbt.com", "cloud_token": KEPT}


def test_a_variable_of_the_server_is_read_for_its_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH_OF_SECRET", "of the server")
    reference = Reference(env="PATH_OF_SECRET")
    assert Shell().secret(reference, Path()) == SecretStr("of the server")
    assert Outside({}).secret(reference, Path()) is None
    assert Outside({"PATH_OF_SECRET": SecretStr("theirs")}).secret(reference, Path()) == SecretStr("theirs")


def test_a_file_of_the_server_is_read_for_its_command_line_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of the server")
    reference = Reference(file=str(tmp_path / "key"))
    assert Shell().secret(reference, Path()) == SecretStr("of the server")
    with pytest.raises(ConfigError, match="No file of the server") as refused:
        Outside({}).secret(reference, Path())
    assert "of the server is" not in str(refused.value.hint)


def test_a_secret_to_which_nothing_refers_is_a_mistake_and_an_empty_one_is_none() -> None:
    origin, problems = Outside({"A": SecretStr("x"), "B": SecretStr(" ")}), Problems()
    origin.secret(Reference(env="A"), Path())
    origin.settle(problems)
    with pytest.raises(ConfigError, match="refers to B"):
        problems.settle()
    with pytest.raises(ConfigError, match="empty"):
        origin.secret(Reference(env="B"), Path())


def change(before: dict[str, Any] | None, **fields: Any) -> Change:
    after = {**(before or {}), **fields}
    return Change("shop", before, after, set(fields))


NOWHERE: Any = World(None, {}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (change(GIT, git="https://evil.example.com/shop.git"), "token must be given again"),
        (change(GIT, manifest="https://evil.example.com/manifest.json", git=None), "token must be given again"),
        (change(CLOUD, cloud_host="evil.example.com"), "cloud_token must be given again"),
        (change(GIT, branch="main"), None),
        (change(GIT, git="https://example.org/shop.git", token=None), None),
    ],
)
def test_a_secret_of_a_dbt_project_that_stays_goes_nowhere_else(made: Change, said: str | None) -> None:
    found = KINDS["dbt_projects"].refusal(NOWHERE, "shop", made.before or {}, made)
    assert (found is None) if said is None else (found is not None and said in found)


@pytest.mark.parametrize(
    ("made", "is_refused"),
    [
        (change(None, folder="/etc"), True),
        (change(None, manifest="/etc/passwd"), True),
        (change({"folder": "/srv/shop", "refresh": 60}, refresh=120), False),
        (change({"folder": "/srv/shop"}, subfolder="x"), True),
        (change(GIT, branch="main"), False),
        (change(None, git="https://example.com/shop.git"), False),
    ],
)
def test_a_folder_of_the_server_is_named_at_its_command_line_alone(made: Change, is_refused: bool) -> None:
    assert (KINDS["dbt_projects"].inside(made) is not None) == is_refused


def test_each_kind_says_what_it_takes() -> None:
    for kind in KINDS.values():
        for one in (None, change(None), change({"sql": "SELECT 1"}, sql="SELECT 2")):
            assert kind.writes in kind.permissions(one)
    another = change({"sql": "SELECT 1"}, sql="SELECT 2")
    assert set(KINDS["imports"].permissions(another)) == {Permission.IMPORTS_WRITE, Permission.MODELS_WRITE}
