"""How the command line says things: numbers of things, how a backfill ended, what a model is."""

from __future__ import annotations

import datetime as dt
import typing
import uuid

import pytest
import typer
from typer.testing import CliRunner

from tidemill.bigquery import grants
from tidemill.cli import connection, export_backfill, export_verify, output
from tidemill.cli.main import app
from tidemill.exports import views
from tidemill.exports.backfill import BackfillView
from tidemill.exports.estimate import Estimate
from tidemill.exports.verify import Day, Verified

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_one_is_one_and_all_other_numbers_are_many() -> None:
    assert [output.number(count, "row") for count in (0, 1, 2, 2_000)] == ["0 rows", "1 row", "2 rows", "2,000 rows"]


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        ("failed", "The backfill of visits has failed: 0 of 1 interval, 0 of 1 row.", 1),
        ("paused", "The backfill of visits is paused: 0 of 1 interval, 0 of 1 row.", 130),
        ("cancelled", "The backfill of visits is cancelled: 0 of 1 interval, 0 of 1 row.", 130),
        ("running", "The backfill of visits is running: 0 of 1 interval, 0 of 1 row.", 5),
    ],
)
def test_how_a_backfill_ended(status: str, said: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    times = (NOW, None, "day")
    view = BackfillView(uuid.uuid4(), "visits", status, *times, 1, 0, 0, 0.0, 1, 0, NOW, "t", None, (), "Do that.")
    export_backfill.told(view)
    told = capsys.readouterr().err
    assert said in told
    assert "What to do: Do that." in told
    with pytest.raises(typer.Exit) as caught:
        export_backfill.end(view)
    assert caught.value.exit_code == code


def test_days_that_are_verified() -> None:
    assert [views._days(number) for number in (None, 0, 1, 7)] == ["no", "all days", "the last day", "the last 7 days"]


def test_an_estimate_of_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    found = Estimate("visits", NOW, None, "day", ((NOW, None, 1),), 1, 100)
    export_backfill._estimated(found, as_json=False)
    assert "1 row in 1 interval (day) that has some, about 100 B." in capsys.readouterr().err


def test_who_repairs_is_not_told_to_repair(capsys: pytest.CaptureFixture[str]) -> None:
    day = Day(NOW.date(), 2, 1, 1, 0, 0, same=False)
    found = Verified("visits", "p.d.t", None, 1, 2, 1, (day,), 0, ())
    export_verify.told(found)
    said = capsys.readouterr().err
    assert "p.d.t: 1 row, 2 expected; 1 of 1 day differs." in said
    assert "--repair" in said
    export_verify.told(found, repairing=True)
    assert "--repair" not in capsys.readouterr().err


def test_rows_that_were_set_aside_are_said_of_a_table_that_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    export_verify.told(Verified("visits", "p.d.t", None, 1, 2, 2, (), 0, ()))
    assert "2 rows, each there once, none missing." in capsys.readouterr().err
    export_verify.told(Verified("visits", "p.d.t", None, 1, 2, 2, (), 0, (), set_aside=1))
    assert "2 rows, each there once, none missing; 1 row set aside." in capsys.readouterr().err


def test_what_a_connection_may_be_for() -> None:
    assert typing.get_args(connection.Use) == tuple(grants.Use)


def test_what_models_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.out, "width", 200)  # no word is on the next line
    listed = CliRunner().invoke(app, ["model", "list"]).output
    assert listed.count("appended, each row once") == 3
    shown = CliRunner().invoke(app, ["model", "show", "custom"]).output
    assert "Its columns are those of the query" in shown
    assert "--sql" in shown
    assert "clustered by ;" not in shown
    assert "FIELD" not in shown


def test_a_command_that_is_named_can_be_copied() -> None:
    assert output.command("sync run", "crm") == "tidemill sync run crm"
    assert output.command("sync run", "my sync") == "tidemill sync run 'my sync'"
