"""Values that are looked up at a tool: each once, no more at once than an address has place for."""

from __future__ import annotations

from tidemill.destinations import lookups


def test_values_are_looked_up_in_parts_that_an_address_has_place_for() -> None:
    def parts(values: list[str]) -> list[list[str]]:
        return list(lookups.parts(values, most=3, characters=20, around=2))

    assert parts([]) == []
    assert parts(["a", "b", "c", "d"]) == [["a", "b", "c"], ["d"]]
    assert parts(["a" * 9, "b" * 9, "é"]) == [["a" * 9], ["b" * 9, "é"]]
    assert parts(["a", "b" * 99, "c"]) == [["a"], ["b" * 99], ["c"]]
