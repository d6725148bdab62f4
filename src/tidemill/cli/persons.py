"""`tidemill persons`: who is who, and deleting a person on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from tidemill.cli import asking, output, session

if TYPE_CHECKING:
    from tidemill.exports.erasure import Deleted
    from tidemill.exports.views import ExportView

app = typer.Typer(no_args_is_help=True, help="Who is who: persons by their distinct_ids, and deleting one.")
_TEAM = typer.Option(1, min=0, callback=output.held, help="Team (project) of the person.")


@app.command(epilog="Example: tidemill persons show ana@example.com --team 2")
def show(
    distinct_id: str = typer.Argument(help="One of the person's distinct_ids."),
    team: int = _TEAM,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what is known of a person, from all events in the store."""
    with session.app() as opened:
        found = opened.identity.show(team, distinct_id)
    if as_json:
        output.print_json(found)
        return
    output.print_fields({name.replace("_", " "): value for name, value in vars(found).items()})


#: What the codes of refusals mean.
_REASONS = {
    "merge_of_identified": "the other id is that of somebody who is identified already",
    "merge_with_nobody": "one of the ids stands for nobody, such as null or anonymous",
    "merge_without_person": "the event wants no person",
    "person_too_large": "the properties would be larger than 512 KB",
    "operation_refused": "the operation does not fit the property",
}


@app.command(epilog="Example: tidemill persons refused --limit 20")
def refused(
    limit: int = typer.Option(50, min=1, help="How many, newest first."), as_json: bool = output.JSON_OPTION
) -> None:
    """List merges and changes of properties that were refused. The events that asked for them are kept and exported."""
    with session.app() as opened:
        found = opened.identity.refusals(limit=limit)
    if as_json:
        output.print_json(found)
        return
    rows = [(r.seen_at, r.team_id, _REASONS.get(r.code, r.code), r.distinct_id, r.other, r.event_uuid) for r in found]
    output.print_table(("SEEN", "TEAM", "REASON", "ID", "OTHER", "EVENT"), rows, empty="Nothing was refused.")


_SHOWN_IDS = 5


@app.command(epilog="Example: tidemill persons delete ana@example.com --with-events")
def delete(
    distinct_id: str = typer.Argument(help="One of the person's distinct_ids."),
    team: int = _TEAM,
    in_tables: bool = typer.Option(False, "--in-tables", help="Delete its rows from the tables of persons, too, now."),
    with_events: bool = typer.Option(
        False, "--with-events", help="Delete all its events, too, here and in all tables."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete a person, as for a privacy request: the properties are gone here, and with the next run of each export.

    With --in-tables its rows are deleted from the tables of persons instead of being marked. Its events stay, unless
    --with-events says that they go, too: here, and from the tables of persons, events, sessions and Amplitude's events.
    Rows of queries of your own are not looked at. May be repeated, until all tables are done.
    """
    with session.app() as opened:
        ids = opened.identity.ids(team, distinct_id) if in_tables or with_events else ()
        if not in_tables and not with_events:
            ids = opened.identity.show(team, distinct_id).distinct_ids
        if not yes:
            asking.confirm(_asked(ids or (distinct_id,), in_tables=in_tables, with_events=with_events))
        if not in_tables and not with_events:
            opened.identity.delete(team, distinct_id)
            output.done(f"The person of {distinct_id} is deleted.")
        else:
            opened.exports.erase_person(team, distinct_id, events=with_events, by=session.user(), told=_told)
        exports = opened.exports.find()
    _left(exports, distinct_id, in_tables=in_tables, with_events=with_events)


def _asked(ids: Sequence[str], *, in_tables: bool, with_events: bool) -> str:
    shown = ", ".join(ids[:_SHOWN_IDS]) + (f" and {len(ids) - _SHOWN_IDS:,} more" if len(ids) > _SHOWN_IDS else "")
    what = ", all its events, and the rows of both in all tables" if with_events else ""
    what = what or (" and its rows in the tables of persons" if in_tables else "")
    return f"Delete the person with the {'id' if len(ids) == 1 else 'ids'} {shown}{what}?"


def _left(exports: Sequence[ExportView], distinct_id: str, *, in_tables: bool, with_events: bool) -> None:
    """Say where something of the person is still."""
    if not in_tables and not with_events:
        for export in exports:
            if export.model == "persons":
                output.note(f"Its rows are marked, and emptied, by the next run: tidemill export run {export.name}")
    if not with_events:
        output.note(f"Its events stay. To delete them, too: tidemill persons delete {distinct_id} --with-events")
    for export in exports:
        if export.model == "custom" and export.position:
            output.note(f"{export.target} holds rows of a query of your own ({export.name}), which are not looked at.")


def _told(deleted: Deleted) -> None:
    match deleted.place:
        case "persons":
            output.done(f"The person is deleted here, with {output.number(deleted.rows, 'id')}.")
        case "events":
            output.done(f"{output.number(deleted.rows, 'event')} of the person deleted here.")
        case place if deleted.error:
            output.note(f"{place}: not yet. {deleted.error.message}")
        case place:
            output.done(f"{place}: {output.number(deleted.rows, 'row')} deleted.")
