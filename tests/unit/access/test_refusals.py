"""Refused sign-ins in the audit log: each address has some of them there, and nobody fills it."""

from __future__ import annotations

from tidemill.access.refusals import OF_ALL, OF_ONE, Refusals


def test_of_one_address_so_many_are_written_in_an_hour_and_then_how_many_were_not() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    told = [refusals.add("192.0.2.7") for _ in range(10_000)]
    assert [one is not None for one in told] == [True] * OF_ONE + [False] * (10_000 - OF_ONE)
    assert "not written within the hour" in (told[OF_ONE - 1] or {})["more"]
    assert refusals.add("192.0.2.8") == {}, "others are written on"
    now = 3_600.0
    assert refusals.add("192.0.2.7") == {"not_written": f"{10_000 - OF_ONE:,} more of this address, before"}
    assert refusals.add("192.0.2.7") == {}


def test_of_many_addresses_so_many_are_written_and_kept_in_mind() -> None:
    refusals = Refusals(lambda: 0.0)
    assert sum(refusals.add(f"192.0.2.{number}") is not None for number in range(5 * OF_ALL)) == OF_ALL
    assert len(refusals._addresses) == OF_ALL
