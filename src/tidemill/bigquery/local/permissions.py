"""Which permission each request needs; enforced per service account."""

from __future__ import annotations

import dataclasses
import re

from tidemill.bigquery.local.answers import denied

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


def has(granted: frozenset[str], permission: str, at: Place) -> bool:
    """Whether a permission is among those granted: on the project, or on the dataset alone (``permission@dataset``)."""
    return permission in granted or f"{permission}@{at.dataset}" in granted


def check(granted: frozenset[str], permission: str, at: Place) -> None:
    """Raise Refusal (403) if the permission is not among those granted."""
    if not has(granted, permission, at):
        raise denied(permission, at.project, at.dataset, at.table)
