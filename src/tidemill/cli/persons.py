"""`tidemill persons`: who is who, and deleting a person on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidemill.cli import output, session
from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.app import App

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
    in_tables: bool = typer.Option(False, "--in-tables", help="Delete its rows from tables of persons, too, now."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete a person, as for a privacy request: the properties are gone here, and with the next run of each export.

    With --in-tables its rows are deleted from the tables of persons instead of being marked; may be repeated. The
    person's events stay in the store and in the tables that they were exported to.
    """
    with session.app() as opened:
        if not in_tables:
            opened.identity.show(team, distinct_id)
        if not yes:
            typer.confirm(f"Delete the person with the id {distinct_id}?", abort=True)
        if in_tables:
            _everywhere(opened, team, distinct_id)
            return
        opened.identity.delete(team, distinct_id)
        exports = [export.name for export in opened.exports.find() if export.model == "persons"]
    output.done(f"The person of {distinct_id} is deleted.")
    for name in exports:
        output.note(f"Its rows are marked, and emptied, by the next run: tidemill export run {name}")


def _everywhere(opened: App, team: int, distinct_id: str) -> None:
    """Here first, so that no run brings it back; then in each table, as many as can be reached."""
    ids = opened.identity.erase(team, distinct_id)
    output.done(f"The person of {distinct_id} is deleted here, with {output.number(len(ids), 'id')}.")
    failed: TidemillError | None = None
    for export in opened.exports.find():
        try:
            rows = opened.exports.erase_person(export.name, team, ids)
        except TidemillError as error:
            failed = failed or error
            output.note(f"{export.target}: not yet. {error.message}")
            continue
        if rows is not None:
            output.done(f"{export.target}: {output.number(rows, 'row')} deleted.")
    if failed:
        raise failed
