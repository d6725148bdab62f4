"""Reading manifests: what dbt of many versions wrote, and what is no manifest."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import dbt_projects as projects
from tests.dbt_projects import Project

from tidemill.dbt import manifest
from tidemill.dbt.manifest import Relation
from tidemill.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "models", "adapter", "version"),
    [
        ("v10", 9, "bigquery", 10),
        ("v12_1.8", 39, "bigquery", 12),
        ("v12_1.9", 39, "bigquery", 12),
        ("v12_1.12", 19, "duckdb", 12),
    ],
)
def test_what_dbt_wrote_is_read(name: str, models: int, adapter: str, version: int) -> None:
    found = manifest.read(projects.written(name))
    assert (len(found.models), found.adapter, found.schema_version) == (models, adapter, version)
    assert found.project == "jaffle_shop"
    people = found.find("stg_customers")
    assert people.keys[0] == ("customer_id",)
    assert "customer_id" in people.not_null


def test_a_model_has_what_a_source_model_needs() -> None:
    people = manifest.read(projects.written("v12_1.9")).find("customers")
    assert people.relation == Relation("your-project", "jaffle_shop", "customers")
    assert people.path == "models/customers.sql"
    assert people.description.startswith("This table has basic information about a customer")
    assert people.columns["first_name"].description == "Customer's first name. PII."


def test_the_first_version_is_refused_and_it_is_said_which_are_read() -> None:
    with pytest.raises(ConfigError) as caught:
        manifest.read(projects.written("v1"), what="target/manifest.json")
    assert caught.value.code == "manifest_version"
    assert "target/manifest.json has version v1" in caught.value.message
    assert "dbt 0.19.1" in caught.value.message
    assert "v4" in caught.value.hint
    assert "dbt 1.0" in caught.value.hint


def test_a_version_that_is_not_known_yet_is_read() -> None:
    project = Project()
    project.metadata["dbt_schema_version"] = "https://schemas.getdbt.com/dbt/manifest/v27.json"
    project.of("people")["something"] = {"new": [1]}
    assert project.manifest().find("people").keys == (("id",),)


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b'{"metadata": {"dbt_schema_version": "https://x/dbt/manifest/v12.json"}, "macros": %s}' % DEEP,
            "cannot be read|is no manifest",
        ),
        (b'{"metadata": %s}' % DEEP, "is no manifest of dbt"),
        (
            b'{"metadata": {"dbt_schema_version": "https://x/dbt/manifest/v%s.json"}}' % (b"9" * 5_000),
            "does not say which version",
        ),
        (b"", "is no manifest of dbt"),
        (b"<html>", "is no manifest of dbt"),
        (b"[]", "is no manifest of dbt"),
        (b'{"metadata": {}}', "does not say which version"),
        (b"\xff\xfe", "is no manifest of dbt"),
        (b'{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}}', "run-results"),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        manifest.read(text)
    assert caught.value.code == "manifest_invalid"


def test_what_is_wrong_in_a_manifest_is_said_with_its_place() -> None:
    project = Project()
    project.of("people")["columns"] = ["id"]
    with pytest.raises(ConfigError, match=r"\$\.nodes\[\.\.\.\]\.columns"):
        project.manifest()


def test_a_catalog_gives_the_columns_that_there_are() -> None:
    people = Project().manifest(projects.catalog(ID="INT64", email="STRING(10)")).find("people")
    assert {name: (column.name, column.type) for name, column in people.columns.items()} == {
        "id": ("ID", "INT64"),
        "email": ("email", "STRING(10)"),
    }
    assert people.columns["email"].description == "email of people"
    assert people.complete


def test_an_ephemeral_model_has_no_table() -> None:
    project = Project()
    project.of("people")["config"]["materialized"] = "ephemeral"
    assert project.manifest().find("people").relation is None


def test_who_is_looked_for_by_a_name_that_is_not_there_hears_of_alike_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        Project().manifest().find("peple")
    assert caught.value.hint == "Is it people?"


def test_a_name_that_two_packages_have_must_be_made_clear() -> None:
    project = Project()
    project.nodes["model.other.people"] = {
        **project.of("people"),
        "unique_id": "model.other.people",
        "package_name": "other",
    }
    found = project.manifest()
    with pytest.raises(ConfigError, match=r"model\.shop\.people, model\.other\.people"):
        found.find("people")
    assert found.find("other.people").unique_id == "model.other.people"


@pytest.mark.parametrize(
    ("node", "keys"),
    [
        ({"constraints": [{"type": "primary_key", "columns": ["a", "b"]}]}, (("a", "b"),)),
        ({"columns": {"a": {"name": "a", "constraints": [{"type": "unique"}]}}}, (("a",),)),
        ({"config": {"materialized": "incremental", "unique_key": "a"}}, (("a",),)),
        ({"config": {"materialized": "incremental", "unique_key": ["a", "b"]}}, (("a", "b"),)),
        ({"config": {"materialized": "incremental", "unique_key": "a || b"}}, ()),
        ({"resource_type": "snapshot", "config": {"materialized": "snapshot", "unique_key": "a"}}, ()),
        ({"primary_key": ["a"]}, ()),  # dbt infers it, and may be wrong
        ({"primary_key": None, "constraints": None, "columns": None}, ()),
    ],
)
def test_a_key_is_found_without_a_test(node: dict[str, Any], keys: tuple[tuple[str, ...], ...]) -> None:
    project = Project()
    project.add("other", a="INT64", b="INT64").update(node)
    assert project.manifest().find("other").keys == keys


def test_of_several_keys_the_one_that_is_never_null_comes_first() -> None:
    project = Project()
    project.test("unique", "people", "email")
    project.nodes = dict(sorted(project.nodes.items()))
    assert project.manifest().find("people").keys == (("id",), ("email",))


def test_a_test_of_some_of_the_rows_is_no_promise() -> None:
    project = Project()
    project.nodes["test.shop.unique_people_id"]["config"]["where"] = "plan = 'free'"
    assert project.manifest().find("people").keys == ()


def test_a_test_of_that_name_of_another_package_is_no_promise() -> None:
    project = Project()
    project.nodes["test.shop.unique_people_id"]["test_metadata"]["namespace"] = "ours"
    assert project.manifest().find("people").keys == ()


def test_what_is_disabled_is_known_as_such() -> None:
    project = Project()
    project.disabled["model.shop.people"] = [project.remove("people")]
    found = project.manifest()
    assert found.disabled == {"model.shop.people"}
    assert json.dumps(sorted(found.models)) == '["model.shop.orders", "seed.shop.countries"]'


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


_FIELDS = (
    "columns config constraints relation_name primary_key version test_metadata depends_on database checksum name "
    "attached_node column_name description"
)


@given(field=st.sampled_from(_FIELDS.split()), value=_JSON, of_test=st.booleans())
def test_whatever_stands_in_a_node_it_is_read_or_refused(field: str, value: Any, of_test: bool) -> None:
    project = Project()
    node = project.nodes["test.shop.unique_people_id"] if of_test else project.of("people")
    node[field] = value
    with contextlib.suppress(ConfigError):
        project.manifest().find("orders")
