"""Manifests for tests, as dbt writes them."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

from tidemill.dbt import manifest
from tidemill.dbt.manifest import Manifest

DATA = Path(__file__).parent / "data" / "dbt"


def written(name: str) -> bytes:
    """The text of a manifest that dbt wrote: v1, v10, v12_1.8, v12_1.9, v12_1.12."""
    version, _, by = name.partition("_")
    return gzip.decompress((DATA / f"{version}_manifest{by and '_' + by}.json.gz").read_bytes())


class Project:
    """A small project that can be changed: `people`, `orders` and a seed, in `prod-1.marts`."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.9.0",
            "project_name": "shop",
            "adapter_type": "bigquery",
        }
        self.nodes: dict[str, dict[str, Any]] = {}
        self.disabled: dict[str, list[dict[str, Any]]] = {}
        self.add("people", id="INT64", email="STRING", plan="STRING", spent="NUMERIC")
        self.add("orders", shop="STRING", number="INT64", amount="NUMERIC(10, 2)")
        self.add("countries", kind="seed", code="STRING")
        self.test("unique", "people", "id")
        self.test("not_null", "people", "id")
        self.test("unique_combination_of_columns", "orders", columns=["shop", "number"])

    def add(self, name: str, /, kind: str = "model", **columns: str | None) -> dict[str, Any]:
        """A model of these columns and types."""
        key = f"{kind}.shop.{name}"
        self.nodes[key] = {
            "unique_id": key,
            "resource_type": kind,
            "name": name,
            "package_name": "shop",
            "database": "prod-1",
            "schema": "marts",
            "alias": name,
            "relation_name": f"`prod-1`.`marts`.`{name}`",
            "description": f"All {name}.",
            "original_file_path": f"models/{name}.sql",
            "config": {"materialized": "table", "enabled": True},
            "checksum": {"name": "sha256", "checksum": f"of {name}"},
            "columns": {
                column: {"name": column, "data_type": kind, "description": f"{column} of {name}"}
                for column, kind in columns.items()
            },
        }
        return self.nodes[key]

    def test(
        self, name: str, model: str, column: str | None = None, columns: list[str] | None = None
    ) -> dict[str, Any]:
        """A generic test of a model."""
        key = f"test.shop.{name}_{model}_{column or 'columns'}"
        self.nodes[key] = {
            "unique_id": key,
            "resource_type": "test",
            "name": name,
            "column_name": column,
            "attached_node": f"model.shop.{model}",
            "config": {"enabled": True},
            "test_metadata": {
                "name": name,
                "namespace": "dbt_utils" if columns else None,
                "kwargs": {"combination_of_columns": columns} if columns else {"column_name": column},
            },
        }
        return self.nodes[key]

    def of(self, name: str) -> dict[str, Any]:
        """The node of a model."""
        return self.nodes[f"model.shop.{name}"]

    def remove(self, name: str) -> dict[str, Any]:
        """Take a model and its tests out."""
        for key in [key for key, node in self.nodes.items() if node.get("attached_node") == f"model.shop.{name}"]:
            del self.nodes[key]
        return self.nodes.pop(f"model.shop.{name}")

    def copy(self) -> Project:
        return copy.deepcopy(self)

    def text(self) -> bytes:
        return json.dumps({"metadata": self.metadata, "nodes": self.nodes, "disabled": self.disabled}).encode()

    def manifest(self, catalog: bytes | None = None) -> Manifest:
        return manifest.read(self.text(), catalog)


def catalog(**columns: str) -> bytes:
    """A catalog in which `people` has these columns."""
    found = {name: {"name": name, "type": kind, "index": 1} for name, kind in columns.items()}
    head = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json"}
    return json.dumps({"metadata": head, "nodes": {"model.shop.people": {"columns": found}}}).encode()
