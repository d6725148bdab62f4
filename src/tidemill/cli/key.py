"""`tidemill key`: keys by which SDKs send events."""

from __future__ import annotations

import typer

from tidemill.cli import output, session, shown_once
from tidemill.documents import page

app = typer.Typer(no_args_is_help=True, help="Keys by which SDKs send events: make, list and revoke them.")


@app.command(epilog="Example: tidemill key create --team 1 --name web")
def create(
    team: int = typer.Option(1, min=0, callback=output.held, help="Team (project) of the events that are sent by it."),
    name: str | None = typer.Option(None, help="Name, by which it is revoked. Without one it gets one."),
    events_per_second: int | None = typer.Option(
        None, min=1, callback=output.held, help="Most events a second; what is more is told to come again."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a key that may send events of a team, and nothing else. It is shown this once."""
    with session.app() as opened:
        key, made = opened.keys.create(team_id=team, name=name, events_per_second=events_per_second, by=session.user())
    if as_json:
        output.print_json({"key": key, **vars(made)})
        return
    shown_once.show(f"The key {made.name} may send events of team {made.team_id}.", key)
    output.note(f"Start the server: tidemill serve. How each SDK is pointed at it: {page('howto/capture.md')}")


@app.command("list", epilog="Example: tidemill key list --revoked")
def list_(
    revoked: bool = typer.Option(False, "--revoked", help="Those too that are revoked."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List the keys."""
    with session.app() as opened:
        found = opened.keys.find(revoked=revoked)
    if as_json:
        output.print_json(found)
        return
    rows = [
        (k.name, k.team_id, f"{k.start}…", k.events_per_second, k.created_at, k.created_by, k.revoked_at) for k in found
    ]
    columns = ("NAME", "TEAM", "KEY", "EVENTS/S", "MADE", "BY", "REVOKED")
    output.print_table(columns, rows, empty="There are no keys. Make one: tidemill key create --team 1")


@app.command(epilog="Example: tidemill key revoke web")
def revoke(name: str = typer.Argument(help="Name of the key.")) -> None:
    """Revoke a key, at once: what is sent by it from now on is refused."""
    with session.app() as opened:
        gone = opened.keys.revoke(name)
    output.done(f"The key {gone.name} of team {gone.team_id} is revoked.")
