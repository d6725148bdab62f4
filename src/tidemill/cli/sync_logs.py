"""`tidemill sync logs`: what runs of syncs tell of themselves."""

from __future__ import annotations

import typer

from tidemill.cli import log_lines, named, output

_STEP = typer.Option(None, help="Only of this step: plan, deliver, commit, write, end, schedule.")


def of_sync(
    name: str = typer.Argument(help="Name of the sync."),
    number: int = typer.Argument(
        None, metavar="[RUN]", help="Number of the run. Default: the last one that had something to do."
    ),
    level: str = log_lines.LEVEL,
    step: str = _STEP,
    search: str = log_lines.SEARCH,
    since: str = log_lines.SINCE,
    limit: int = log_lines.LIMIT,
    follow: bool = log_lines.FOLLOW,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what a run told while it was at work: its steps with rows, bytes and BigQuery jobs, retries, waits, errors.

    Followed, it ends with the run, or goes on with those that come if none is named; with --json a line is an object.
    """
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    with named.app(name) as opened:
        logs = opened.reverse_etl.logs
        if follow:
            log_lines.follow(logs.follow(name, number, **wanted), as_json, runs=number is None)
        else:
            log_lines.show(logs.of(name, number, **wanted), as_json, runs=number is None)
