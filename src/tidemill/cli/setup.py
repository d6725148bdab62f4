"""`tidemill init`, `tidemill doctor`, `tidemill demo`."""

from __future__ import annotations

import typer

from tidemill.cli import output, session


def register(app: typer.Typer) -> None:
    """Add the commands that belong to no group."""
    app.command(epilog="Example: TIDEMILL_HOME=/srv/tidemill tidemill init")(init)
    app.command(epilog="Example: tidemill doctor --json")(doctor)
    app.command(epilog="Example: tidemill demo")(demo)


def init(
    new_secret_key: bool = typer.Option(
        False, help="The secret key is lost: use another one, of all machines. What was encrypted must be given anew."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make the installation: embedded PostgreSQL, event store, secret key. Safe to repeat."""
    from tidemill.app import App
    from tidemill.settings import current

    settings = current()
    new = not settings.home_path.exists()
    with App(settings, renew_secret_key=new_secret_key or not settings.database_url) as opened:
        checks = opened.doctor()
    if as_json:
        output.print_json({"home": settings.home_path, "new": new, "checks": checks})
    else:
        output.done(f"The installation in {settings.home_path} is {'made' if new else 'there already'}.")
        output.say("Next: tidemill demo, or tidemill connection add --help")


_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "wrong": "[red]✗[/]"}


def doctor(as_json: bool = output.JSON_OPTION) -> None:
    """Check what is installed, what runs and what is wrong."""
    from rich.markup import escape

    with session.app() as opened:
        checks = opened.doctor()
    wrong = any(check.status == "wrong" for check in checks)
    if as_json:
        output.print_json({"ok": not wrong, "checks": checks})
    else:
        for check in checks:
            output.out.print(f"{_MARKS[check.status]} {escape(check.name)} [dim]{escape(check.detail)}[/]")
            if check.hint:
                output.out.print(f"    {escape(check.hint)}")
    if wrong:
        raise typer.Exit(1)


def demo() -> None:
    """Run the main job on embedded parts: real events, through the event store, into a BigQuery table."""
    from tidemill.cli import story

    story.tell()
