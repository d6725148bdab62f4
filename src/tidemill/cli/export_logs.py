"""`tidemill export run logs` and `tidemill export logs`: what runs tell of themselves."""

from __future__ import annotations

import typer

from tidemill.cli import log_lines, output, session

_STEP = typer.Option(None, help="Only of this step: plan, prepare, move, send, commit, merge, log, complete, …")


def of_run(
    run_id: str = typer.Argument(help="Id of the run, or its beginning."),
    level: str = log_lines.LEVEL,
    step: str = _STEP,
    search: str = log_lines.SEARCH,
    since: str = log_lines.SINCE,
    limit: int = log_lines.LIMIT,
    follow: bool = log_lines.FOLLOW,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what a run told while it was at work: its steps with rows, bytes and BigQuery jobs, retries, waits, errors.

    Followed, it ends with the run; with --json a line is an object then.
    """
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    with session.app() as opened:
        if follow:
            log_lines.follow(opened.exports.logs.follow_run(run_id, **wanted), as_json, runs=False)
        else:
            log_lines.show(opened.exports.logs.of_run(run_id, **wanted), as_json, runs=False)


def of_export(
    name: str = typer.Argument(help="Name of the export."),
    level: str = log_lines.LEVEL,
    step: str = _STEP,
    search: str = log_lines.SEARCH,
    since: str = log_lines.SINCE,
    limit: int = log_lines.LIMIT,
    follow: bool = log_lines.FOLLOW,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what the last run of an export told that had something to do, and what was told since of no run.

    Followed, it goes on with the runs that come; with --json a line is an object then.
    """
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    with session.app() as opened:
        if follow:
            log_lines.follow(opened.exports.logs.follow_export(name, **wanted), as_json, runs=True)
        else:
            log_lines.show(opened.exports.logs.of_export(name, **wanted), as_json, runs=True)
