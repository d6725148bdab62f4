"""How much a key may send."""

from __future__ import annotations

import uuid

from tidemill.capture.keyring import Holder


def holder(rate: float | None) -> Holder:
    return Holder(uuid.uuid4(), 1, rate, 0.0, left=2 * (rate or 0.0))


def test_a_key_without_a_rate_never_waits() -> None:
    assert [holder(None).wait(1_000_000, 0.0) for _ in range(3)] == [0, 0, 0]


def test_a_key_sends_what_it_may_and_then_waits() -> None:
    key = holder(10)
    assert [key.wait(10, 0.0) for _ in range(3)] == [0, 0, 1]
    assert key.wait(1, 1.0) == 0
    sent = sum(10 for second in range(100) if key.wait(10, 1.0 + second) == 0)
    assert 900 <= sent <= 1_020


def test_one_huge_request_does_not_lock_a_key_for_long() -> None:
    key = holder(10)
    assert key.wait(10_000_000, 0.0) == 0
    assert 1 <= key.wait(1, 0.0) <= 11
    assert key.wait(1, 12.0) == 0
