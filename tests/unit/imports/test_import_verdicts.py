"""What a dry run says of each column."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from tidemill.destinations.port import Op
from tidemill.imports import verdicts
from tidemill.imports.made import Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Property, Type
from tidemill.imports.verdicts import Verdict, Wrong

SOURCE = Source(uuid.UUID(int=7), "Shop", 1)
NOW = 1_780_000_000_000_000
SPEC = ImportSpec(
    kind=Kind.EVENTS,
    identity="id",
    event_column="name",
    time="at",
    properties=(
        Property(column="n", name="count", type=Type.INTEGER),
        Property(column="j", name="*", type=Type.JSON),
    ),
)


def told(*rows: Sequence[Any], ops: Sequence[Op] = (), spec: ImportSpec = SPEC) -> dict[str, Verdict]:
    """Verdicts by their columns; rows of id, name, at, n, j."""
    columns = dict(zip(("id", "name", "at", "n", "j"), zip(*rows, strict=True), strict=True))
    keys = [f"k{at}" for at in range(len(rows))]
    given = Rows(keys, ["h"] * len(rows), ops or [Op.ADDED] * len(rows), columns, NOW)
    return {one.column: one for one in verdicts.verdicts(spec, SOURCE, given)}


def test_each_column_that_is_read_has_a_verdict_with_a_value_before_and_after() -> None:
    found = told((5, "Paid", "2026-01-01", None, None), (6, "Sent", "2026-01-02", "12", '{"a": 1e999, "b": [2]}'))
    assert all(one.is_ok and one.rows == 2 for one in found.values())
    assert {name: (one.target, one.kind, one.read, one.stored) for name, one in found.items()} == {
        "id": ("distinct_id", "identity", 5, "5"),
        "name": ("event", "name", "Paid", "Paid"),
        "at": ("timestamp", "auto", "2026-01-01", "2026-01-01T00:00:00Z"),
        "n": ("count", "integer", "12", 12),
        "j": ("*", "json", '{"a": 1e999, "b": [2]}', {"a": "1e999", "b": [2]}),
    }


def test_all_that_is_wrong_with_a_row_is_told() -> None:
    found = told(("a", "Paid", "2026-01-01", 1, None), ("n/a", "Paid", "soon", "x", "[1]"))
    assert {name: one.bad for name, one in found.items()} == {"id": 1, "name": 0, "at": 1, "n": 1, "j": 1}
    assert found["n"].errors == (Wrong("k1", "n", "property_type", 'n: "x" is not a whole number.'),)
    assert found["id"].errors[0].code == "identity_refused"
    assert (found["n"].read, found["n"].stored) == (1, 1)


def test_a_column_of_which_nothing_fits_shows_what_was_read() -> None:
    found = told(("a", "Paid", "2026-01-01", None, None), ("b", "Paid", "2026-01-01", "x", None))
    assert (found["n"].bad, found["n"].read, found["n"].stored) == (1, "x", None)
    assert (found["j"].read, found["j"].stored) == (None, None)


def test_json_that_is_too_deep_is_told_of_its_column() -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    spec = SPEC.model_copy(update={"properties": (Property(column="n", name="n"), Property(column="j", name="j"))})
    found = told(("a", "Paid", "2026-01-01", 1, {"deep": deep}), spec=spec)
    assert (found["j"].bad, found["n"].bad) == (1, 0)
    assert found["j"].stored is None


def test_rows_that_went_away_are_not_looked_at() -> None:
    rows = [("a", "Paid", "2026-01-01", 1, None), ("b", None, None, None, None)]
    found = told(*rows, ops=[Op.ADDED, Op.DELETED])
    assert all(one.is_ok and one.rows == 1 for one in found.values())
    assert told(*rows, ops=[Op.DELETED] * 2) == {}
