"""`tidemill sync`: rows of BigQuery on their way into other tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import (
    asking,
    export_schedule,
    files,
    hooks,
    named,
    output,
    session,
    sync_logs,
    sync_rejects,
    sync_view,
)
from tidemill.cli.export import INTERVALS
from tidemill.cli.groups import StartGroup

if TYPE_CHECKING:
    from tidemill.dbt_models import AfterRun

app = typer.Typer(no_args_is_help=True, help="Reverse ETL: rows of a source model into a destination, as they change.")
app.add_typer(sync_rejects.app, name="rejects")
app.add_typer(hooks.of("sync"), name="hook")
run_app = typer.Typer(no_args_is_help=True, cls=StartGroup, help="Run a sync now; or show a run.")
app.add_typer(run_app, name="run")

_NAME = typer.Argument(help="Name of the sync.")
_MAP = typer.Option(
    [], "--map", help="FIELD=COLUMN, FIELD=* (the whole row), or FIELD=JSON of the mapping language. May be repeated."
)
_MAPPING = typer.Option(None, help="The whole mapping as JSON; @FILE reads it from there.")
_BRAKE = typer.Option(None, help="A run that would delete a larger share of the rows stops: 20%. Default: 20%.")
_MOST_REJECTS = typer.Option(None, help="A run in which more rows are refused stops. Default: 100,000.")
_REJECT_SHARE = typer.Option(
    None,
    help="People are told of a run in which a larger share of new rows is refused: 1%, 0 (any), none. Default: 1%.",
)
_DEVIATION = typer.Option(
    None, help="People are told of a run whose rows differ by more from the median of the last ten runs: 50%, none."
)
_BYTES = typer.Option(None, help="A run that would be billed for more does not start, such as 20GB; or none.")
_WRITE_BACK = typer.Option(
    None,
    metavar="DAYS",
    help="Write runs and rows into tables beside the state, where they are kept for so many days; or none.",
)
CURSOR_UNIT = typer.Option(
    None, help="What a cursor that is a number counts since 1970: seconds, milliseconds, none (it is no time)."
)
CURSOR_OVERLAP = typer.Option(
    None,
    min=0,
    help="Look at rows again whose cursor is so far behind the newest: days of a DATE, hours of another time, or so "
    "much of a number. Default: 0.",
)
_MODE = "insert (new rows), update (changed ones), upsert (both), delete (gone ones), mirror (all three)"
_INTERVAL = typer.Option(None, help=f"How often, while tidemill serve runs: {INTERVALS}. Default: hour.")
#: Such an option is known, so that it can be said what to do instead.
_FIXED = typer.Option(None, hidden=True)
_FIELDS = ("action", "mode", "extraction", "cursor", "cursor_unit", "cursor_overlap", "most_rejects")


@app.command(
    epilog="Example: tidemill sync create crm --model customers --destination hook --map email=email --map plan=plan"
)
def create(
    name: str = typer.Argument(help="A unique name for the sync."),
    model: str = typer.Option(..., help="Name of the source model."),
    destination: str = typer.Option(..., help="Name of the destination."),
    action: str = typer.Option(None, help="What it does with rows; see tidemill destination show-kind KIND."),
    map_: list[str] = _MAP,
    mapping: str = _MAPPING,
    suggest: bool = typer.Option(False, "--suggest", help="Map fields to columns whose names fit, and show it."),
    mode: str = typer.Option(None, help=f"What is delivered: {_MODE}. Default: the action's first."),
    extraction: str = typer.Option(None, help="How rows are found: diff, cursor, or full (all, each time)."),
    cursor: str = typer.Option(None, help="Of the extraction cursor: the column that grows with each change."),
    cursor_unit: str = CURSOR_UNIT,
    cursor_overlap: int = CURSOR_OVERLAP,
    interval: str = _INTERVAL,
    time_zone: str = export_schedule.TIME_ZONE,
    offset: str = export_schedule.OFFSET,
    jitter: str = export_schedule.JITTER,
    pause_after: str = export_schedule.PAUSE_AFTER,
    delete_brake: str = _BRAKE,
    most_rejects: int = _MOST_REJECTS,
    reject_share: str = _REJECT_SHARE,
    deviation: str = _DEVIATION,
    max_bytes_billed: str = _BYTES,
    write_back: str = _WRITE_BACK,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a sync. It delivers what has changed by its runs: tidemill sync run, or by itself."""
    given = locals()
    fields: dict[str, Any] = {name: given[name] for name in (*_FIELDS, "interval", "time_zone", "offset", "jitter")}
    fields |= {"name": name, "pause_after": pause_after, "write_back_days": write_back, **_sizes(given)}
    with session.app() as opened:
        syncs = opened.reverse_etl.syncs
        found = syncs.suggested(model, destination, action) if suggest else {}
        fields["mapping"] = {**found, **mapped(map_, mapping)}
        if suggest and not as_json:
            output.note(f"Mapping: {json.dumps(fields['mapping'], ensure_ascii=False)}")
        made = syncs.create(model, destination, fields, by=session.user())
    if as_json:
        output.print_json(made)
        return
    output.done(
        f"Sync {made.name} ({made.spec.mode}) is made. See what it would send: {output.command('sync preview', name)}"
    )
    if made.next_at is not None:
        output.note(f"It runs at {made.next_at:%Y-%m-%d %H:%M} UTC first, if tidemill serve does.")


def mapped(pairs: list[str], mapping: str | None) -> dict[str, Any]:
    """The mapping that was given, in pairs or as a whole."""
    from tidemill.errors import ConfigError
    from tidemill.reverse_etl.service import mapping_of

    found = mapping_of(session.text(mapping)) if mapping is not None else {}
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if not equals or not field:
            raise ConfigError("mapping_pair", f"{pair!r} is no FIELD=COLUMN.", hint="Write --map email=email_address.")
        found[field] = _value(value)
    return found


def _value(text: str) -> Any:
    """What a field is mapped to: JSON, the whole row, or a column; NaN is one, for JSON has no such number."""
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return {"@path": "$." if text == "*" else f"$.{text}"}
    return found


def _sizes(given: dict[str, Any]) -> dict[str, Any]:
    """Sizes and shares, of all that was given."""
    found: dict[str, Any] = {"max_bytes_billed": given["max_bytes_billed"]}
    found["delete_brake"] = share(given["delete_brake"])
    told = {name: given[name] for name in ("reject_share", "deviation")}
    return found | {name: text if text == "none" else share(text) for name, text in told.items()}


def share(text: str | None) -> float | None:
    """A share that was typed: 20%, or 0.2."""
    from tidemill.errors import ConfigError

    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ConfigError("share", f"{text!r} is no share.", hint="Write 20%, or 0.2.") from None


@app.command(epilog="Example: tidemill sync edit crm --map name=full_name --resend")
def edit(
    name: str = _NAME,
    rename: str = typer.Option(None, help="A new name."),
    mode: str = typer.Option(None, help=f"What is delivered from now on: {_MODE}."),
    action: str = _FIXED,
    extraction: str = _FIXED,
    cursor: str = _FIXED,
    cursor_unit: str = CURSOR_UNIT,
    cursor_overlap: int = CURSOR_OVERLAP,
    map_: list[str] = _MAP,
    mapping: str = _MAPPING,
    resend: bool = typer.Option(False, "--resend", help="If the mapping changes: send all rows again, mapped anew."),
    leave: bool = typer.Option(
        False, "--leave", help="If the mapping changes: leave what was sent as it is. Other rows are sent, mapped anew."
    ),
    interval: str = _INTERVAL,
    time_zone: str = export_schedule.TIME_ZONE,
    offset: str = export_schedule.OFFSET,
    jitter: str = export_schedule.JITTER,
    pause_after: str = export_schedule.PAUSE_AFTER,
    delete_brake: str = _BRAKE,
    most_rejects: int = _MOST_REJECTS,
    reject_share: str = _REJECT_SHARE,
    deviation: str = _DEVIATION,
    max_bytes_billed: str = _BYTES,
    write_back: str = _WRITE_BACK,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change a sync. With --mapping it is a new mapping, with --map that of these fields alone."""
    given = locals()
    changes: dict[str, Any] = {name: given[name] for name in (*_FIELDS, "interval", "time_zone", "offset", "jitter")}
    changes |= {"name": rename, "pause_after": pause_after}
    changes |= {"write_back_days": write_back, **_sizes(given)}
    with named.app(name) as opened:
        syncs = opened.reverse_etl.syncs
        if map_ or mapping is not None:
            kept: dict[str, Any] = {} if mapping is not None else syncs.get(name).spec.mapping
            changes["mapping"] = {**kept, **mapped(map_, mapping)}
        reset = "resend" if resend else "leave" if leave else None
        before = syncs.get(name).spec.mode
        made = syncs.edit(name, changes, reset=reset)
    if as_json:
        output.print_json(made)
        return
    output.done(f"Sync {made.name} is changed.")
    if made.spec.mode != before:
        again = output.command("sync reset", made.name)
        output.note(f"What {before} noted, and did not send, is not made up for: {again} --resend sends all rows.")


@run_app.command(epilog="Example: tidemill sync run crm")
def start(
    name: str = _NAME,
    force: bool = typer.Option(False, "--force", help="Also if no table of the model has changed."),
    allow_deletes: bool = typer.Option(False, "--allow-deletes", help="However many rows it deletes."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Run a sync now, or go on with its run that was interrupted, and wait for its end.

    A run that was cancelled while nobody was at it is ended first. Ends with code 6 if rows were rejected, or are to be
    tried again.
    """
    with named.app(name) as opened:
        syncs = opened.reverse_etl.syncs
        over = sync_view.follow(
            name,
            lambda watch: syncs.run(name, watch, by=session.user(), force=force, deletes=allow_deletes),
        )
    sync_view.print_run(over, as_json=as_json)


@app.command(
    epilog="Example: tidemill sync trigger crm --wait\n\n"
    "After a run of dbt: tidemill sync trigger --after-dbt target/run_results.json"
)
def trigger(
    name: str = typer.Argument(None, help="Name of the sync."),
    after_dbt: str = typer.Option(
        None, help="A run_results.json instead: all syncs whose dbt model was built, and whose tests hold."
    ),
    project: str = typer.Option(None, help="With --after-dbt: the dbt project, if not all that have such models."),
    wait: bool = typer.Option(False, "--wait", help="Wait for its end; Ctrl-C leaves it at work."),
    force: bool = typer.Option(False, "--force", help="Also if no table of the model has changed."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Have a worker (tidemill serve, on any machine) run a sync, whether or not it has a schedule.

    If a run of it is at work, or waits, nothing more is begun. The same by HTTP: POST /api/v1/syncs/NAME/trigger.
    """
    if (name is None) == (after_dbt is None):
        raise typer.BadParameter("Give the name of a sync, or --after-dbt FILE.")
    if after_dbt is not None:
        sync_view.print_after_dbt(_after_dbt(after_dbt, project), as_json=as_json)
        return
    with named.app(name) as opened:
        sync_view.triggered(opened, name, wait=wait, force=force, as_json=as_json)


def _after_dbt(file: str, project: str | None) -> list[AfterRun]:
    with session.app() as opened:
        return opened.dbt_models.after(files.read(file), what=file, project=project, by=session.user())


@app.command(epilog="Example: tidemill sync preview crm")
def preview(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """A dry run: what would be sent, how many rows, and what the plan costs. Nothing is sent or remembered."""
    with named.app(name) as opened:
        found = sync_view.follow(name, lambda watch: opened.reverse_etl.trials.estimate(name, watch))
    sync_view.print_estimate(found, as_json=as_json)


@app.command("try", epilog="Example: tidemill sync try crm --key 42")
def try_(
    name: str = _NAME,
    key: str = typer.Option(None, help="The key of the row. Default: any that is to be sent."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Send one row, and show the request and the answer. The next run that gets so far sends it again, as the same."""
    with named.app(name) as opened:
        tried = sync_view.follow(name, lambda watch: opened.reverse_etl.trials.send_one(name, watch, key))
    sync_view.print_tried(tried, as_json=as_json)


@app.command("list", epilog="Example: tidemill sync list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List syncs: how each stands, and what its last run did."""
    with session.app() as opened:
        found = opened.reverse_etl.syncs.find()
    sync_view.print_syncs(found, as_json=as_json)


@app.command(epilog="Example: tidemill sync show crm")
def show(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show one sync."""
    with named.app(name) as opened:
        found = opened.reverse_etl.syncs.get(name)
    sync_view.print_sync(found, as_json=as_json)


@app.command(epilog="Example: tidemill sync runs crm")
def runs(
    name: str = typer.Argument(None, help="Name of the sync. Default: all."),
    limit: int = typer.Option(20, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List runs: what each found, and what became of it."""
    with named.app(name) as opened:
        found = opened.reverse_etl.syncs.runs(name, limit)
    sync_view.print_runs(found, as_json=as_json, of_all=name is None)


app.command("logs", epilog="Example: tidemill sync logs crm 12 --level warning")(sync_logs.of_sync)


@run_app.command("show", epilog="Example: tidemill sync run show crm 12")
def run_show(
    name: str = _NAME,
    number: int = typer.Argument(None, help="Its number. Default: the last one."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show one run."""
    with named.app(name) as opened:
        found = opened.reverse_etl.syncs.show_run(name, number)
    sync_view.print_run(found, as_json=as_json, whole=True)


@app.command(epilog="Example: tidemill sync pause crm")
def pause(name: str = _NAME) -> None:
    """Begin no run by itself any more. One that runs, ends; by hand it can be run."""
    with named.app(name) as opened:
        opened.reverse_etl.syncs.pause(name, session.user())
    output.done(f"Sync {name} is paused. Go on: {output.command('sync unpause', name)}")


@app.command(epilog="Example: tidemill sync unpause crm")
def unpause(name: str = _NAME) -> None:
    """Have runs begin by themselves again."""
    with named.app(name) as opened:
        opened.reverse_etl.syncs.unpause(name)
    output.done(f"Sync {name} runs again.")


@app.command(epilog="Example: tidemill sync reset crm --resend")
def reset(
    name: str = _NAME,
    resend: bool = typer.Option(False, "--resend", help="The next run sends all rows, as changed ones."),
    leave: bool = typer.Option(
        False, "--leave", help="The next run leaves rows that were delivered as they are, and sends the others."
    ),
    adopt: bool = typer.Option(
        False, "--adopt", help="The next run takes all rows as delivered, also such as never were, and sends none."
    ),
    forget: bool = typer.Option(False, "--forget", help="The next run sends all rows, as new ones."),
) -> None:
    """Have the next run begin anew with all rows."""
    from tidemill.errors import ConfigError

    hows = (("resend", resend), ("leave", leave), ("adopt", adopt), ("forget", forget))
    chosen = [how for how, wanted in hows if wanted]
    if len(chosen) != 1:
        raise ConfigError("reset", "Say how.", hint="One of --resend, --leave, --adopt and --forget.")
    with named.app(name) as opened:
        opened.reverse_etl.syncs.reset(name, chosen[0])
    output.done(f"The next run of {name} begins anew ({chosen[0]}).")


@app.command(epilog="Example: tidemill sync cancel crm")
def cancel(name: str = _NAME) -> None:
    """Ask the run of a sync to stop. What it has delivered is remembered."""
    with named.app(name) as opened:
        found, at_work = opened.reverse_etl.syncs.cancel(name)
    output.done(f"Run {found.number} of {name} is asked to stop.")
    if not at_work:
        output.note(f"No process is at it. {output.command('sync run', name)} ends it, and begins a new one.")


@app.command(epilog="Example: tidemill sync delete crm --yes")
def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Delete a sync, with its runs and what is remembered of its rows. Nothing is deleted in the destination."""
    with named.app(name) as opened:
        opened.reverse_etl.syncs.get(name)
        if not yes:
            asking.confirm(f"Delete the sync {name}?")
        remark = opened.reverse_etl.syncs.delete(name)
    output.done(f"Sync {name} is deleted.")
    if remark:
        output.note(remark)
