"""Which changes of a dbt project break a sync, and which do not: each rule with an example."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests import dbt_projects as projects
from tests.dbt_projects import Project

from tidemill.dbt import changes, types
from tidemill.dbt.changes import Change, Use, Weight

PEOPLE = Use("model.shop.people", ("crm",), ("id",), ("email", "plan", "spent"))
ORDERS = Use("model.shop.orders", ("ledger", "mail"), ("shop", "number"), ("amount",))


def compared(change: Callable[[Project], object], readable: bool | None = None) -> list[Change]:
    before = Project()
    after = before.copy()
    change(after)
    return changes.compare(before.manifest(), after.manifest(), [PEOPLE, ORDERS], readable=lambda _: readable)


def columns(project: Project, name: str = "people") -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = project.of(name)["columns"]
    return found


def moved(project: Project, name: str, to: str) -> None:
    project.of(name)["relation_name"] = to


def renamed(project: Project) -> None:
    node = project.remove("people")
    project.nodes["model.shop.persons"] = {**node, "unique_id": "model.shop.persons", "name": "persons"}


def disabled(project: Project) -> None:
    project.disabled["model.shop.people"] = [project.remove("people")]


BREAKING: list[tuple[str, str, Callable[[Project], object]]] = [
    ("model_removed", "people is removed.", lambda p: p.remove("people")),
    ("model_renamed", "people is called persons now.", renamed),
    ("model_disabled", "people is disabled.", disabled),
    ("model_disabled", "people is disabled.", lambda p: p.of("people")["config"].update(enabled=False)),
    ("model_not_built", "people is ephemeral now", lambda p: p.of("people")["config"].update(materialized="ephemeral")),
    ("column_removed", "people has no column plan any more", lambda p: columns(p).pop("plan")),
    (
        "column_removed",
        "is it tariff now?",
        lambda p: columns(p).update(tariff={**columns(p).pop("plan"), "name": "tariff"}),
    ),
    (
        "column_retyped",
        "has STRING in the column spent, which was NUMERIC",
        lambda p: columns(p)["spent"].update(data_type="STRING"),
    ),
    ("column_retyped", "has float64 in the column spent", lambda p: columns(p)["spent"].update(data_type="float64")),
    ("key_removed", "people has no column id any more", lambda p: columns(p).pop("id")),
    (
        "key_retyped",
        "has NUMERIC in the column id, which was INT64",
        lambda p: columns(p)["id"].update(data_type="NUMERIC"),
    ),
    ("key_not_unique", "is not tested for one row for each id", lambda p: p.nodes.pop("test.shop.unique_people_id")),
    (
        "key_not_unique",
        "is not tested for one row for each shop, number",
        lambda p: p.nodes.pop("test.shop.unique_combination_of_columns_orders_columns"),
    ),
]

HARMLESS: list[tuple[str, Callable[[Project], object]]] = [
    ("nothing", lambda _: None),
    ("another statement", lambda p: p.of("people")["checksum"].update(checksum="other")),
    ("another description", lambda p: p.of("people").update(description="Everybody.")),
    ("a view instead of a table", lambda p: p.of("people")["config"].update(materialized="view")),
    ("a new column", lambda p: columns(p).update(city={"name": "city", "data_type": "STRING"})),
    ("a new model", lambda p: p.add("invoices", id="INT64")),
    ("a seed that nobody uses is gone", lambda p: p.nodes.pop("seed.shop.countries")),
    ("tags and owners", lambda p: p.of("people").update(tags=["pii"], meta={"owner": "x"}, group="crm")),
    ("columns in another order", lambda p: p.of("people").update(columns=dict(reversed(columns(p).items())))),
    ("a name in capitals", lambda p: columns(p).update(plan={**columns(p)["plan"], "name": "PLAN"})),
    ("a type by its other name", lambda p: columns(p)["id"].update(data_type="integer")),
    ("a type with another length", lambda p: columns(p)["email"].update(data_type="STRING(320)")),
    ("a type that is not said any more", lambda p: columns(p)["email"].update(data_type=None)),
    ("another test", lambda p: p.test("not_null", "people", "email")),
    (
        "a constraint instead of a test",
        lambda p: (
            p.nodes.pop("test.shop.unique_people_id"),
            p.of("people").update(constraints=[{"type": "primary_key", "columns": ["id"]}]),
        ),
    ),
    (
        "a stronger test",
        lambda p: (
            p.nodes.pop("test.shop.unique_combination_of_columns_orders_columns"),
            p.test("unique", "orders", "number"),
        ),
    ),
]


@pytest.mark.parametrize(("code", "said", "change"), BREAKING, ids=[f"{code}-{said}" for code, said, _ in BREAKING])
def test_a_change_that_would_break_a_sync_is_found(code: str, said: str, change: Callable[[Project], object]) -> None:
    found = [one for one in compared(change) if one.weight is Weight.BREAKING]
    assert [one.code for one in found] == [code]
    assert said in found[0].message
    assert found[0].hint
    assert found[0].syncs
    assert found[0].path.startswith("models/")


@pytest.mark.parametrize("change", [change for _, change in HARMLESS], ids=[name for name, _ in HARMLESS])
def test_a_change_that_breaks_nothing_passes(change: Callable[[Project], object]) -> None:
    assert {one.weight for one in compared(change)} <= {Weight.HARMLESS}


def test_all_that_is_wrong_is_said_at_once_the_worst_first() -> None:
    def change(project: Project) -> None:
        project.remove("people")
        columns(project, "orders")["amount"]["data_type"] = "STRING"
        columns(project, "orders")["note"] = {"name": "note"}

    found = compared(change)
    assert [one.code for one in found] == ["column_retyped", "model_removed", "column_added"]
    assert [one.syncs for one in found] == [("ledger", "mail"), ("crm",), ("ledger", "mail")]


def test_a_column_that_takes_more_is_told_but_breaks_nothing() -> None:
    found = compared(lambda project: columns(project)["spent"].update(data_type="BIGNUMERIC"))
    assert [(one.code, one.weight) for one in found] == [("column_widened", Weight.NOTICE)]
    assert "sends all rows" in found[0].hint


def test_a_key_that_may_be_null_is_told() -> None:
    found = compared(lambda project: project.nodes.pop("test.shop.not_null_people_id"))
    assert [(one.code, one.weight) for one in found] == [("key_may_be_null", Weight.NOTICE)]


def test_a_model_that_is_deprecated_is_told() -> None:
    found = compared(lambda project: project.of("people").update(deprecation_date="2027-01-01"))
    assert [(one.code, one.weight) for one in found] == [("model_deprecated", Weight.NOTICE)]


class TestMoves:
    """A table that stands elsewhere."""

    def test_without_access_it_breaks(self) -> None:
        found = compared(lambda p: moved(p, "people", "`prod-1`.`secret`.`people`"), readable=False)
        assert [(one.code, one.weight) for one in found] == [("relation_not_readable", Weight.BREAKING)]
        assert "prod-1.secret" in found[0].hint

    def test_with_access_it_does_not(self) -> None:
        found = compared(lambda p: moved(p, "people", "`prod-1`.`other`.`people`"), readable=True)
        assert [(one.code, one.weight) for one in found] == [("relation_moved", Weight.NOTICE)]

    def test_of_access_that_is_not_known_it_is_said(self) -> None:
        found = compared(lambda p: moved(p, "people", "`prod-1`.`other`.`people`"))
        assert [(one.code, one.weight) for one in found] == [("relation_moved", Weight.NOTICE)]
        assert "prod-1.other" in found[0].hint

    def test_a_branch_that_is_built_for_another_target_has_not_moved(self) -> None:
        def change(project: Project) -> None:
            for node in project.nodes.values():
                if "relation_name" in node:
                    node["relation_name"] = f"`ci-2`.`pr_17`.`{node['alias']}`"

        assert compared(change, readable=False) == []
        before = Project()
        after = before.copy()
        change(after)
        found = changes.compare(before.manifest(), after.manifest(), [PEOPLE], readable=lambda _: False, is_target=True)
        assert [one.code for one in found] == ["relation_not_readable"], "in production it has"


class TestCatalogs:
    """What a warehouse has counts more than what somebody described."""

    def test_a_column_that_nobody_described_any_more_is_still_there(self) -> None:
        after = Project()
        del columns(after)["plan"]
        there = after.manifest(projects.catalog(id="INT64", email="STRING", plan="STRING", spent="NUMERIC"))
        assert changes.compare(Project().manifest(), there, [PEOPLE]) == []

    def test_a_column_that_nobody_described_is_missed_if_a_catalog_lacks_it(self) -> None:
        before = Project()
        before.of("people")["columns"] = {}
        there = before.manifest(projects.catalog(id="INT64", email="STRING", spent="NUMERIC"))
        found = changes.compare(before.manifest(), there, [PEOPLE])
        assert [(one.code, one.column) for one in found] == [("column_removed", "plan")]

    def test_columns_of_which_nobody_says_anything_are_not_missed(self) -> None:
        project = Project()
        project.of("people")["columns"] = {}
        assert changes.compare(project.manifest(), project.manifest(), [PEOPLE]) == []


def test_a_model_that_is_not_in_the_project_in_use_is_missed_too() -> None:
    use = Use("model.shop.gone", ("crm",), ("id",), ())
    found = changes.compare(Project().manifest(), Project().manifest(), [use])
    assert [(one.code, one.message) for one in found] == [("model_removed", "gone is removed.")]


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        ("INTEGER", "int64", True),
        ("NUMERIC(38, 9)", "DECIMAL", True),
        ("INT64", "NUMERIC", True),
        ("INT64", "BIGNUMERIC", True),
        ("NUMERIC", "INT64", False),
        ("INT64", "FLOAT64", False),
        ("INT64", "STRING", False),
        ("DATE", "TIMESTAMP", False),
        ("ARRAY<STRUCT<a INT64, b STRING>>", "array< struct< A integer,b string(3) > >", True),
        ("STRUCT<a INT64>", "STRUCT<b INT64>", False),
        ("STRUCT<date DATE>", "STRUCT<date DATETIME>", False),
        ("STRUCT<float FLOAT64>", "STRUCT<float64 FLOAT64>", False),
    ],
)
def test_types(before: str, after: str, fits: bool) -> None:
    assert types.compatible(before, after) is fits
