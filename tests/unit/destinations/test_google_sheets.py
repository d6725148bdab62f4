"""Rows in Google Sheets: which cells are written, how rows are known, and what Google's words mean."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests import lines
from tests.contract.api import Reply
from tests.contract.apis.google_sheets import EMAIL, ID, GoogleSheetsApi, Sheet, key

from tidemill.destinations import deliver, fields
from tidemill.destinations.google_sheets import cells
from tidemill.destinations.google_sheets.config import GOOGLE_SHEETS, GoogleSheetsSettings
from tidemill.destinations.port import Action, Mode, Op, Outcome, Outlet, Record, Status, identity
from tidemill.errors import AccessError, ConfigError
from tidemill.outbound.client import Http, Seen
from tidemill.outbound.guard import Guard

UPSERT, APPEND = GOOGLE_SHEETS.action("upsert"), GOOGLE_SHEETS.action("append")


@pytest.fixture
def api() -> Iterator[GoogleSheetsApi]:
    made = GoogleSheetsApi()
    yield made
    made.close()


def sent(
    api: GoogleSheetsApi,
    rows: Sequence[Mapping[str, Any]],
    *,
    action: Action = UPSERT,
    mode: Mode = Mode.UPSERT,
    op: Op = Op.ADDED,
    seen: list[Seen] | None = None,
) -> list[Outcome]:
    """The outcome of each."""
    found: dict[str, Outcome] = {}
    records = []
    for number, row in enumerate(rows):
        mapped = fields.checker(action)(row, op)
        assert not isinstance(mapped, Outcome), mapped
        records.append(Record(str(number), identity("sync", str(number), "hash", op), op, mode, mapped))
    http = Http(Guard(["127.0.0.1"]))
    http.observe = seen.append if seen is not None else None
    settings = GoogleSheetsSettings(**api.settings())
    with contextlib.closing(http), GOOGLE_SHEETS.open(settings, Outlet(http, time.sleep)) as client:
        line = lines.unpaced(client, action)
        deliver.deliver(line, records, lambda told: found.update({one.row_key: said for one, said in told}))
    return [found[str(number)] for number in range(len(rows))]


def person(number: Any, **columns: Any) -> dict[str, Any]:
    return {"sheet": "people", "key": {"id": number}, "columns": columns}


def statuses(outcomes: Sequence[Outcome]) -> list[Status]:
    return [one.status for one in outcomes]


def test_rows_that_are_there_are_updated_and_others_added_below(api: GoogleSheetsApi) -> None:
    people = api.sheets["people"]
    people.cells += [["2", "old@example.com", "a note"], [3.0, "three@example.com"]]
    people.cells[0].append("note")
    rows = [person(2, email="two@example.com"), person(1, email="=1+1"), person(3, email=None)]
    assert statuses(sent(api, rows)) == [Status.WRITTEN] * 3
    assert people.dicts() == [
        {"id": 2, "email": "two@example.com", "note": "a note"},
        {"id": 3, "email": "", "note": ""},
        {"id": 1, "email": "=1+1", "note": ""},
    ]


def test_rows_that_people_have_moved_meanwhile_are_found(api: GoogleSheetsApi) -> None:
    sent(api, [person(n, email=f"{n}") for n in range(4)])
    api.sheets["people"].cells[1:] = reversed(api.sheets["people"].cells[1:])
    sent(api, [person(0, email="new")])
    assert {row["id"]: row["email"] for row in api.sheets["people"].dicts()} == {0: "new", 1: "1", 2: "2", 3: "3"}


def test_deleted_rows_are_deleted_wherever_they_are(api: GoogleSheetsApi) -> None:
    sent(api, [person(n) for n in range(10)])
    gone = [{"sheet": "people", "key": {"id": n}} for n in (9, 1, 2, 5, 77)]
    assert statuses(sent(api, gone, mode=Mode.MIRROR, op=Op.DELETED)) == [Status.WRITTEN] * 5
    assert [row["id"] for row in api.sheets["people"].dicts()] == [0, 3, 4, 6, 7, 8]


def test_the_last_row_of_a_sheet_can_be_deleted(api: GoogleSheetsApi) -> None:
    api.sheets["people"] = Sheet(0, ["id"], rows=1)
    sent(api, [person(1), person(2)])
    gone = [{"sheet": "people", "key": {"id": n}} for n in (1, 2)]
    assert statuses(sent(api, gone, mode=Mode.DELETE, op=Op.DELETED)) == [Status.WRITTEN] * 2
    assert not api.sheets["people"].dicts()


def test_an_update_of_a_row_that_is_not_there_is_refused(api: GoogleSheetsApi) -> None:
    sent(api, [person(1)])
    found = sent(api, [person(1, email="a"), person(2, email="b")], mode=Mode.UPDATE, op=Op.UPDATED)
    assert [one.code for one in found] == ["", "row_missing"]
    assert len(api.sheets["people"].dicts()) == 1


def test_columns_are_added_to_the_right_and_an_empty_sheet_gets_a_header(api: GoogleSheetsApi) -> None:
    api.sheets["new"] = Sheet(9, [], columns=2)
    sent(api, [{**person(1, email="a", plan="pro"), "sheet": "new"}])
    sent(api, [{**person(1, more={"a": [1]}), "sheet": "new"}, {**person(2**60), "sheet": "new"}])
    assert api.sheets["new"].cells[0] == ["id", "email", "plan", "more"]
    assert api.sheets["new"].dicts() == [
        {"id": 1, "email": "a", "plan": "pro", "more": '{"a":[1]}'},
        {"id": str(2**60), "email": "", "plan": "", "more": ""},
    ]


def test_a_row_is_known_by_several_columns(api: GoogleSheetsApi) -> None:
    rows = [
        {"sheet": "people", "key": {"id": n, "email": e}, "columns": {"plan": "a"}} for n, e in ((1, "x"), (1, "y"))
    ]
    sent(api, rows)
    sent(api, [{**rows[1], "columns": {"plan": "b"}}])
    assert [row["plan"] for row in api.sheets["people"].dicts()] == ["a", "b"]


def test_two_versions_of_a_key_do_not_share_a_batch(api: GoogleSheetsApi) -> None:
    sent(api, [person(1, email="a"), person("1", email="b")])
    assert api.sheets["people"].dicts() == [{"id": "1", "email": "b"}]


def test_appended_rows_are_taken_once(api: GoogleSheetsApi) -> None:
    rows = [{"sheet": "it's a log", "columns": {"email": "a"}, "identity": "tidemill_id"}] * 2
    for _ in range(2):
        assert statuses(sent(api, rows, action=APPEND, mode=Mode.INSERT)) == [Status.WRITTEN] * 2
    assert len(api.sheets["it's a log"].dicts()) == 2


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (person(1, email="x" * 50_000), ""),
        (person(1, email="x" * 50_001), "cell_too_long"),
        (person(1, email=["x" * 50_000]), "cell_too_long"),
        (person(" "), "key_empty"),
        (person(None), "key_empty"),
        (person(1, email=["\ud800"]), "row_not_text"),
        (person(["\ud800"]), "row_not_text"),
        ({**person(1), "sheet": "half \ud800"}, "row_not_text"),
        (person(0), ""),
        (person(False), ""),
        (person(1, **{" ": 1}), "column_name"),
    ],
)
def test_what_does_not_fit_is_set_aside(api: GoogleSheetsApi, row: dict[str, Any], code: str) -> None:
    assert sent(api, [row])[0].code == code
    assert len(api.sheets["people"].dicts()) == (0 if code else 1)


def test_no_more_requests_are_made_than_the_pace_allows(api: GoogleSheetsApi) -> None:
    sent(api, [person(n) for n in range(100)])
    api.asked.clear()
    sent(api, [person(n, email="x") for n in range(200)])
    reads = [asked for asked in api.asked if asked.method == "GET"]
    assert len(reads) <= 2
    assert len(api.asked) - len(reads) <= 3  # a token, those that are there, those that are new
    pace = GOOGLE_SHEETS.pace(GoogleSheetsSettings(**api.settings()))
    assert (pace.calls, pace.seconds, pace.at_once) == (84, 60.0, 1)


def test_a_range_that_is_protected_stops_the_sync(api: GoogleSheetsApi) -> None:
    api.faults = [Reply(400, {"error": {"message": "You are trying to edit a protected cell or object."}})]
    with pytest.raises(AccessError, match="protected"):
        sent(api, [person(1)])


def test_who_has_no_access_is_told_whom_to_share_it_with(api: GoogleSheetsApi) -> None:
    api.faults = [Reply(403, {"error": {"message": "The caller does not have permission"}})]
    with pytest.raises(AccessError) as caught:
        sent(api, [person(1)])
    assert EMAIL in caught.value.hint


def test_a_spreadsheet_that_is_full_stops_the_sync(api: GoogleSheetsApi) -> None:
    api.most_cells = 100
    with pytest.raises(ConfigError) as caught:
        sent(api, [person(1)])
    assert caught.value.code == "sheet_full"


def test_a_sheet_or_a_spreadsheet_that_is_not_there_is_said(api: GoogleSheetsApi) -> None:
    with pytest.raises(ConfigError) as caught:
        sent(api, [{**person(1), "sheet": "nowhere"}])
    assert caught.value.code == "sheet_unknown"
    api.sheets["people"].cells[0] = ["id", "id"]
    with pytest.raises(ConfigError) as caught:
        sent(api, [person(1)])
    assert caught.value.code == "sheet_header"


def test_rows_that_are_deleted_meanwhile_are_looked_up_again(api: GoogleSheetsApi) -> None:
    sent(api, [person(1)])
    api.faults = [Reply(400, {"error": {"message": "Range ('people'!A2) exceeds grid limits. Max rows: 1"}})]
    assert statuses(sent(api, [person(1, email="x")])) == [Status.WRITTEN]


def test_a_token_that_ends_before_its_time_is_got_anew(api: GoogleSheetsApi) -> None:
    api.faults = [Reply(401, {"error": {"message": "expired"}})]
    assert statuses(sent(api, [person(1)])) == [Status.WRITTEN]
    assert len(api.tokens) == 2


def test_nobody_is_shown_how_it_signs_in(api: GoogleSheetsApi) -> None:
    seen: list[Seen] = []
    sent(api, [person(1)], seen=seen)
    assert seen
    assert not [one for one in seen if one.url.endswith("/token")]


@pytest.mark.parametrize(
    "given_",
    ["", "{}", "[]", "no json", json.dumps({"client_email": EMAIL, "private_key": "secret-thing"})],
)
def test_what_is_no_key_is_refused_and_not_quoted(given_: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GoogleSheetsSettings(key=SecretStr(given_), spreadsheet=ID)
    assert "secret-thing" not in str(caught.value)


def test_a_spreadsheet_may_be_named_by_its_address() -> None:
    address = f"https://docs.google.com/spreadsheets/d/{ID}/edit?gid=0#gid=0"
    settings = GoogleSheetsSettings(key=SecretStr(key()), spreadsheet=address)
    assert settings.spreadsheet == ID
    assert settings.account == EMAIL


@pytest.mark.parametrize(("index", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_columns_are_named_by_letters(index: int, letters: str) -> None:
    assert cells.letters(index) == letters


@given(st.lists(st.integers(2, 60)))
def test_ranges_hold_each_number_once_and_the_last_comes_first(numbers: list[int]) -> None:
    found = cells.ranges(numbers)
    assert sorted(n for first, last in found for n in range(first, last + 1)) == sorted(set(numbers))
    assert found == sorted(found, reverse=True)
    assert all(later[0] > earlier[1] + 1 for later, earlier in itertools.pairwise(found))
