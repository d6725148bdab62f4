"""`tidemill sync rejects`: rows that a sync could not deliver."""

from __future__ import annotations

from pathlib import Path

import typer

from tidemill.cli import asking, named, output, session, sync_view

app = typer.Typer(no_args_is_help=True, help="Rows that could not be delivered, each with its reason.")

_NAME = typer.Argument(help="Name of the sync.")
_KEY = typer.Option([], help="The key of a row, as it is listed. May be repeated.")
_CODE = typer.Option(None, help="Only with this reason, such as mapping_failed.")
_TEXT = typer.Option(None, help="Only with this text in the key or the message.")


@app.command("list", epilog="Example: tidemill sync rejects list crm --text plan")
def list_(
    name: str = _NAME,
    code: str = _CODE,
    text: str = _TEXT,
    limit: int = typer.Option(50, min=1, callback=output.held, help="How many, by key."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List rows that were not delivered. Each comes again with the next run, as it is then."""
    with named.app(name) as opened:
        found = list(opened.reverse_etl.rejects.find(name, text=text, code=code, limit=limit))
        missing = opened.reverse_etl.rejects.missing(name)
    if as_json:
        output.print_json(found)
        return
    rows = [(r.key, r.op, r.status, r.code, r.message, r.tries, r.last_run, r.last_at) for r in found]
    columns = ("KEY", "ROW WAS", "STATUS", "REASON", "MESSAGE", "TRIES", "LAST RUN", "AT")
    output.print_table(columns, rows, empty="No rows: all that were to be delivered are.")
    if missing:
        output.note(missing)


@app.command("export", epilog="Example: tidemill sync rejects export crm --out refused.jsonl")
def export(
    name: str = _NAME,
    out: Path = typer.Option(..., help="The file to write: a JSON object a line."),
    code: str = _CODE,
    text: str = _TEXT,
) -> None:
    """Write rows that were not delivered to a file, with their reasons."""
    with named.app(name) as opened:
        number = opened.reverse_etl.rejects.export(name, out, text=text, code=code)
        missing = opened.reverse_etl.rejects.missing(name)
    output.done(f"{output.number(number, 'row')} written to {out}.")
    if missing:
        output.note(missing)


@app.command(epilog="Example: tidemill sync rejects retry crm --code webhook_rejected")
def retry(
    name: str = _NAME,
    key: list[str] = _KEY,
    code: str = _CODE,
    text: str = _TEXT,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Try these rows again now, as they are now: all that were not delivered, or those that are chosen.

    Others stay as they are, and so does what has changed since: sync run has it all. Ends with code 6 if some are
    not delivered again.
    """
    with named.app(name) as opened:
        rejects = opened.reverse_etl.rejects
        over = sync_view.follow(
            name, lambda watch: rejects.retry(name, watch, by=session.user(), keys=key, text=text, code=code)
        )
    if over is None:
        if as_json:
            output.print_json(None)
        else:
            output.done(f"{name}: there is no such row.")
        return
    sync_view.print_run(over, as_json=as_json)


@app.command(epilog="Example: tidemill sync rejects drop crm --code webhook_rejected --yes")
def drop(
    name: str = _NAME,
    key: list[str] = _KEY,
    code: str = _CODE,
    text: str = _TEXT,
    everything: bool = typer.Option(False, "--all", help="All of them."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Give rows up, as they are: they are sent when they have changed."""
    chosen = "" if everything and text is None else text
    with named.app(name) as opened:
        rejects = opened.reverse_etl.rejects
        rejects.assert_chosen(keys=key, text=chosen, code=code)
        number = rejects.number(name, keys=key, text=chosen, code=code)
        if number and not yes:
            rows = output.number(number, "row")
            asking.confirm(f"{rows} of {name}: not tried again until changed. Give up?")
        number = rejects.drop(name, keys=key, text=chosen, code=code) if number else 0
    output.done(f"{output.number(number, 'row')} given up." if number else f"{name}: there is no such row.")
