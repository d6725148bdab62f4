"""A new import, its first step: whose rows it takes. A draft is made of it, which nothing runs before it is mapped."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill import sizes
from tidemill.access.permissions import Permission
from tidemill.errors import ConfigError
from tidemill.web import frame, marks, visit
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.pages.imports_steps import path_of, steps
from tidemill.web.places import has
from tidemill.web.region import show

if TYPE_CHECKING:
    from tidemill.app import App

_WAYS = (
    Option("table", "A table or view"),
    Option("sql", "A statement", "one SELECT"),
    Option("ga4", "An export of Google Analytics 4", "all its tables of days"),
    Option("model", "A source model that there is", "also of dbt"),
)


@page("New import", Permission.IMPORTS_WRITE, "/imports-new", parents=(("Imports", "/imports"),))
async def new() -> None:
    """Say whose rows."""
    sources, models = await visit.call(_choices)
    steps("source")
    if not sources and not models:
        go = marks.goto("Connections", "/connections") if has("/connections") else Markup()
        show(
            marks.empty(
                "There is no source yet",
                "An import reads rows by a connection that is a source: enable one first.", go, "plug",
            )
        )  # fmt: skip
        return

    async def sent(given: dict[str, Any], _act: str) -> None:
        by, said = visit.current().actor.by, _said(given)
        made = await visit.slowly(lambda app: app.imports.create(given["name"], **said, by=by))
        frame.go(path_of(made.name, "map"))

    Form(_fields(sources, models), "Make a draft and look at its columns", sent)


def _choices(app: App) -> tuple[list[str], list[str]]:
    return (
        [one.connection for one in app.reverse_etl.sources.find()],
        [one.name for one in app.reverse_etl.models.find()],
    )


def _fields(sources: list[str], models: list[str]) -> list[Field]:
    own, rows = ("way", ("table", "sql", "ga4")), ("way", ("table", "sql"))
    ways = tuple(one for one in _WAYS if (sources if one.value != "model" else models))
    return [
        Field("name", "Name", help="Unique among imports and syncs. It can be changed later.", placeholder="signups"),
        Field("way", "Rows of", "radio", options=ways, value=ways[0].value),
        Field("connection", "Connection", "select", options=_options(sources), when=own,
              value=sources[0] if len(sources) == 1 else None),
        Field("table", "Table or view", when=("way", ("table",)), placeholder="dataset.table", mono=True),
        Field("sql", "Statement", "text", when=("way", ("sql",)), rows=8, mono=True,
              placeholder="SELECT user_id, plan FROM app.users"),
        Field("ga4", "Dataset of the export", when=("way", ("ga4",)), placeholder="analytics_123456", mono=True),
        Field("since", "From this day on", "date", when=("way", ("ga4",)), required=False, help="Empty: all days."),
        Field("intraday", "Also days that are not over", "switch", when=("way", ("ga4",)), value=True),
        Field("key", "Key", when=rows, placeholder="id", mono=True,
              help="The columns by which a row is known, with commas between: so it is told which rows are new."),
        Field("model", "Source model", "select", options=_options(models), when=("way", ("model",))),
        Field("max_bytes_billed", "Bytes that may be billed", when=own, required=False, placeholder="20GB",
              help="A run that would be billed for more does not start."),
    ]  # fmt: skip


def _options(names: list[str]) -> tuple[Option, ...]:
    return tuple(Option(one, one) for one in names)


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """What ImportService.create is told.

    Raises
    ------
    ConfigError
        A day is none.
    """
    way = given["way"]
    if way == "model":
        return {"model": given.get("model")}
    limit = given.get("max_bytes_billed")
    source: dict[str, Any] = {"max_bytes_billed": sizes.parse_bytes(limit) if limit else None}
    said: dict[str, Any] = {"connection": given.get("connection")}
    if way == "ga4":
        return {**said, "source": source, "ga4": (given.get("ga4") or "", _day(given.get("since")), given["intraday"])}
    key = tuple(one.strip() for one in (given.get("key") or "").split(",") if one.strip())
    return {**said, "source": {**source, way: given.get(way), "key": key}}


def _day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError("day", f"{text!r} is no day.", hint="Choose one, as 2026-01-31.") from None
