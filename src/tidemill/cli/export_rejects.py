"""`tidemill export rejects`: rows that runs could not deliver."""

from __future__ import annotations

from pathlib import Path

import typer

from tidemill.cli import asking, output, runs_view, session

app = typer.Typer(no_args_is_help=True, help="Rows that runs could not deliver, each with its reason.")

_NAME = typer.Argument(help="Name of the export.")
_RUN = typer.Option(None, "--run", help="Only those of this run: its id, or the beginning of it.")
_CODE = typer.Option(None, help="Only with this reason, such as row_too_large.")
_WIDTH = 40


@app.command("list", epilog="Example: tidemill export rejects list daily --code row_too_large")
def list_(
    name: str = typer.Argument(None, help="Name of the export. Default: all exports."),
    run: str = _RUN,
    code: str = _CODE,
    limit: int = typer.Option(50, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List rows that were set aside and that no later run tried again. Their events are in the store."""
    with session.app() as opened:
        found = opened.exports.set_aside.find(name, run_id=run, code=code, limit=limit)
    if as_json:
        output.print_json(found)
        return
    rows = [(r.export, r.run, r.uuid, r.code, r.message, r.text[:_WIDTH]) for r in found]
    output.print_table(("EXPORT", "RUN", "EVENT", "REASON", "MESSAGE", "TEXT"), rows, empty="Nothing is set aside.")


@app.command("export", epilog="Example: tidemill export rejects export daily --out rejected.jsonl")
def export(
    name: str = _NAME,
    out: Path = typer.Option(..., help="The file to write: the events, one a line."),
    run: str = _RUN,
    code: str = _CODE,
) -> None:
    """Write the events of these rows to a file. Mended and loaded, they are new events, and the next run sends them."""
    with session.app() as opened:
        number = opened.exports.set_aside.export(name, out, run_id=run, code=code)
    output.done(f"{number:,} written to {out}. Mend them, then: tidemill events load {out} --format posthog")


@app.command("dismiss", epilog="Example: tidemill export rejects dismiss daily --run 01a2b3c4 --yes")
def dismiss(
    name: str = _NAME,
    run: str = _RUN,
    code: str = _CODE,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """List these rows no longer, because you have seen to them. Their events stay in the store."""
    with session.app() as opened:
        if not yes:
            asking.confirm("They will not be listed or tried again. Dismiss them?")
        number = opened.exports.set_aside.dismiss(name, run_id=run, code=code)
    output.done(f"{number:,} dismissed.")


@app.command("retry", epilog="Example: TIDEMILL_MAX_ROW_BYTES=90000000 tidemill export rejects retry daily")
def retry(name: str = _NAME, run: str = _RUN, code: str = _CODE, as_json: bool = output.JSON_OPTION) -> None:
    """Try these rows again, with the settings of now. What the table holds already is not added twice.

    Ends with code 6 if some of them cannot be sent now either: they are set aside anew.
    """
    with session.app() as opened:
        exports = opened.exports
        views = runs_view.follow(
            lambda report: exports.set_aside.retry(name, run_id=run, code=code, by=session.user(), progress=report),
            exports,
            name,
            as_json,
        )
    if not views and not as_json:
        output.done(f"{name}: nothing is set aside.")
    runs_view.refuse(views)
