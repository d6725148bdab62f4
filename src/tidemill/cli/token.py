"""`tidemill token`: tokens by which programs use the API."""

from __future__ import annotations

import typer

from tidemill.access.permissions import Permission
from tidemill.cli import output, session, shown_once
from tidemill.documents import page

app = typer.Typer(no_args_is_help=True, help="Tokens by which programs use the HTTP API: make, list and revoke them.")


@app.command(epilog="Example: tidemill token create airflow --scope syncs:trigger --scope syncs:read --expires 90d")
def create(
    name: str = typer.Argument(help="Name of the token, by which it is revoked."),
    scope: list[Permission] = typer.Option(..., help="What it may do. May be repeated."),
    expires: str = typer.Option(None, help="How long it is good: 90d, 12h. Default: until it is revoked."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a token that may do what its scopes say, and nothing else. It is shown this once."""
    from tidemill.schedules import calendar

    seconds = calendar.parse_seconds(expires) if expires is not None else None
    with session.app() as opened:
        token, made = opened.tokens.create(name=name, scopes=scope, expires_seconds=seconds, by=session.user())
    if as_json:
        output.print_json({"token": token, **vars(made)})
        return
    until = "until it is revoked" if made.expires_at is None else f"until {output.text(made.expires_at)}"
    shown_once.show(f"The token {made.name} is good for {', '.join(made.scopes)}, {until}.", token)
    output.note(f"How it is used: {page('reference/api.md')}")


@app.command("list", epilog="Example: tidemill token list --revoked")
def list_(
    revoked: bool = typer.Option(False, "--revoked", help="Those too that are revoked."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List the tokens."""
    with session.app() as opened:
        found = opened.tokens.find(revoked=revoked)
    if as_json:
        output.print_json(found)
        return
    rows = [
        (t.name, f"{t.start}…", " ".join(t.scopes), t.expires_at, t.created_at, t.created_by, t.revoked_at)
        for t in found
    ]
    columns = ("NAME", "TOKEN", "SCOPES", "EXPIRES", "MADE", "BY", "REVOKED")
    output.print_table(columns, rows, empty="There are no tokens. Make one: tidemill token create --help")


@app.command(epilog="Example: tidemill token revoke airflow")
def revoke(name: str = typer.Argument(help="Name of the token.")) -> None:
    """Revoke a token, at once: what is asked for by it from now on is refused."""
    with session.app() as opened:
        gone = opened.tokens.revoke(name)
    output.done(f"The token {gone.name} is revoked.")
