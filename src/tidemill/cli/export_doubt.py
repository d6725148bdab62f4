"""`tidemill export settle`: after a restore, the user says that nothing comes twice."""

from __future__ import annotations

import typer

from tidemill.cli import asking, output, session


def settle(
    name: str = typer.Argument(help="Name of the export."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
) -> None:
    """After a restore: have rows appended, or streamed, again, instead of merged.

    A table may hold rows that came after the backup and that the restored installation does not know. They would be
    there twice if they came again: from files that are loaded once more, or from senders that kept what was not
    answered. Where tidemill export verify finds no such row, this is done by itself.
    """
    with session.app() as opened:
        export = opened.exports.get(name)
        if export.in_doubt_since and not yes:
            output.note(
                f"{export.target} may hold rows of after {export.in_doubt_since:%Y-%m-%d %H:%M} UTC. If such a row is "
                "sent to Tidemill once more, it is there twice from now on."
            )
            asking.confirm("Go on?", err=True)
        opened.exports.tables.settle(name)
    output.done(f"Export {name} does not merge any more because of the restore.")
