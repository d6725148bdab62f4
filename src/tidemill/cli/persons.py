"""`tidemill persons`: who is who, and deleting a person on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidemill.cli import output, session

if TYPE_CHECKING:
    from tidemill.exports.erasure import Deleted

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


@app.command(epilog="Example: tidemill persons delete ana@example.com --yes")
def delete(
    distinct_id: str = typer.Argument(help="One of the person's distinct_ids."),
    team: int = _TEAM,
    with_events: bool = typer.Option(False, "--with-events", help="Delete all events of the person, too."),
    in_tables: bool = typer.Option(False, "--in-tables", help="Delete the rows of all that from the tables, too, now."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete a person, as for a privacy request: the properties are gone here, and with the next run of each export.

    With --in-tables its rows are deleted from the tables of persons instead of being marked. Its events stay, unless
    --with-events says that they go, too: here, and with --in-tables from the tables of events, sessions and Amplitude's
    events. Rows of queries of your own are not looked at. May be repeated.
    """
    with session.app() as opened:
        if not in_tables and not with_events:
            opened.identity.show(team, distinct_id)
        if not yes:
            what = " and all its events" if with_events else ""
            typer.confirm(f"Delete the person with the id {distinct_id}{what}?", abort=True)
        if in_tables or with_events:
            opened.exports.erase_person(team, distinct_id, events=with_events, tables=in_tables, told=_told)
            return
        opened.identity.delete(team, distinct_id)
        exports = [export.name for export in opened.exports.find() if export.model == "persons"]
    output.done(f"The person of {distinct_id} is deleted.")
    for name in exports:
        output.note(f"Its rows are marked, and emptied, by the next run: tidemill export run {name}")


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
