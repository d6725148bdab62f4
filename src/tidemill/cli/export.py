"""`tidemill export`: make exports, run them, see what each run did."""

from __future__ import annotations

from typing import Any

import typer

from tidemill.cli import (
    asking,
    export_backfill,
    export_doubt,
    export_logs,
    export_rejects,
    export_schedule,
    export_stream,
    export_trial,
    export_verify,
    export_view,
    hooks,
    output,
    runs_view,
    session,
)
from tidemill.cli.groups import StartGroup

app = typer.Typer(no_args_is_help=True, help="Exports into BigQuery tables, and their runs.")

INTERVALS = (
    "1m, 5m, 15m or the like, hour, 6h, day, week, a cron expression such as '0 6 * * 1-5', or none (by hand alone)"
)
#: Options that are called as the fields of an export that they give: of a new one, and of any.
_OF_NEW = ("name", "model", "table", "json_type", "mode")
_OF_ANY = ("delivery", "run_log", "buffer_bytes", "buffer_seconds", "max_bytes_billed", "reject_share")
REJECT_SHARE = "People are told if a run sets aside more of its rows: 5%, 0 (any), none. Default: 1%."
DELIVERIES = "load (load jobs, which are free) or storage-write (the Storage Write API)"


@app.command(
    epilog="Example: tidemill export create daily --connection warehouse --table events --exclude-event debug\n\n"
    "As a stream: tidemill export create live --connection warehouse --table events_live --mode stream"
)
def create(
    name: str = typer.Argument(help="A unique name for the export."),
    connection: str = typer.Option(..., help="Name of the connection."),
    model: str = typer.Option(None, help="What is exported; see tidemill model list. Default: events."),
    table: str = typer.Option(None, help="Table id, or project:dataset.table. Default: named after the model."),
    interval: str = typer.Option(None, help=f"How often, while tidemill serve runs: {INTERVALS}. Default: hour."),
    time_zone: str = export_schedule.TIME_ZONE,
    offset: str = export_schedule.OFFSET,
    jitter: str = export_schedule.JITTER,
    start_at: str = export_schedule.START_AT,
    end_at: str = export_schedule.END_AT,
    missed: str = export_schedule.MISSED,
    pause_after: str = export_schedule.PAUSE_AFTER,
    delivery: str = typer.Option(None, help=f"How rows get to BigQuery: {DELIVERIES}. Default: load."),
    json_type: bool = typer.Option(None, help="Columns that hold JSON get type JSON, or STRING. Default: the model's."),
    include_event: list[str] = typer.Option([], help="Only events of this name. May be repeated."),
    exclude_event: list[str] = typer.Option([], help="No events of this name. May be repeated."),
    team: int = typer.Option(None, min=0, callback=output.held, help="Only events of this team."),
    mode: str = typer.Option("batch", help="batch: by runs; or stream: rows are appended as they come."),
    buffer_bytes: str = typer.Option(None, help="Of a stream: how much is sent at once, 1MB to 8MB. Default: 4MB."),
    buffer_seconds: float = typer.Option(None, help="Of a stream: how long more is waited for. Default: 1."),
    elements: bool = typer.Option(
        None, "--elements/--no-elements", help="Keep elements on any event. Default: in a stream on $autocapture alone."
    ),
    sql: str = typer.Option(None, help="A query over the event store instead of a model; @FILE reads it from there."),
    key: list[str] = typer.Option([], help="Of a query: columns by which rows are merged; else they are appended."),
    version: list[str] = typer.Option([], help="Of a query with a key: columns; the row with the greatest stays."),
    partition_by: str = typer.Option(None, help="COLUMN, COLUMN:hour|day|month|year, or none. Default: the model's."),
    cluster_by: list[str] = typer.Option([], help="Up to four columns, repeated; or none. Default: the model's."),
    partition_expiration: int = typer.Option(None, help="Days after which a partition of the new table vanishes."),
    table_expiration: int = typer.Option(None, help="Days after which the new table itself vanishes, with all rows."),
    max_bytes_billed: str = typer.Option(None, help="A statement that would be billed for more fails, such as 20GB."),
    reject_share: str = typer.Option(None, help=REJECT_SHARE),
    run_log: bool = typer.Option(False, "--run-log", help="Each run writes a row into tidemill_runs beside the table."),
    verify_daily: str = typer.Option(
        None, help="Once a day a run verifies so many of the last days, or all, and brings in what is missing."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make an export. Rows are sent by its runs (tidemill export run).

    Those of a stream are sent as they come: at once if tidemill serve runs, or by tidemill export stream.
    """
    given = locals()
    fields: dict[str, Any] = {option: given[option] for option in (*_OF_NEW, *_OF_ANY, *export_schedule.OPTIONS)}
    fields |= {"include_events": tuple(include_event), "exclude_events": tuple(exclude_event), "team_id": team}
    fields |= {"partition_expiration_days": partition_expiration, "table_expiration_days": table_expiration}
    fields |= {"verify_days": verify_daily, "elements_on_any_event": elements, "key": key, "versions": version}
    fields["sql"] = _query(sql) if sql is not None else None
    fields |= {} if partition_by is None else {"partition_by": partition_by}
    if cluster_by:
        fields["cluster_by"] = () if cluster_by == ["none"] else tuple(cluster_by)
    with session.app() as opened:
        made, remarks = opened.exports.create(connection, fields, by=session.user())
    for remark in remarks:
        output.note(remark)
    if as_json:
        output.print_json(made)
        return
    output.done(f"Export {made.name} into {made.target} is made. {export_view.begin(made)}")


def _query(given: str) -> str:
    """The query that was typed, or that is in @FILE."""
    from tidemill.errors import ConfigError

    if not any(letter.isspace() for letter in given) and session.is_file(given):
        raise ConfigError(
            "sql_is_file",
            f"--sql {given} is no query, but the name of a file.",
            hint=f"To read it from the file: --sql @{given}",
        )
    return session.text(given)


@app.command("list", epilog="Example: tidemill export list --connection warehouse")
def list_(
    connection: str = typer.Option(None, help="Only those of this connection."), as_json: bool = output.JSON_OPTION
) -> None:
    """List exports: how each stands, when it last ended a run or sent rows, what waits, and what is set aside."""
    with session.app() as opened:
        found = opened.exports.find(connection=connection)
    if as_json:
        output.print_json(found)
        return
    export_view.table(found)


@app.command(epilog="Example: tidemill export show daily")
def show(name: str = typer.Argument(help="Name of the export."), as_json: bool = output.JSON_OPTION) -> None:
    """Show one export."""
    with session.app() as opened:
        export = opened.exports.get(name)
    if as_json:
        output.print_json(export)
    else:
        output.print_fields(export_view.fields(export))


@app.command(epilog="Example: tidemill export edit daily --exclude-event debug --interval day")
def edit(
    name: str = typer.Argument(help="Name of the export."),
    rename: str = typer.Option(None, help="A new name."),
    interval: str = typer.Option(None, help=f"How often: {INTERVALS}."),
    time_zone: str = export_schedule.TIME_ZONE,
    offset: str = export_schedule.OFFSET,
    jitter: str = export_schedule.JITTER,
    start_at: str = export_schedule.START_AT,
    end_at: str = export_schedule.END_AT,
    missed: str = export_schedule.MISSED,
    pause_after: str = export_schedule.PAUSE_AFTER,
    delivery: str = typer.Option(None, help=f"How rows get to BigQuery: {DELIVERIES}."),
    include_event: list[str] = typer.Option(None, help="Only events of this name; repeated; 'none' to clear."),
    exclude_event: list[str] = typer.Option(None, help="No events of this name; repeated; 'none' to clear."),
    max_bytes_billed: str = typer.Option(None, help="A limit for one statement, such as 20GB; 'none' to clear."),
    reject_share: str = typer.Option(None, help=REJECT_SHARE),
    run_log: bool = typer.Option(None, help="Whether each run writes a row into tidemill_runs."),
    verify_daily: str = typer.Option(None, help="How many days are verified once a day: a number, all, or none."),
    buffer_bytes: str = typer.Option(None, help="Of a stream: how much is sent at once."),
    buffer_seconds: float = typer.Option(None, help="Of a stream: how long more is waited for."),
    elements: bool = typer.Option(None, "--elements/--no-elements", help="Keep elements on any event."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change an export. Model, table and JSON type stay: make another export for those."""
    options = locals()
    changes: dict[str, Any] = {option: options[option] for option in (*_OF_ANY, *export_schedule.OPTIONS)}
    changes |= {"name": rename, "verify_days": verify_daily, "elements_on_any_event": elements}
    for field, names in (("include_events", include_event), ("exclude_events", exclude_event)):
        changes[field] = None if not names else () if names == ["none"] else tuple(names)
    given = {field: value for field, value in changes.items() if value is not None}
    with session.app() as opened:
        export = opened.exports.edit(name, given)
    if as_json:
        output.print_json(export)
    else:
        what = "what comes" if export.mode == "stream" else "runs"
        output.done(f"Export {export.name} is changed. It holds for {what} from now on.")


@app.command(epilog="Example: tidemill export delete daily --yes")
def delete(
    name: str = typer.Argument(help="Name of the export."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Delete an export and stop its run. The table in BigQuery stays."""
    with session.app() as opened:
        export = opened.exports.get(name)
        if not yes:
            asking.confirm(
                f"Delete the export {export.name} and the history of its runs? The table {export.target} stays."
            )
        opened.exports.delete(name)
    output.done(f"Export {export.name} is deleted. The table {export.target} stays as it is.")
    if export.sql and not export.key and export.position:
        output.note(
            "Its rows were appended: made anew into that table, it would send all of them again, and they are there "
            "twice. Choose another table, or drop that one first."
        )


@app.command(epilog="Example: tidemill export runs daily --limit 5")
def runs(
    name: str = typer.Argument(None, help="Name of the export. Default: all exports."),
    limit: int = typer.Option(20, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List runs, newest first."""
    with session.app() as opened:
        found = opened.exports.runs.find(name, limit=limit)
    if as_json:
        output.print_json(found)
        return
    columns = ("RUN", "EXPORT", "KIND", "STATUS", "ROWS", "REJECTED", "BYTES", "STARTED", "SECONDS", "ERROR")
    rows = [
        (
            r.short_id,
            r.export,
            r.kind,
            r.status,
            r.rows_done,
            r.rows_rejected,
            output.size(r.bytes_done),
            r.started_at,
            r.seconds,
            r.error_code,
        )
        for r in found
    ]
    output.print_table(columns, rows, empty="No runs yet. Start one: tidemill export run NAME")
    export_view.go_on(found)


run_app = typer.Typer(
    cls=StartGroup,
    no_args_is_help=True,
    help="Start a run (tidemill export run NAME), or show, retry, repeat, cancel one, or its logs.",
)
app.add_typer(run_app, name="run")
app.add_typer(export_backfill.app, name="backfill")
app.add_typer(export_rejects.app, name="rejects")
app.add_typer(hooks.of("export"), name="hook")
app.command("stream", epilog="Example: tidemill export stream live --once")(export_stream.stream)
app.command(epilog="Example: tidemill export pause daily")(export_schedule.pause)
app.command(epilog="Example: tidemill export unpause daily")(export_schedule.unpause)
app.command("logs", epilog="Example: tidemill export logs daily --level warning")(export_logs.of_export)
run_app.command("logs", epilog="Example: tidemill export run logs 01a2b3c4 --search retry")(export_logs.of_run)
app.command("test", epilog="Example: tidemill export test daily")(export_trial.test)
app.command("verify", epilog="Example: tidemill export verify daily --days 7 --repair")(export_verify.verify)
app.command(epilog="Example: tidemill export settle daily")(export_doubt.settle)


@run_app.command("start", epilog="Example: tidemill export run daily")
def run_start(
    name: str = typer.Argument(help="Name of the export."),
    strict: bool = typer.Option(False, "--strict", help="End with code 6 if rows were set aside."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Export what is new since the last run; finish an interrupted run first. Ctrl-C cancels.

    Once a day the table is verified then, if the export asks for it: code 1 if it still differs.
    """
    with session.app() as opened:
        exports = opened.exports
        views = runs_view.follow(
            lambda report: exports.run(name, by=session.user(), progress=report), exports, name, as_json
        )
        if not views and not as_json:
            output.done(f"{name}: nothing new to export.")
        whole = export_verify.daily(exports, name, as_json)
    if strict:
        runs_view.refuse(views)
    if not whole:
        raise typer.Exit(export_verify.DIFFERENT)


@run_app.command("show", epilog="Example: tidemill export run show 01a2b3c4")
def run_show(
    run_id: str = typer.Argument(help="Id of the run, or its beginning."), as_json: bool = output.JSON_OPTION
) -> None:
    """Show one run: its range, chunks, BigQuery jobs and rejected rows."""
    with session.app() as opened:
        view = opened.exports.runs.get(run_id)
    runs_view.show(view, as_json)


@run_app.command("retry", epilog="Example: tidemill export run retry 01a2b3c4")
def run_retry(
    run_id: str = typer.Argument(help="Id of the run, or its beginning."),
    arrived: bool = typer.Option(
        None,
        "--arrived/--not-arrived",
        help="Of a run that failed with commit_unconfirmed: whether its rows are in the table.",
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Go on with a run that failed or was cancelled, without loading anything twice; or try again rows set aside.

    Of a run that is completed, another run tries the rows again that it set aside; it ends with code 6 if some of
    them cannot be sent now either.
    """
    with session.app() as opened:
        exports = opened.exports
        before = exports.runs.get(run_id)
        views = runs_view.follow(
            lambda report: [exports.runs.retry(run_id, by=session.user(), progress=report, arrived=arrived)],
            exports,
            before.export,
            as_json,
        )
    if before.status == "completed":
        runs_view.refuse(views)


@run_app.command("again", epilog="Example: tidemill export run again 01a2b3c4")
def run_again(
    run_id: str = typer.Argument(help="Id of the run, or its beginning."), as_json: bool = output.JSON_OPTION
) -> None:
    """Send all rows of a completed run again: what the table lacks is added, and nothing comes twice."""
    with session.app() as opened:
        exports = opened.exports
        name = exports.runs.get(run_id).export
        runs_view.follow(
            lambda report: [exports.runs.again(run_id, by=session.user(), progress=report)], exports, name, as_json
        )


@run_app.command("cancel", epilog="Example: tidemill export run cancel 01a2b3c4")
def run_cancel(run_id: str = typer.Argument(help="Id of the run, or its beginning.")) -> None:
    """Cancel a run, wherever it runs, and its BigQuery jobs."""
    with session.app() as opened:
        view = opened.exports.runs.cancel(run_id)
    if view.status in {"running", "interrupted"}:
        output.say(f"Run {view.short_id} of {view.export} was asked to stop, and has not yet.")
        raise typer.Exit(7)
    if view.status != "cancelled":
        output.say(f"Run {view.short_id} of {view.export} could not be cancelled: it has {view.status} meanwhile.")
        raise typer.Exit(5)
    output.done(f"Run {view.short_id} of {view.export} is cancelled.")
