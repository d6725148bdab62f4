"""`tidemill export hook` and `tidemill sync hook`: addresses by which somebody outside has one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import typer

from tidemill.cli import output, session, shown_once

if TYPE_CHECKING:
    from tidemill.access.hooks import HookService
    from tidemill.app import App


def _service(app: App, kind: str) -> HookService:
    return app.export_hooks if kind == "export" else app.sync_hooks


def of(kind: Literal["export", "sync"]) -> typer.Typer:
    """The commands about hooks of exports, or of syncs."""
    app = typer.Typer(no_args_is_help=True, help=f"Addresses by which somebody outside has one {kind} run.")
    name_of = typer.Argument(help=f"Name of the {kind}.")

    @app.command(epilog=f"Example: tidemill {kind} hook create daily")
    def create(name: str = name_of, as_json: bool = output.JSON_OPTION) -> None:
        """Make a hook: whoever knows its address may have it run, and nothing else. It is shown this once."""
        with session.app() as opened:
            secret, made = _service(opened, kind).create(name, by=session.user())
        url = f"/api/v1/hooks/{secret}"
        if as_json:
            output.print_json({"secret": secret, "url": url, **vars(made)})
            return
        shown_once.show(f"POST to this path of the server runs {made.name}, by a worker.", url)

    @app.command("list", epilog=f"Example: tidemill {kind} hook list daily")
    def list_(name: str = name_of, as_json: bool = output.JSON_OPTION) -> None:
        """List its hooks."""
        with session.app() as opened:
            found = _service(opened, kind).find(name)
        if as_json:
            output.print_json(found)
            return
        rows = [(one.start, one.created_at, one.created_by, one.last_used_at) for one in found]
        empty = f"There are none. Make one: {output.command(f'{kind} hook create', name)}"
        output.print_table(("HOOK", "MADE", "BY", "LAST USED"), rows, empty=empty)

    @app.command(epilog=f"Example: tidemill {kind} hook revoke daily tmh_01a2b3c4")
    def revoke(name: str = name_of, start: str = typer.Argument(help="Its first characters, as listed.")) -> None:
        """Revoke a hook, at once."""
        with session.app() as opened:
            _service(opened, kind).revoke(name, start)
        output.done(f"The hook {start} is revoked.")

    return app
