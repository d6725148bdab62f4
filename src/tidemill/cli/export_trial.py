"""`tidemill export test`: a test upload of an export's own rows, of which nothing stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidemill.cli import output, session, steps

if TYPE_CHECKING:
    from tidemill.exports.trial.views import Uploaded

#: What is shown of a value, and how many columns of a row.
_CHARACTERS, _COLUMNS = 36, 5


def test(name: str = typer.Argument(help="Name of the export."), as_json: bool = output.JSON_OPTION) -> None:
    """Load the newest rows of an export, 100 at most, into a scratch table beside the target, and read them back.

    Columns, types and conversion are those of its runs. Nothing is billed. The scratch table is deleted, and the
    export's table, runs and position stay as they are. Ends with code 3 if a step fails.
    """
    found: list[Uploaded] = []
    with session.app() as opened:
        good = steps.show(
            opened.exports.trials.saved(name, told=found.append),
            as_json=as_json,
            more=lambda: {"upload": found[0] if found else None},
        )
    if found and not as_json:
        _show(found[0])
    if not good:
        raise typer.Exit(3)


def _show(upload: Uploaded) -> None:
    if upload.first:
        places = range(min(_COLUMNS, len(upload.columns)))
        rows = [[_cut(row[place]) for place in places] for row in upload.first]
        output.print_table([upload.columns[place] for place in places], rows, empty="")
    for reason in upload.reasons:
        output.note(f"{reason.id} would be set aside: {reason.message} [{reason.code}]")
    output.say(f"{output.number(upload.rows, 'row')} of the export in {upload.seconds:.1f} s.")


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
