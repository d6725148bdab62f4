"""`tidemill export verify`: is all in the table that should be, each row once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidemill.cli import export_backfill, output, progress, runs_view, session
from tidemill.documents import page

if TYPE_CHECKING:
    from tidemill.exports.service import ExportService
    from tidemill.exports.verify import Verified

DIFFERENT = 1
_SHOWN = 50


def verify(
    name: str = typer.Argument(help="Name of the export."),
    days: int = typer.Option(None, min=1, max=36_500, help="Only so many of the last days, today with them."),
    repair: bool = typer.Option(False, "--repair", help="Backfill the days that differ, and verify again."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Hold the table against the event store: rows and a checksum of their ids, day by day, by one query.

    Ends with code 1 if they differ. --repair brings in what the table lacks; rows that it has too many stay, and are
    named.
    """
    from tidemill.errors import ConfigError

    with session.app() as opened:
        exports = opened.exports
        try:
            found = exports.tables.verify(name, days=days, by=session.user())
        except ConfigError as error:
            if error.code != "verify_before_run" or not export_backfill.nothing_yet(opened, name):
                raise
            _nothing(exports, name, as_json)
            return
        repaired = bool(repair and found.different and _repaired(exports, name, found, as_json))
        if repaired:
            found = exports.tables.verify(name, days=days, by=session.user())
    if as_json:
        output.print_json(found)
    else:
        told(found, repaired=repaired)
    if found.different:
        raise typer.Exit(DIFFERENT)


def _nothing(exports: ExportService, name: str, as_json: bool) -> None:
    """Say that there is nothing that a table could hold."""
    from tidemill.exports.verify import Verified

    said = f"There are no rows for {name} yet: nothing was exported, nothing waits, and no table was looked at."
    if as_json:
        output.print_json(Verified(name, exports.get(name).target, None, 0, 0, 0, (), 0, (said,)))
    else:
        output.done(said)


def daily(exports: ExportService, name: str, as_json: bool) -> bool:
    """Today's verification, if it is due. Whether the table is as it should be, as far as that was looked at."""
    with runs_view.interruptible(exports, "Stopping the verification"), progress.bar(f"Repairing {name}") as bar:
        found = exports.tables.verify_daily(name, by=session.user(), progress=bar.filling)
    if found and not as_json:
        output.say("Verified, as once a day:")
        told(found)
    return found is None or not found.different


def _repaired(exports: ExportService, name: str, found: Verified, as_json: bool) -> bool:
    """Whether there was something that a backfill could bring in."""
    estimate = exports.tables.repair(name, found)
    if estimate is None:
        return False
    if not as_json:
        told(found, repairing=True)
    with runs_view.interruptible(exports, "Pausing the backfill"), progress.bar(f"Repairing {name}") as bar:
        view = exports.backfills.begin(name, estimate, by=session.user(), parallel=2, progress=bar.filling)
    if not as_json or view.status != "completed":
        export_backfill.told(view)
    export_backfill.end(view)
    return True


def told(found: Verified, *, repairing: bool = False, repaired: bool = False) -> None:
    """Say what was found. `repairing`: and is about to be brought in; `repaired`: after that was done."""
    for note in found.notes:
        output.note(note)
    held, differing = output.number(found.rows, "row"), len(found.different)
    span = f" since {found.since}" if found.since else ""
    billed = f" ({output.size(found.bytes_billed)} billed)" if found.bytes_billed else ""
    if not found.different:
        aside = f"; {output.number(found.set_aside, 'row')} set aside" if found.set_aside else ""
        output.done(f"{found.table}{span}: {held}, each there once, none missing{aside}{billed}.")
        return
    columns = ("DAY", "EXPECTED", "ROWS", "MISSING", "DUPLICATED", "NOT EXPECTED", "IDS")
    rows = [
        (str(d.day or "all"), d.expected, d.rows, d.missing, d.duplicated, d.foreign, "same" if d.same else "differ")
        for d in found.different[:_SHOWN]
    ]
    output.print_table(columns, rows, empty="")
    if differing > _SHOWN:
        output.say(f"And {output.number(differing - _SHOWN, 'more day')}: --json shows all.")
    differ = f"{differing:,} of {output.number(found.days, 'day')} {'differs' if differing == 1 else 'differ'}"
    output.say(f"{found.table}{span}: {held}, {found.expected:,} expected; {differ}{billed}.")
    if not repairing and not repaired and any(day.missing or not day.same for day in found.different):
        output.say(f"Bring in what is missing: tidemill export verify {found.export} --repair")
    if any(day.duplicated or day.foreign for day in found.different):
        output.note(
            "Rows that are there twice, or that Tidemill did not send, are not removed: see " + page("howto/verify.md")
        )
