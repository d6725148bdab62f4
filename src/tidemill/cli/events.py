"""`tidemill events`: load events from files, look at them, mend what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from tidemill.cli import asking, event_store, output, progress, session

app = typer.Typer(no_args_is_help=True, help="Load events from files, look at them, mend what was refused.")
rejects_app = typer.Typer(no_args_is_help=True, help="Events that were set aside, each with its reason.")
app.add_typer(rejects_app, name="rejects")
app.add_typer(event_store.app, name="store")

FORMATS = "auto, posthog, segment, amplitude, mixpanel, jsonl, csv, parquet"


def mapping(maps: list[str], event: str | None) -> dict[str, str]:
    """``--map FIELD=COLUMN`` and ``--event NAME`` as the fields of a mapping."""
    from tidemill.errors import ConfigError

    fields: dict[str, str] = {}
    for item in maps:
        field, equals, column = item.partition("=")
        if not equals or not field or not column:
            raise ConfigError("mapping", f"--map {item} is not FIELD=COLUMN.", hint="For example --map timestamp=time.")
        fields[field.strip()] = column.strip()
    if event is not None:
        fields["event_name"] = event
    return fields


@app.command(epilog="Example: tidemill events load export.json.gz --format amplitude")
def load(
    files: list[str] = typer.Argument(help="Files, plain, gzip or zip; - for standard input."),
    format_: str = typer.Option("auto", "--format", help=f"One of {FORMATS}."),
    team: int = typer.Option(
        None, min=0, callback=output.held, help="Team (project) of all events. Default: each event's own, else 1."
    ),
    maps: list[str] = typer.Option([], "--map", help="For jsonl, csv, parquet: FIELD=COLUMN, such as timestamp=time."),
    event: str = typer.Option(None, help="For jsonl, csv, parquet: one event name for all rows."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Load events. What is in the store already is not added again; a bad line is set aside, the rest goes in."""
    from tidemill.errors import ConfigError

    results: list[Any] = []
    failed: list[ConfigError] = []
    told = mapping(maps, event)
    # Who parses is busier than who writes; and what one thread writes lies in order, so that streams need not sort it.
    with session.app(threads=1) as opened, progress.bar("Loading") as bar:
        for file in files:
            try:
                result = opened.events.load(file, format_, team_id=team, mapping=told, progress=bar.loading)
            except ConfigError as error:
                failed.append(error)
                if len(files) > 1:  # the others may be good
                    output.print_error(error)
                continue
            except KeyboardInterrupt:
                output.say(f"\n{file}: stopped. What was committed is in; type it again, and it goes on from there.")
                raise
            results.append(result)
            bar.line(_summary(result))
            for remark in result.notes:
                output.note(remark)
    if len(files) == 1 and failed:
        raise failed[0]
    if as_json:
        output.print_json(results)
    refused = sum(result.rejects for result in results)
    if refused:
        output.say(f"{refused:,} set aside; see them with: tidemill events rejects list")
    if failed:
        output.say(f"Not loaded to their end, for the reasons above: {len(failed)} of {len(files)} files.")
        raise typer.Exit(failed[0].exit_code)


def _summary(result: Any) -> str:
    if result.already_loaded:
        return f"{result.file}: was loaded before; nothing to add."
    parts = [f"{output.number(result.rows, 'event')} added"]
    if result.duplicates:
        parts.append(f"{result.duplicates:,} known already")
    if result.rejects:
        parts.append(f"{result.rejects:,} set aside")
    rate = f"{output.number(round(result.rows / result.seconds), 'row')}/s" if result.seconds else ""
    return f"{result.file}: {', '.join(parts)} ({result.format}, {result.seconds:.1f} s, {rate})"


@app.command(epilog="Example: tidemill events show --event sign_up --limit 5")
def show(
    limit: int = typer.Option(10, min=1, max=10_000, help="How many, newest first."),
    event: str = typer.Option(None, help="Only events of this name."),
    distinct_id: str = typer.Option(None, help="Only events of this distinct_id."),
    uuid: str = typer.Option(None, help="Only the event with this uuid."),
    team: int = typer.Option(None, min=0, callback=output.held, help="Only events of this team."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show events of the store, newest first."""
    with session.app() as opened:
        rows = opened.events.show(limit=limit, event=event, distinct_id=distinct_id, uuid=uuid, team_id=team)
    if as_json:
        output.print_json(rows)
        return
    cells = [(r["timestamp"], r["event"], r["distinct_id"], r["uuid"], _short(r["properties"])) for r in rows]
    output.print_table(("TIME", "EVENT", "DISTINCT ID", "UUID", "PROPERTIES"), cells, empty="No events.")


def _short(text: str | None, width: int = 60) -> str:
    text = text or ""
    return text if len(text) <= width else text[: width - 1] + "…"


@app.command(epilog="Example: tidemill events count --by event")
def count(
    by: str = typer.Option(None, help="One of event, team, day."),
    team: int = typer.Option(None, min=0, callback=output.held, help="Only events of this team."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Count the events of the store."""
    with session.app() as opened:
        found = opened.events.count(by=by, team_id=team)
    if as_json:
        output.print_json([{"value": value, "events": events} for value, events in found] if by else found[0][1])
    elif by:
        output.print_table((by.upper(), "EVENTS"), found, empty="No events.")
    else:
        output.out.print(f"{found[0][1]:,}")


@app.command(epilog="Example: tidemill events compact")
def compact(as_json: bool = output.JSON_OPTION) -> None:
    """Join small files of the event store into larger ones. Safe while others load and export."""
    with session.app() as opened:
        result = opened.events.compact()
    if as_json:
        output.print_json(result)
    else:
        output.done(f"{output.number(result.files_after, 'file')} now, {result.files_before:,} before.")


@rejects_app.command("list", epilog="Example: tidemill events rejects list --code json_invalid")
def rejects_list(
    code: str = typer.Option(None, help="Only with this reason."),
    limit: int = typer.Option(50, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List events that were set aside: where each was, and why."""
    with session.app() as opened:
        found = opened.events.rejects(code=code, limit=limit)
    if as_json:
        output.print_json(found)
        return
    rows = [(r.id, r.place, r.code, r.message, _short(r.raw.decode("utf-8", "replace"), 40)) for r in found]
    output.print_table(("ID", "WHERE", "REASON", "MESSAGE", "TEXT"), rows, empty="Nothing is set aside.")


@rejects_app.command("export", epilog="Example: tidemill events rejects export --out rejects.jsonl")
def rejects_export(
    out: Path = typer.Option(..., help="The file to write: the texts as they came, one a line."),
    code: str = typer.Option(None, help="Only with this reason."),
) -> None:
    """Write the texts that were set aside to a file: mend it, then load it."""
    with session.app() as opened:
        number = opened.events.export_rejects(out, code=code)
    output.done(f"{number:,} written to {out}. Mend them, then: tidemill events load {out}")


@rejects_app.command(
    "retry", epilog="Example: tidemill events rejects retry --code timestamp_missing --map timestamp=ts"
)
def rejects_retry(
    code: str = typer.Option(None, help="Only with this reason."),
    maps: list[str] = typer.Option([], "--map", help="For jsonl, csv, parquet: FIELD=COLUMN."),
    event: str = typer.Option(None, help="For jsonl, csv, parquet: one event name for all rows."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Read the texts that were set aside once more, with another mapping if you like."""
    with session.app() as opened:
        result = opened.events.retry_rejects(code=code, mapping=mapping(maps, event))
    if as_json:
        output.print_json(result)
    else:
        output.done(f"{result.rows:,} added, {result.duplicates:,} known already, {result.rejects:,} still set aside.")


@rejects_app.command("dismiss", epilog="Example: tidemill events rejects dismiss --code json_invalid --yes")
def rejects_dismiss(
    ids: list[int] = typer.Argument(None, callback=output.held, help="Their ids, as rejects list shows them."),
    code: str = typer.Option(None, help="All with this reason."),
    everything: bool = typer.Option(False, "--all", help="All."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """List them no longer, after they were mended, or if nobody needs them."""
    from tidemill.errors import ConfigError

    if bool(ids) + bool(code) + everything != 1:
        raise ConfigError("rejects_unclear", "Say which ones.", hint="Give ids, or --code REASON, or --all.")
    if not yes:
        asking.confirm("List them no longer?")
    with session.app() as opened:
        number = opened.events.dismiss_rejects(code=code, ids=ids or [])
    output.done(f"{number:,} dismissed.")
