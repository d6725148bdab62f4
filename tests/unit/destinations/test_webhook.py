"""A webhook: what the answer of the user's server says of each row."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.destinations.port import WRITTEN, BatchRefused, Status
from tidemill.destinations.webhook.actions import outcomes


@pytest.mark.parametrize("said", [None, "ok", [], {}, {"errors": None}, {"errors": []}, {"done": 2}])
def test_without_errors_all_rows_are_written(said: Any) -> None:
    assert outcomes(said, 2) == [WRITTEN, WRITTEN]


def test_a_row_that_is_named_is_set_aside_or_comes_again() -> None:
    errors = [{"index": 0, "reason": "no such plan"}, {"index": 2, "reason": "locked", "retry": True, "after": 30}]
    first, second, third = outcomes({"errors": errors}, 3)
    assert (first.status, first.message) == (Status.REJECTED, "no such plan")
    assert second == WRITTEN
    assert (third.status, third.message, third.after) == (Status.RETRY, "locked", 30)


@pytest.mark.parametrize(
    "error",
    [{"index": "0"}, {"id": "x"}, {"index": 7}, {"index": -1}, {"index": True}, {"index": 1.0}, {"index": None}, "no"],
)
def test_an_error_of_no_row_counts_for_none_as_written(error: Any) -> None:
    with pytest.raises(BatchRefused):
        outcomes({"errors": [{"index": 0, "reason": "no"}, error]}, 2)


@pytest.mark.parametrize("errors", ["no", 3, {"0": "no"}])
def test_errors_that_are_no_list_count_for_none_as_written(errors: Any) -> None:
    with pytest.raises(BatchRefused):
        outcomes({"errors": errors}, 2)


@pytest.mark.parametrize("error", [{"id": "x", "reason": "no"}, {"index": 7, "reason": "no"}, "no"])
def test_an_error_of_a_request_with_one_row_is_of_that_row(error: Any) -> None:
    (found,) = outcomes({"errors": [error]}, 1)
    assert (found.status, found.message) == (Status.REJECTED, "no")
    (found,) = outcomes({"errors": [{"reason": "locked", "retry": True}]}, 1)
    assert found.status is Status.RETRY
