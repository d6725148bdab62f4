"""`tidemill import`: rows of BigQuery become people and events here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from tidemill.cli import (
    asking,
    export_schedule,
    imports_source,
    imports_view,
    named,
    output,
    session,
    sync,
    sync_logs,
    sync_rejects,
    sync_view,
)
from tidemill.cli.export import INTERVALS
from tidemill.cli.groups import StartGroup
from tidemill.cli.imports_map import map_

app = typer.Typer(
    no_args_is_help=True,
    help="Imports: rows of BigQuery become people and events here.\n\n"
    "In order: create, preview, map, dry-run, schedule (or run). An import is a draft until it is mapped.",
)
rejects_app = typer.Typer(no_args_is_help=True, help="Rows that could not be imported, each with its reason.")
run_app = typer.Typer(no_args_is_help=True, cls=StartGroup, help="Run an import now; or show a run.")

_NAME = typer.Argument(help="Name of the import.")


@app.command(
    epilog="Example: tidemill import create signups --connection warehouse --table app.signups --key id\n\n"
    "Of GA4: tidemill import create web --connection warehouse --ga4 analytics_123456 --since 2026-01-01"
)
def create(
    name: str = typer.Argument(help="A unique name (nickname) for the import."),
    connection: str = typer.Option(None, help="Name of a connection that is a source: tidemill reverse-etl list"),
    sql: str = typer.Option(None, help="One SELECT statement."),
    sql_file: str = typer.Option(None, help="A file with the statement, or - for standard input."),
    table: str = typer.Option(None, help="A table or view instead: dataset.table, or project.dataset.table."),
    ga4: str = typer.Option(None, metavar="DATASET", help="The tables of a GA4 export instead: analytics_123456."),
    since: str = typer.Option(None, metavar="DAY", help="With --ga4: the first day: 2026-01-31. Default: all."),
    no_intraday: bool = typer.Option(False, "--no-intraday", help="With --ga4: leave out days that are not over."),
    key: list[str] = typer.Option(None, help="A column by which a row is known. Repeated, if several are needed."),
    model: str = typer.Option(None, help="Instead of all these: a source model that there is (also of dbt)."),
    max_bytes_billed: str = typer.Option(None, help="A run that would be billed for more does not start: 20GB."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a draft of an import: whose rows it takes. Nothing is read yet."""
    source, of_ga4 = imports_source.of(dict(locals()))
    with session.app() as opened:
        made = opened.imports.create(
            name, model=model, connection=connection, source=source, ga4=of_ga4, by=session.user()
        )
    if as_json:
        output.print_json(made)
        return
    output.done(f"{made.name} is a draft. See its rows: {output.command('import preview', name)}")
    output.note(f"Then say what becomes of them: {output.command('import map', name)} --help")


app.command(
    "map",
    epilog="Example: tidemill import map signups --events --identity user_id --event 'Signed Up' --time created_at "
    "--map plan --map amount=price:float --skip-others",
)(map_)


@app.command(epilog="Example: tidemill import preview signups")
def preview(
    name: str = _NAME,
    rows: int = typer.Option(10, min=1, max=1_000, help="How many."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show the first rows. Nothing is imported; the statement is billed."""
    with named.app(name) as opened:
        found = opened.imports.preview(name, rows)
    imports_view.print_preview(found, as_json=as_json)


@app.command("dry-run", epilog="Example: tidemill import dry-run signups --rows 500")
def dry_run(
    name: str = _NAME,
    rows: int = typer.Option(100, min=1, max=10_000, help="How many, chosen at random of those that a run would take."),
    write: bool = typer.Option(False, "--write", help="Take these rows in. A run that takes them again adds nothing."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Try random rows: of each column whether its values fit, what is read and what is stored; errors by row.

    Nothing is stored, without --write. Ends with code 6 if rows would be refused.
    """
    with named.app(name) as opened:
        found = sync_view.follow(name, lambda watch: opened.imports.dry_run(name, watch, number=rows, write=write))
    imports_view.print_dry_run(name, found, as_json=as_json)


@app.command(
    epilog="Example: tidemill import schedule signups --interval hour\n\n"
    "By hand alone: --interval none; one time: --once"
)
def schedule(
    name: str = _NAME,
    interval: str = typer.Option(None, help=f"How often, while tidemill serve runs: {INTERVALS}."),
    once: bool = typer.Option(None, "--once/--repeat", help="It is run once."),
    time_zone: str = export_schedule.TIME_ZONE,
    offset: str = export_schedule.OFFSET,
    jitter: str = export_schedule.JITTER,
    pause_after: str = export_schedule.PAUSE_AFTER,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Say when an import runs by itself. People come before events of the same connection."""
    changes = {"interval": "none" if once and interval is None else interval, "time_zone": time_zone}
    changes |= {"offset": offset, "jitter": jitter, "pause_after": pause_after}
    with named.app(name) as opened:
        made = opened.imports.edit(name, changes, once=once)
    if as_json:
        output.print_json(made)
        return
    output.done(f"{made.name} is {made.status}.")
    if made.next_at is not None:
        output.note(f"It runs at {made.next_at:%Y-%m-%d %H:%M} UTC first, if tidemill serve does.")
    elif made.status == "ready":
        output.note(f"Run it: {output.command('import run', name)}")


@app.command(epilog="Example: tidemill import edit signups --rename sign-ups --most-rejects 1000")
def edit(
    name: str = _NAME,
    rename: str = typer.Option(None, help="A new name."),
    delete_brake: str = typer.Option(None, help="A run that would delete a larger share stops: 20%. Default: 20%."),
    most_rejects: int = typer.Option(None, help="A run in which more rows are refused stops. Default: 100,000."),
    reject_share: str = typer.Option(None, help="People are told if a larger share is refused: 1%, none."),
    deviation: str = typer.Option(None, help="People are told of a run whose rows differ from the usual: 50%, none."),
    max_bytes_billed: str = typer.Option(
        None, help="A run that would be billed for more does not start: 20GB; or none."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change the name or the limits of an import. What it makes of rows: import map; when it runs: import schedule."""
    changes: dict[str, Any] = {"name": rename, "most_rejects": most_rejects, "max_bytes_billed": max_bytes_billed}
    changes["delete_brake"] = sync.share(delete_brake)
    for field, text in (("reject_share", reject_share), ("deviation", deviation)):
        changes[field] = text if text == "none" else sync.share(text)
    with named.app(name) as opened:
        made = opened.imports.edit(name, changes)
    if as_json:
        output.print_json(made)
    else:
        output.done(f"{made.name} is changed.")


@run_app.command(epilog="Example: tidemill import run signups")
def start(
    name: str = _NAME,
    force: bool = typer.Option(False, "--force", help="Also if no table has changed."),
    again: bool = typer.Option(False, "--again", help="Though it is to be run once, and was."),
    allow_deletes: bool = typer.Option(False, "--allow-deletes", help="However many rows are gone."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Run an import now, or go on with its run that was interrupted, and wait for its end.

    Ends with code 6 if rows were refused. While another process is at it, it ends with code 5: wait for that. To have
    tidemill serve do it: tidemill import trigger NAME.
    """
    with named.app(name) as opened:
        imports = opened.imports
        asked = {"force": force, "deletes": allow_deletes}
        over = sync_view.follow(name, lambda watch: imports.run(name, watch, by=session.user(), again=again, **asked))
    sync_view.print_run(over, as_json=as_json)


@app.command(epilog="Example: tidemill import trigger signups --wait")
def trigger(
    name: str = _NAME,
    wait: bool = typer.Option(False, "--wait", help="Wait for its end; Ctrl-C leaves it at work."),
    force: bool = typer.Option(False, "--force", help="Also if no table has changed."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Have a worker (tidemill serve, on any machine) run an import, whether or not it has a schedule.

    If a run of it is at work, or waits, nothing more is begun.
    """
    with named.app(name) as opened:
        opened.imports.assert_may_run(name)
        sync_view.triggered(opened, name, wait=wait, force=force, as_json=as_json)


run_app.command("show", epilog="Example: tidemill import run show signups 3")(sync.run_show)


@app.command("list", epilog="Example: tidemill import list --connection warehouse --status running --status paused")
def list_(
    connection: str = typer.Option(None, help="Only of this connection."),
    status: list[str] = typer.Option(
        [], help="Only these: draft, ready, scheduled, running, paused, stopped, completed. May be repeated."
    ),
    kind: str = typer.Option(None, "--type", help="Only people, events or deletions."),
    created_on: str = typer.Option(None, metavar="FROM[..TO]", help="Only made on these days (UTC): 2026-01-01."),
    created_by: str = typer.Option(None, help="Only made by this user."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List imports: how each stands, how healthy it is, and what its last run did."""
    imports_view.assert_choices(status, kind)
    days = None if created_on is None else imports_view.days(created_on)
    with session.app() as opened:
        found = opened.imports.find(
            connection=connection, status=status, kind=kind, created_by=created_by, created_on=days
        )
    imports_view.print_imports(found, as_json=as_json)


@app.command(epilog="Example: tidemill import show signups")
def show(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show one import, with its mapping."""
    with named.app(name) as opened:
        found = opened.imports.get(name)
    imports_view.print_import(found, as_json=as_json)


@app.command(epilog="Example: tidemill import runs signups")
def runs(
    name: str = _NAME,
    limit: int = typer.Option(20, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List runs of an import: what each found, and what became of it."""
    with named.app(name) as opened:
        found = opened.reverse_etl.syncs.runs(name, limit)
    sync_view.print_runs(found, as_json=as_json, of_all=False)


app.command("logs", epilog="Example: tidemill import logs signups 12 --level warning")(sync_logs.of_sync)


@app.command(epilog="Example: tidemill import pause signups")
def pause(name: str = _NAME) -> None:
    """Begin no run by itself any more. One that runs, ends; by hand it can be run."""
    with named.app(name) as opened:
        opened.reverse_etl.syncs.pause(name, session.user())
    output.done(f"{name} is paused. Go on: {output.command('import unpause', name)}")


@app.command(epilog="Example: tidemill import unpause signups")
def unpause(name: str = _NAME) -> None:
    """Have an import that was paused or stopped run by itself again."""
    with named.app(name) as opened:
        opened.reverse_etl.syncs.unpause(name)
    output.done(f"{name} runs again.")


@app.command(epilog="Example: tidemill import stop signups")
def stop(name: str = _NAME) -> None:
    """End an import: it begins nothing any more, and its run is cancelled. What it took stays."""
    with named.app(name) as opened:
        opened.imports.stop(name, session.user())
    output.done(f"{name} is stopped. Go on: {output.command('import unpause', name)}")


@app.command(epilog="Example: tidemill import cancel signups")
def cancel(name: str = _NAME) -> None:
    """Ask the run of an import to stop. What it has taken stays, and is not taken again."""
    with named.app(name) as opened:
        found, at_work = opened.reverse_etl.syncs.cancel(name)
    output.done(f"Run {found.number} of {name} is asked to stop.")
    if not at_work:
        output.note(f"No process is at it. {output.command('import run', name)} ends it, and begins a new one.")


@app.command(epilog="Example: tidemill import reset signups")
def reset(
    name: str = _NAME,
    resend: bool = typer.Option(False, "--resend", help="The next run takes all rows anew. This is the default."),
    leave: bool = typer.Option(False, "--leave", help="It leaves rows that were taken as they are, and takes others."),
    adopt: bool = typer.Option(False, "--adopt", help="It counts all rows as taken, also such as never were."),
) -> None:
    """Have the next run take all rows anew. Events that are here already are not added twice."""
    from tidemill.errors import ConfigError

    chosen = [how for how, wanted in (("resend", resend), ("leave", leave), ("adopt", adopt)) if wanted] or ["resend"]
    if len(chosen) > 1:
        raise ConfigError("reset", "More than one way is named.", hint="One of --resend, --leave and --adopt.")
    with named.app(name) as opened:
        opened.reverse_etl.syncs.reset(name, chosen[0])
    said = {"resend": "takes all rows anew", "leave": "leaves what was taken", "adopt": "counts all rows as taken"}
    output.done(f"The next run of {name} {said[chosen[0]]}.")


@app.command(epilog="Example: tidemill import undo signups --yes")
def undo(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Take back all that an import has brought: its events here and in tables of exports, and what it set of people.

    People who came by it alone are deleted; others are as if it had never been. May be repeated, if a table could not
    be reached.
    """
    with named.app(name) as opened:
        found = opened.imports.get(name)
        if not yes:
            asking.confirm(f"Take back all that {found.name} has brought?")
        opened.imports.undo(name, by=session.user(), told=imports_view.say_undone)
    output.done(f"What {name} has brought is taken back.")


@app.command(epilog="Example: tidemill import delete signups --yes")
def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Delete an import, with its runs. What it has brought stays: tidemill import undo takes that back first."""
    with named.app(name) as opened:
        if not yes:
            asking.confirm(f"Delete the import {name}? What it has brought stays.")
        remark = opened.imports.delete(name)
    output.done(f"{name} is deleted.")
    if remark:
        output.note(remark)


@rejects_app.command("repair", epilog="Example: tidemill import rejects repair signups --file refused.jsonl")
def repair(
    name: str = _NAME,
    file: Path = typer.Option(..., help="Rows as export wrote them, repaired: a JSON object with key and row a line."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Take in rows that were refused, as they are in a file, repaired. Others stay refused.

    They are not tried again until their rows change in BigQuery. Ends with code 6 if some are refused still.
    """
    with imports_view.read_rows(file) as rows, named.app(name) as opened:
        number, errors = sync_view.follow(name, lambda watch: opened.imports.repair(name, rows, watch))
    imports_view.print_repaired(number, errors, as_json=as_json)


for _command, _function in (
    ("list", sync_rejects.list_),
    ("export", sync_rejects.export),
    ("retry", sync_rejects.retry),
    ("drop", sync_rejects.drop),
):
    rejects_app.command(_command, epilog=f"Example: tidemill import rejects {_command} signups")(_function)
app.add_typer(rejects_app, name="rejects")
app.add_typer(run_app, name="run")
