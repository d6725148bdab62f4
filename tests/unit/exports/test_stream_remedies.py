"""What is done about rows that are not in: one of four things, by the answers."""

from __future__ import annotations

import itertools

import pytest

from tidemill.bigquery.write_outcomes import Ahead, Appended, BadRows, Duplicate, Failed, Gone, Outcome
from tidemill.errors import AccessError, RetryableError
from tidemill.exports.stream import remedy
from tidemill.exports.stream.remedy import Remedy

BAD = BadRows(((0, "too old"),))
BROKEN = Failed(RetryableError("backend_error", "It may be tried again."))
DENIED = Failed(AccessError("access_denied", "A permission is missing."))
SCHEMA = "SCHEMA_MISMATCH_EXTRA_FIELDS"
AHEAD, IN = Ahead("too early"), Appended(7)
ALWAYS: dict[str, tuple[Outcome, Remedy]] = {
    "a permission is missing": (DENIED, Remedy.GIVE_UP),
    "the schema is another one": (Failed(DENIED.error, SCHEMA), Remedy.REPLACE),
    "the schema is another one, for now": (Failed(BROKEN.error, SCHEMA), Remedy.REPLACE),
    "there are other rows": (Duplicate(), Remedy.REPLACE),
    "rows before it are missing": (AHEAD, Remedy.REPLACE),
    "the write stream is gone": (Gone("STREAM_NOT_FOUND", ""), Remedy.REPLACE),
    "it is in at another offset": (IN, Remedy.REPLACE),
}


@pytest.mark.parametrize("name", ALWAYS)
def test_some_answers_mean_the_same_whatever_the_others_are(name: str) -> None:
    first, wanted = ALWAYS[name]
    others: list[list[Outcome]] = [[], [AHEAD], [IN], [BROKEN]]
    for later, doubtful in itertools.product(others, (False, True)):
        assert remedy.of(first, later, doubtful=doubtful) is wanted


@pytest.mark.parametrize(
    ("first", "later", "doubtful", "wanted"),
    [
        (BAD, [], False, Remedy.SET_ASIDE),
        (BAD, [AHEAD, BAD], False, Remedy.SET_ASIDE),
        (BAD, [AHEAD], True, Remedy.REPLACE),
        (BAD, [IN], False, Remedy.REPLACE),
        (BROKEN, [], False, Remedy.AGAIN),
        (BROKEN, [BROKEN], True, Remedy.AGAIN),
        (BROKEN, [IN], False, Remedy.REPLACE),
    ],
)
def test_others_count_where_rows_would_move_up_or_come_again(
    first: Outcome, later: list[Outcome], doubtful: bool, wanted: Remedy
) -> None:
    assert remedy.of(first, later, doubtful=doubtful) is wanted
