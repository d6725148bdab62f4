"""How a connection stands: the newest proof counts, and none of what it was before."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.connections import standing
from tidemill.connections.standing import State
from tidemill.store.connection_tests import ConnectionTest
from tidemill.store.connection_uses import Failure
from tidemill.store.records import Connection

MADE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(hour: int) -> dt.datetime:
    return MADE + dt.timedelta(hours=hour)


def saved(**fields: Any) -> Connection:
    given = {"name": "warehouse", "project": "p", "dataset": "d", "location": None, "adc": True, "impersonate": None}
    more = {"account": None, "key": None, "connected_at": MADE, "connected_by": "ana", "updated_at": MADE}
    return Connection(id=uuid.uuid4(), **{**given, **more, **fields})


def a_test(hour: int, *, passed: bool = True) -> ConnectionTest:
    steps: list[dict[str, Any]] = [
        {"name": "key", "title": "The key", "status": "passed", "message": "", "hint": "", "code": "", "seconds": 0.1},
        {"name": "tables.list", "title": "Tables can be listed", "status": "passed" if passed else "failed",
         "message": "" if passed else "The permission is missing.", "hint": "" if passed else "Grant it.",
         "code": "", "seconds": 0.2},
    ]  # fmt: skip
    return ConnectionTest(uuid.uuid4(), "batch", passed, at(hour), steps)


def failed(hour: int) -> Failure:
    return Failure("export", "daily", at(hour), "permission_missing", "It may not.", "Grant that.")


@pytest.mark.parametrize(
    ("test", "succeeded", "failure", "state", "hour"),
    [
        (None, None, None, State.UNTESTED, None),
        (a_test(1), None, None, State.READY, 1),
        (a_test(1, passed=False), None, None, State.FAILING, 1),
        (a_test(1, passed=False), at(2), None, State.READY, 2),
        (a_test(2, passed=False), at(1), None, State.FAILING, 2),
        (None, at(1), None, State.READY, 1),
        (a_test(1), at(2), failed(3), State.FAILING, 3),
        (a_test(4), at(2), failed(3), State.READY, 4),
        (None, at(4), failed(3), State.READY, 4),
    ],
)
def test_the_newest_proof_counts(
    test: ConnectionTest | None,
    succeeded: dt.datetime | None,
    failure: Failure | None,
    state: State,
    hour: int | None,
) -> None:
    how = standing.of(saved(), test, succeeded, failure)
    assert (how.state, how.at) == (state, at(hour) if hour else None)


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    how = standing.of(saved(), a_test(1, passed=False), None, None)
    assert how.message == "The test failed: Tables can be listed. The permission is missing."
    assert how.hint == "Grant it."
    assert how.test is not None
    assert how.test.failed_step is not None
    assert how.test.failed_step.name == "tables.list"
    how = standing.of(saved(), None, None, failed(1))
    assert (how.message, how.hint) == ("The export daily failed: It may not.", "Grant that.")


def test_nothing_counts_of_before_it_became_another_one() -> None:
    how = standing.of(saved(changed_at=at(5)), a_test(4), at(3), failed(2))
    assert (how.state, how.at) == (State.UNTESTED, None)
    assert "changed" in how.message
    assert how.test is not None, "the last test is shown nevertheless"
    assert standing.of(saved(changed_at=at(5)), a_test(6), at(3), None).state == State.READY


def test_one_that_is_being_deleted_says_so_whatever_is_known_of_it() -> None:
    how = standing.of(saved(deleting_at=at(9), deleting_by="ben"), a_test(1), None, None)
    assert (how.state, how.at) == (State.DELETING, at(9))
    assert "ben" in how.message
