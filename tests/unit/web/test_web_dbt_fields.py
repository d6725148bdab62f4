"""Which fields of a dbt project somebody sees, and what is made of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tidemill.web.form import Field
from tidemill.web.pages.dbt import OF_REPOSITORY, fields, fields_of

GIT: Any = SimpleNamespace(
    name="shop",
    connection=None,
    secrets=("token",),
    spec={"git": "https://git.example.com/shop.git", "subfolder": "dbt"},
)


def named(found: list[Field]) -> dict[str, Field]:
    return {one.name: one for one in found}


def places(found: list[Field]) -> list[str]:
    return [one.value for one in named(found)["place"].options]


def test_who_may_not_run_dbt_is_not_offered_a_repository() -> None:
    found = fields([], may_run=False)
    assert places(found) == ["manifest"]
    assert named(found)["place"].value == "manifest"
    assert not set(OF_REPOSITORY) & set(named(found))
    assert places(fields([], may_run=True)) == ["git", "manifest"]


def test_a_project_of_a_repository_stays_where_it_is_if_an_editor_saves_it() -> None:
    found = fields([], GIT, may_run=False)
    assert not set(OF_REPOSITORY) & set(named(found))
    given = {name: None if one.kind == "secret" else one.value for name, one in named(found).items()}
    said = fields_of({**given, "refresh": 60})
    assert said["refresh"] == 60
    assert not set(OF_REPOSITORY) & set(said)


def test_a_repository_is_left_for_a_manifest() -> None:
    given = {"place": "manifest", "manifest": "https://ci.example.com/manifest.json", "name": "shop"}
    said = fields_of(given)
    assert (said["git"], said["branch"], said["subfolder"], said["host_key"]) == (None, None, "", None)
