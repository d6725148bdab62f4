"""`tidemill export pause` and `unpause`, and the options of a schedule."""

from __future__ import annotations

import typer

from tidemill.cli import output, session

#: Options that are called as the fields of a schedule that they give.
OPTIONS = ("interval", "time_zone", "offset", "jitter", "start_at", "end_at", "missed", "pause_after")
TIME_ZONE = typer.Option(None, help="Whose days and weeks; such as Europe/Berlin. Default: UTC.")
OFFSET = typer.Option(None, help="How long after the beginning of an hour, day or week (Monday): 30m, 3h, 1d6h.")
JITTER = typer.Option(None, help="Begin up to so much later, each time another: 2m. Default: none.")
START_AT = typer.Option(None, help="No interval before this date or time; none to clear.")
END_AT = typer.Option(None, help="No interval after this date or time; none to clear.")
MISSED = typer.Option(None, help="Intervals in which nothing ran: each (a run for each) or join. Default: each.")
PAUSE_AFTER = typer.Option(
    None, help="Pause after so many failures: 10; 10/2d for ten in two days; none. Default: 10 within 20 intervals."
)


def pause(name: str = typer.Argument(help="Name of the export.")) -> None:
    """Begin no run of an export any more by itself. One that runs, ends; by hand it can be run.

    Nothing is lost: what comes meanwhile is exported when it is unpaused.
    """
    with session.app() as opened:
        export = opened.exports.schedules.pause(name, session.user())
    output.done(f"Export {export.name} is paused. Go on: tidemill export unpause {export.name}")


def unpause(
    name: str = typer.Argument(help="Name of the export."),
    skip: bool = typer.Option(
        False, "--skip", help="Leave out what came while it was paused. A backfill can bring it in later."
    ),
) -> None:
    """Have the runs of an export begin by themselves again.

    The intervals of the pause are run, each or joined, as those of any other time in which nothing ran.
    """
    with session.app() as opened:
        rows = opened.exports.schedules.unpause(name, skip=skip)
    output.done(f"Export {name} runs again.")
    if skip:
        what = output.number(rows, "row")
        output.note(
            f"{what} that came meanwhile are left out. tidemill export backfill {name} --from … brings them in."
        )
