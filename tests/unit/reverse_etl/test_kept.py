"""What is kept of rows that are not delivered."""

from __future__ import annotations

import json

from tidemill.reverse_etl import kept
from tidemill.reverse_etl.plan.port import InvalidRow


def test_a_row_that_is_small_is_kept_as_it_is() -> None:
    row = {"id": 1, "text": "ü" * 1_000, "tags": ["a"]}
    assert kept.bounded(row) is row


def test_what_is_nested_too_deep_is_kept_as_text() -> None:
    deep = json.loads("[" * 450 + "]" * 450)
    assert kept.bounded({"id": 1, "j": deep}) == {"id": 1, "j": "[" * 450 + "]" * 450}


def test_of_a_large_row_long_values_are_cut_and_say_so() -> None:
    row = {"id": 1, "text": "x" * 400_000, "list": list(range(90_000)), "short": "kept"}
    found = kept.bounded(row)
    assert len(json.dumps(found)) < kept.MOST_ROW
    assert (found["id"], found["short"]) == (1, "kept")
    assert found["text"].endswith("x… (400,000 characters)")
    assert found["list"].startswith("[0, 1, 2")


def test_a_row_of_very_many_columns_is_bounded() -> None:
    row = {f"column_{number}": "y" * 1_000 for number in range(2_000)}
    assert len(json.dumps(kept.bounded(row))) < 1.5 * kept.MOST_ROW


def test_rows_without_a_key_are_told_apart() -> None:
    rows = [InvalidRow(None, "key_null", digest * 32, 1, {"id": None}) for digest in "ab"]
    assert len({str(kept.invalid(row)["key"]) for row in rows}) == 2
    gone = InvalidRow("k", "key_duplicate", "c" * 32, 2_000, None)
    said = str(kept.invalid(gone)["message"])
    assert said.startswith("2,000 rows have this key") and said.endswith("too large to be kept.")
