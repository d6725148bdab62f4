"""The parts of dbt's `manifest.json` that are of use here, as they are written in it.

Nothing else is kept: a manifest of 600 models is tens of megabytes, most of them SQL and macros. Fields that a version
does not have, or has as null, are empty here. Facts: dbt's JSON schemas of manifests v4 to v12
(schemas.getdbt.com/dbt/manifest/v12.json), and manifests of dbt 1.6, 1.8, 1.9 and 1.12.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: dbt 1.0 writes the fourth version of the schema.
OLDEST_SCHEMA, OLDEST_DBT = 4, "1.0"


class Metadata(msgspec.Struct, omit_defaults=True):
    """Who wrote the file, and when."""

    dbt_schema_version: str = ""
    dbt_version: str = ""
    project_name: str | None = None
    generated_at: str | None = None
    adapter_type: str | None = None


class Constraint(msgspec.Struct, omit_defaults=True):
    """A constraint of a model or of a column."""

    type: str = ""
    columns: list[str] | None = None


class Column(msgspec.Struct, omit_defaults=True):
    """A column, as the project's YAML files describe it."""

    name: str = ""
    description: str | None = None
    data_type: str | None = None
    constraints: list[Constraint] | None = None


class Config(msgspec.Struct, omit_defaults=True):
    """Configuration of a node."""

    materialized: str | None = None
    enabled: bool | None = None
    #: of incremental models and snapshots: one column, an expression, or several
    unique_key: Any = None
    #: of tests: rows that they look at
    where: str | None = None


class TestKind(msgspec.Struct, omit_defaults=True):
    """What a generic test tests. `kwargs`: `column_name`, `combination_of_columns`, …"""

    __test__ = False

    name: str | None = None
    namespace: str | None = None
    kwargs: dict[str, Any] | None = None


class Dependencies(msgspec.Struct, omit_defaults=True):
    """What a node is made of."""

    nodes: list[str] | None = None


class Checksum(msgspec.Struct, omit_defaults=True):
    """A digest of a model's file."""

    checksum: str = ""


class Node(msgspec.Struct, omit_defaults=True):
    """A model, seed, snapshot, test or whatever else is built."""

    unique_id: str
    resource_type: str
    name: str = ""
    package_name: str | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None
    relation_name: str | None = None
    description: str | None = None
    original_file_path: str | None = None
    columns: dict[str, Column] | None = None
    config: Config | None = None
    constraints: list[Constraint] | None = None
    checksum: Checksum | None = None
    version: str | int | float | None = None
    deprecation_date: str | None = None
    #: of tests
    test_metadata: TestKind | None = None
    column_name: str | None = None
    attached_node: str | None = None
    depends_on: Dependencies | None = None


class ManifestFile(msgspec.Struct, omit_defaults=True):
    """`manifest.json`. A node that is disabled stands under `disabled`, once for each time it is defined."""

    metadata: Metadata
    nodes: dict[str, Node] | None = None
    disabled: dict[str, Any] | None = None


class CatalogColumn(msgspec.Struct, omit_defaults=True):
    """A column, as the warehouse has it."""

    name: str
    type: str = ""


class CatalogNode(msgspec.Struct, omit_defaults=True):
    """A table or view, as the warehouse has it."""

    columns: dict[str, CatalogColumn] | None = None


class CatalogFile(msgspec.Struct, omit_defaults=True):
    """`catalog.json`, which `dbt docs generate` writes: columns and types of what has been built."""

    metadata: Metadata
    nodes: dict[str, CatalogNode] | None = None


class _Head(msgspec.Struct, omit_defaults=True):
    """What all artifacts have."""

    metadata: Metadata


MANIFEST = msgspec.json.Decoder(ManifestFile)
CATALOG = msgspec.json.Decoder(CatalogFile)
HEAD = msgspec.json.Decoder(_Head)
