"""Which permission each request needs; enforced per service account."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tidemill.bigquery.local.answers import Refusal, denied

_PATH = re.compile(
    r"/bigquery/v2/projects/(?P<project>[^/]+)(/datasets(/(?P<dataset>[^/]+)(/tables(/(?P<table>[^/:]+))?)?)?)?(?P<rest>.*)"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """What a request is about."""

    project: str
    dataset: str | None
    table: str | None
    rest: str  #: what follows in the path


def place(path: str) -> Place | None:
    """Take a path apart; None if it is none of the API's."""
    found = _PATH.fullmatch(path)
    return Place(found["project"], found["dataset"], found["table"], found["rest"]) if found else None


def needed(method: str, path: str, at: Place) -> str | None:
    """The permission for a request on datasets, tables or rows; None if it needs none."""
    if at.table:
        if at.rest.startswith("/data"):
            return "bigquery.tables.getData"
        if at.rest.startswith("/insertAll"):
            return "bigquery.tables.updateData"
        if at.rest:
            return None
        verbs = {"GET": "get", "DELETE": "delete", "PATCH": "update", "PUT": "update"}
        return f"bigquery.tables.{verbs[method]}" if method in verbs else None
    if path.endswith("/tables") and at.dataset:
        return "bigquery.tables.create" if method == "POST" else "bigquery.tables.list"
    if at.dataset and not at.rest:
        verbs = {"GET": "get", "DELETE": "delete", "PATCH": "update", "PUT": "update"}
        return f"bigquery.datasets.{verbs[method]}" if method in verbs else None
    if path.endswith("/datasets") and method == "POST":
        return "bigquery.datasets.create"
    return None


def check(granted: frozenset[str], permission: str, at: Place) -> None:
    """Raise Refusal (403) if the permission is not among those granted."""
    if permission not in granted:
        raise denied(permission, at.project, at.dataset, at.table)


def query_needs(sql: str, project: str, default_dataset: str | None) -> list[tuple[str, Place]]:
    """The permissions that a statement needs, each with the table it needs it on."""
    import sqlglot  # comes with the emulator
    from sqlglot import exp

    try:
        statements = [found for found in sqlglot.parse(sql, dialect="bigquery") if found is not None]
    except sqlglot.errors.SqlglotError:
        return []  # the emulator will say what is wrong with it
    needs: list[tuple[str, Place]] = []
    for statement in statements:
        target: Any = None
        if isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge):
            target = statement.this.find(exp.Table) if not isinstance(statement.this, exp.Table) else statement.this
            _add(needs, "bigquery.tables.updateData", target, project, default_dataset)
        elif isinstance(statement, exp.Create) and str(statement.args.get("kind")).upper() == "TABLE":
            target = statement.this.find(exp.Table)
            _add(needs, "bigquery.tables.create", target, project, default_dataset)
        elif isinstance(statement, exp.Drop) and str(statement.args.get("kind")).upper() == "TABLE":
            target = statement.this
            _add(needs, "bigquery.tables.delete", target, project, default_dataset)
        local = {str(cte.alias) for cte in statement.find_all(exp.CTE)}
        for table in statement.find_all(exp.Table):
            if table is not target and not (not table.db and table.name in local):
                _add(needs, "bigquery.tables.getData", table, project, default_dataset)
    return needs


def _add(
    needs: list[tuple[str, Place]], permission: str, table: Any, project: str, default_dataset: str | None
) -> None:
    dataset = (table.db if table is not None else "") or default_dataset
    if table is None or not table.name or not dataset or "INFORMATION_SCHEMA" in f"{table.sql()}".upper():
        return
    needs.append((permission, Place(table.catalog or project, dataset, table.name, "")))


def check_query(granted: frozenset[str], needs: list[tuple[str, Place]]) -> None:
    """Raise Refusal (403) for the first permission that is missing."""
    for permission, at in needs:
        if permission not in granted:
            raise Refusal(
                403,
                "accessDenied",
                f"Access Denied: Table {at.project}:{at.dataset}.{at.table}: Permission {permission} denied on table "
                f"{at.project}:{at.dataset}.{at.table} (or it may not exist).",
            )
