"""Rows that were not delivered: some of them are tried again, alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.reverse_etl.views import RunView

TEXTS = {"email": {"@path": "$.email"}, "plan": {"@path": "$.plan"}}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def refused(app: App) -> dict[str, int]:
    """Keys of rows that are not delivered, and how often each was tried."""
    return {one.key: one.tries for one in app.reverse_etl.rejects.find(NAME)}


def retry(app: App, **which: Any) -> RunView | None:
    return app.reverse_etl.rejects.retry(NAME, quiet(), by="me", **which)


@pytest.mark.parametrize("fields", [{}, {"access": "read-only"}, {"mode": "upsert", "extraction": "full"}])
def test_chosen_rows_are_tried_again_and_nothing_else_is(
    installation: Installation, app: App, people: People, crm: Crm, fields: dict[str, str]
) -> None:
    people.rows |= {n: (f"p{n}@example.com", "bad") for n in (7, 8, 9)}
    people.save()
    prepare(app, installation, people, crm, **fields)
    run(app)
    people.rows |= {n: (f"p{n}@example.com", "good") for n in (7, 8)}
    people.rows |= {3: ("p3@example.com", "pro"), 100: ("new@example.com", "free")}
    del people.rows[5]
    people.save()
    crm.sent.clear()
    over = retry(app, keys=["7"])
    assert over is not None
    assert (over.status, over.chosen, over.extracted, over.written) == ("completed", 1, 1, 1)
    assert [row["key"] for row in crm.sent] == ["7"]
    assert refused(app) == {"8": 1, "9": 1}, "others are as they were"
    crm.sent.clear()
    rest = run(app)
    assert (rest.chosen, rest.rejected) == (None, 1)
    assert {"3", "8", "100"} <= {row["key"] for row in crm.sent}
    if not fields.get("extraction"):
        assert {row["key"] for row in crm.sent} == {"3", "5", "8", "100"}, "the next run has all that had changed"
        assert crm.people == people.expected()
    assert refused(app) == {"9": 2}


def test_a_cursor_does_not_pass_rows_that_were_not_looked_at(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, mode="upsert", extraction="cursor", cursor="id")
    run(app)
    position = app.reverse_etl.syncs.get(NAME).position
    people.rows |= {7: ("p7@example.com", "good"), 100: ("new@example.com", "free")}
    people.save()
    over = retry(app, keys=["7"])
    assert over is not None
    assert (over.extracted, over.written, refused(app)) == (1, 1, {})
    assert app.reverse_etl.syncs.get(NAME).position == position == "19"
    crm.sent.clear()
    run(app)
    assert [row["key"] for row in crm.sent] == ["100"]


def test_rows_are_chosen_by_reason_and_by_text(installation: Installation, app: App, people: People, crm: Crm) -> None:
    people.rows |= {7: ("p7@example.com", "bad"), 8: ("p8@example.com", "busy"), 9: ("p9@example.com", "busy")}
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    by_code = retry(app, code="webhook_retry")
    assert by_code is not None
    assert (by_code.chosen, by_code.to_retry) == (2, 2)
    by_text = retry(app, text="no such plan")
    assert by_text is not None
    assert (by_text.chosen, by_text.rejected) == (1, 1)
    both = retry(app, keys=["7", "8"], code="webhook_retry")
    assert both is not None
    assert both.chosen == 1
    assert refused(app) == {"7": 2, "8": 3, "9": 2}
    everything = retry(app)
    assert everything is not None
    assert (everything.chosen, everything.retried, everything.unchanged) == (3, 3, 0)
    assert retry(app, code="other") is None
    with pytest.raises(NotFoundError, match="'77'"):
        retry(app, keys=["7", "77"])
    with pytest.raises(NotFoundError, match="'77'"):
        app.reverse_etl.rejects.drop(NAME, keys=["77"])


def test_more_rows_than_a_statement_may_name_are_not_tried_alone(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.rows |= {7: ("", "bad"), 8: ("", "bad")}
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    monkeypatch.setattr("tidemill.reverse_etl.rejects._MOST_KEYS", 1)
    with pytest.raises(ConfigError) as caught:
        retry(app)
    assert "tidemill sync run crm" in caught.value.hint


def test_what_is_asked_of_all_rows_is_done_before_some_are_tried_alone(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    app.reverse_etl.syncs.reset(NAME, "resend")
    with pytest.raises(ConflictError) as caught:
        retry(app, keys=["7"])
    assert caught.value.code == "sync_pending"
    assert run(app).extracted == 20


def test_a_run_of_few_rows_says_nothing_of_all_of_them(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows |= {7: ("p7@example.com", "bad"), 8: ("p8@example.com", "bad")}
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    retry(app, keys=["7"])
    sync = app._sync_books.syncs.get(NAME)
    assert app._sync_books.runs.planned(sync.id, 100, 10) == [20], "later runs are held against whole ones"
    (line,) = [line for line in app.figures().decode().splitlines() if line.startswith("tidemill_sync_rows_to_retry{")]
    assert line.endswith(" 2"), "of the last run of all rows"


_ODD = """SELECT 'a' AS id, 'a@example.com' AS email, 'free' AS plan
UNION ALL SELECT CODE_POINTS_TO_STRING([120, 0, 121]), 'nul@example.com', 'bad'
UNION ALL SELECT 'x\\\\0y', 'slash@example.com', 'bad'
UNION ALL SELECT CAST(NULL AS STRING), 'none@example.com', 'free'"""


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_a_row_whose_key_no_text_can_hold_is_tried_again_and_given_up(
    installation: Installation, app: App, people: People, crm: Crm, access: str
) -> None:
    people.ask(f"CREATE OR REPLACE TABLE `{people.table}` AS {_ODD}")
    prepare(app, installation, people, crm, mapping=TEXTS, access=access)
    assert (run(app).rejected, set(keys_of(app))) == (2, {r"x\0y", r"x\\0y"})
    over = retry(app, keys=[r"x\0y"])
    assert over is not None
    assert (over.extracted, over.rejected) == (1, 1)
    assert refused(app)[r"x\0y"] == 2
    people.ask(f"CREATE OR REPLACE TABLE `{people.table}` AS {_ODD.replace('bad', 'pro')}")
    over = retry(app, keys=[r"x\0y"])
    assert over is not None
    assert over.written == 1
    assert [row["key"] for row in crm.sent][-1] == "x\0y"
    assert keys_of(app) == [r"x\\0y"], "the other one is another"
    people.ask(f"CREATE OR REPLACE TABLE `{people.table}` AS {_ODD}")
    run(app)
    assert app.reverse_etl.rejects.drop(NAME, text="") == 2
    assert run(app, force=True).dropped == 2


def test_rows_without_a_key_stay_until_there_is_one(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    odd = f"{_ODD} UNION ALL SELECT 'twice', 'b@example.com', 'free' UNION ALL SELECT 'twice', 'c@example.com', 'free'"
    people.ask(f"CREATE OR REPLACE TABLE `{people.table}` AS {odd}")
    prepare(app, installation, people, crm, mapping=TEXTS)
    run(app)
    (none,) = [one.key for one in app.reverse_etl.rejects.find(NAME, code="key_null")]
    for which in ({"keys": [none]}, {"code": "key_null"}):
        with pytest.raises(ConfigError, match="cannot be delivered for its key"):
            retry(app, **which)
        with pytest.raises(ConfigError, match="cannot be delivered for its key"):
            app.reverse_etl.rejects.drop(NAME, **which)
    over = retry(app)
    assert over is not None
    assert (over.chosen, over.rejected, over.invalid) == (3, 2, 2), "the key that is twice is looked at, and stays"
    assert app.reverse_etl.rejects.drop(NAME, text="") == 2
    assert {one.code for one in app.reverse_etl.rejects.find(NAME)} == {"key_null", "key_duplicate"}


def keys_of(app: App) -> list[str]:
    return [one.key for one in app.reverse_etl.rejects.find(NAME) if one.status != "invalid"]
