"""The view beside Amplitude's two tables: events with the number that their user has after all merges."""

from __future__ import annotations

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.errors import TidemillError
from tidemill.exports.work import Parts, Work
from tidemill.store.records import Export

_MODELS = ("amplitude_events", "merge_ids")


def ensure(parts: Parts, work: Work, client: Client) -> None:
    """Make the view, once there are exports of both models, of one team, into one dataset, with their tables.

    What is there by its name is left alone. A view that cannot be made does not stop the run, which says so.
    """
    if work.model.name not in _MODELS:
        return
    found = {export.model: export for export in _siblings(parts, work)}
    if found.keys() != set(_MODELS):
        return
    events, merges = (found[model] for model in _MODELS)
    name = f"{events.table_id}_resolved"
    dataset = work.export.dataset
    try:
        there = [client.get_table(dataset, table) for table in (events.table_id, merges.table_id, name)]
        if there[0] and there[1] and not there[2]:
            description = "Amplitude's events, each with the number that its user has after all merges."
            client.create_view(dataset, name, sql.resolved_events(_place(events), _place(merges)), description)
    except TidemillError as error:
        parts.runs.remark(work.run.id, f"The view {name} could not be made: {error.message}")


def _siblings(parts: Parts, work: Work) -> list[Export]:
    """The exports of Amplitude's models into the same dataset, of the same team; of two of a model, the older one."""
    own = work.export
    return [
        each
        for each in sorted(parts.exports.find(), key=lambda each: each.created_at, reverse=True)
        if each.model in _MODELS
        and (each.project, each.dataset) == (own.project, own.dataset)
        and each.spec.get("team_id") == own.spec.get("team_id")
    ]


def _place(export: Export) -> sql.Place:
    return export.project, export.dataset, export.table_id
