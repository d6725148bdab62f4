"""`tidemill sync rejects`: rows that a sync could not deliver."""

from __future__ import annotations

from pathlib import Path

import typer

from tidemill.cli import output, session

app = typer.Typer(no_args_is_help=True, help="Rows that could not be delivered, each with its reason.")

_NAME = typer.Argument(help="Name of the sync.")
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
    with session.app() as opened:
        found = list(opened.reverse_etl.rejects.find(name, text=text, code=code, limit=limit))
    if as_json:
        output.print_json(found)
        return
    rows = [(r.key, r.op, r.status, r.code, r.message, r.tries, r.last_run, r.last_at) for r in found]
    columns = ("KEY", "ROW WAS", "STATUS", "REASON", "MESSAGE", "TRIES", "LAST RUN", "AT")
    output.print_table(columns, rows, empty="No rows: all that were to be delivered are.")


@app.command("export", epilog="Example: tidemill sync rejects export crm --out refused.jsonl")
def export(
    name: str = _NAME,
    out: Path = typer.Option(..., help="The file to write: a JSON object a line."),
    code: str = _CODE,
    text: str = _TEXT,
) -> None:
    """Write rows that were not delivered to a file, with their reasons."""
    with session.app() as opened:
        number = opened.reverse_etl.rejects.export(name, out, text=text, code=code)
    output.done(f"{output.number(number, 'row')} written to {out}.")


@app.command(epilog="Example: tidemill sync rejects retry crm")
def retry(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Run the sync now, also if nothing has changed: rows that were not delivered are tried again."""
    from tidemill.cli import sync_view

    with session.app() as opened:
        syncs = opened.reverse_etl.syncs
        over = sync_view.follow(name, lambda watch: syncs.run(name, watch, by=session.user(), force=True))
    sync_view.print_run(over, as_json=as_json)


@app.command(epilog="Example: tidemill sync rejects drop crm --code webhook_rejected --yes")
def drop(
    name: str = _NAME,
    key: list[str] = typer.Option([], help="The key of a row. May be repeated."),
    code: str = _CODE,
    text: str = _TEXT,
    everything: bool = typer.Option(False, "--all", help="All of them."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Give rows up, as they are: they are sent when they have changed."""
    with session.app() as opened:
        if not yes:
            typer.confirm("They are not tried again until they change. Give them up?", abort=True)
        chosen = "" if everything and text is None else text
        number = opened.reverse_etl.rejects.drop(name, keys=tuple(key), text=chosen, code=code)
    output.done(f"{output.number(number, 'row')} given up.")
