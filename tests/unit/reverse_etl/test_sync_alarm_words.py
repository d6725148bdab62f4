"""What people are told of syncs: the reason, what happens next, and what to do."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from tidemill.reverse_etl import alarms
from tidemill.store.records_notify import Cause

NOW = dt.datetime(2026, 11, 20, 9, 5, tzinfo=dt.UTC)
DENIED = {
    "code": "permission_missing",
    "message": "The permission bigquery.tables.getData is missing on the table p.d.t.",
    "hint": "Grant it: GRANT …",
}


@dataclasses.dataclass(frozen=True)
class Named:
    """What is told of."""

    name: str
    group: str = "sync"


MINE, CRM = Named("my sync"), Named("crm")


def test_an_import_is_looked_after_by_commands_of_its_own() -> None:
    mine = Named("sign-ups", "import")
    told = [
        alarms.failed(mine, DENIED, NOW, 1, None),
        alarms.paused(mine, DENIED, 1),
        alarms.overdue(mine, NOW),
        alarms.rejects(mine, 10, 0.0, [("property_type", "no", 5)]),
        alarms.deviation(mine, 1000, [1] * 10, 0.5),
    ]
    commands = [one for alarm in told if alarm for one in alarm.commands]
    assert "tidemill import unpause sign-ups" in commands
    assert {one.split()[1] for one in commands} == {"import", "doctor"}


def test_a_failure_names_the_permission_when_it_is_run_again_and_when_it_is_paused() -> None:
    alarm = alarms.failed(MINE, DENIED, NOW, 8, 10)
    assert (alarm.permission, alarm.hint) == ("bigquery.tables.getData", DENIED["hint"])
    assert alarm.then == (
        "It is run again at 2026-11-20 09:05 UTC. What was not delivered comes with the next run. "
        "After 2 more failures it is paused."
    )
    assert "tidemill sync run 'my sync'" in alarm.commands
    assert alarms.failed(CRM, DENIED, NOW, 10, 10).then == "It is paused now."
    assert "paused" not in alarms.failed(CRM, DENIED, NOW, 10, None).then
    assert alarms.failed(CRM, DENIED, None, 1, None).then.startswith("It is not run again by itself.")


def test_a_pause_says_how_to_go_on() -> None:
    alarm = alarms.paused(CRM, DENIED, 10)
    assert alarm.message.startswith("It failed 10 times. The permission")
    assert alarm.permission == "bigquery.tables.getData"
    assert "tidemill sync unpause crm" in alarm.commands
    assert alarms.paused(CRM, None, 1).message == "It failed once."


@pytest.mark.parametrize(
    ("rows", "refused", "share", "told"),
    [
        (1000, 10, 0.01, False),
        (1000, 11, 0.01, True),
        (10, 0, 0.0, False),
        (10, 1, 0.0, True),
        (10, 10, 1.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_refused_rows_are_told_above_the_share_with_their_reasons(
    rows: int, refused: int, share: float, told: bool
) -> None:
    reasons = [("webhook_rejected", "no such plan", refused)] if refused else []
    alarm = alarms.rejects(CRM, rows, share, reasons)
    assert (alarm is not None) == told
    if alarm:
        assert f"{refused} of {rows:,} rows were refused" in alarm.message
        assert alarm.message.endswith(f" {refused} with webhook_rejected: no such plan.")


@pytest.mark.parametrize(
    ("rows", "usual", "share", "told"),
    [
        (100, [100] * 10, 0.5, None),
        (150, [100] * 10, 0.5, None),
        (151, [100] * 10, 0.5, "51% more"),
        (49, [100] * 10, 0.5, "51% less"),
        (0, [100] * 10, 0.5, "100% less"),
        (100, [100, 100, 100, 100, 9_000], 0.5, None),
        (9_000, [100] * 4, 0.5, None),
        (0, [0] * 10, 0.5, None),
        (1, [0] * 10, 0.5, "The median of the last 10 runs is 0, and"),
        (500, [100] * 10, 5.0, None),
        (9, [2, 3, 2, 3, 2, 3], 0.1, "is 2.5: 260% more, and more than 10% is told."),
    ],
)
def test_a_number_of_rows_is_told_that_is_far_from_the_median_of_the_last_runs(
    rows: int, usual: list[int], share: float, told: str | None
) -> None:
    alarm = alarms.deviation(CRM, rows, usual, share)
    assert (alarm is None) == (told is None)
    if alarm and told:
        assert told in alarm.message
        assert alarm.cause == Cause.DEVIATION
