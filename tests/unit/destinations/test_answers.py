"""What answers of APIs mean for the rows of a call, whoever gives them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from tests import lines
from tests.contract.api import Reply
from tests.contract.everything import APIS
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver, registry
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    BatchRefused,
    Limits,
    Mode,
    Op,
    Outcome,
    Record,
    Sending,
    Status,
    again,
    rejected,
)
from tidemill.errors import TidemillError, UnavailableError


def action(send: Any) -> Action:
    return Action("send", "Send", "Sends.", (), (Mode.UPSERT,), Limits(rows=1), lambda r: r.row_key.encode(), send)


def delivered(sent: Action, keys: Sequence[str], secrets: tuple[str, ...] = ()) -> dict[str, Outcome]:
    told: dict[str, Outcome] = {}
    line = lines.unpaced(None, sent, secrets=secrets)
    records = [Record(key, f"id-{key}", Op.ADDED, Mode.UPSERT, {}) for key in keys]
    deliver.deliver(line, records, lambda found: told.update({row.row_key: outcome for row, outcome in found}))
    return told


def test_an_answer_that_nobody_has_foreseen_is_of_its_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    def send(_client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        if batch[0].record.row_key == "2":
            raise KeyError(batch[0].record.identity)  # which is not to be in a log
        return [WRITTEN] * len(batch)

    with caplog.at_level(logging.ERROR):
        told = delivered(action(send), ["1", "2", "3"])
    assert told["1"] == told["3"] == WRITTEN
    assert told["2"].status is Status.RETRY
    assert told["2"].unsure, "the call may have passed"
    assert "KeyError" in told["2"].message
    assert "test_answers.py" in caplog.text, "it is said where"
    assert "id-2" not in caplog.text + told["2"].message


def test_errors_of_ours_stay_what_they_are() -> None:
    def send(_client: Any, _batch: Sequence[Sending]) -> Sequence[Outcome]:
        raise BatchRefused("no", "No.")

    assert delivered(action(send), ["1"])["1"].code == "no"


PAGE = b"<!doctype html><title>Please sign in</title>"
#: Of the webhook, a good status is enough; files and PostgreSQL do not answer in JSON.
CASES = [
    (name, one.name)
    for name, found in registry.everything().items()
    if name not in {"webhook", "files", "postgresql"}
    for one in found.actions
]


@pytest.mark.parametrize("body", [PAGE, b'["x"]', b"5", b"[" * 100_000], ids=["page", "list", "number", "nested"])
@pytest.mark.parametrize(("destination", "name"), CASES)
def test_rows_are_not_written_because_something_else_answers_well(destination: str, name: str, body: bytes) -> None:
    if destination == "amplitude" and name in {"identify", "group"} and body != PAGE:
        pytest.skip("what Amplitude says here is not described: no page is all that is known of it")
    found = registry.get(destination)
    sent = found.action(name)
    with contextlib.closing(APIS[destination]()) as api:
        api.faults = [Reply(200, body)] * 100
        records = [by_hand.record(sent, api.fields(name, n), op(sent), key=str(n)) for n in range(2)]
        told = by_hand.delivered(found, api.settings(), sent, records)
    assert len(told) == 2
    for outcome in told.values():
        assert outcome.status is not Status.WRITTEN
        assert outcome.unsure or outcome.status is Status.REJECTED


@pytest.mark.parametrize("destination", sorted({name for name, _ in CASES}))
def test_a_page_is_not_taken_for_an_answer_to_the_test_of_a_credential(destination: str) -> None:
    found = registry.get(destination)
    with contextlib.closing(APIS[destination]()) as api:
        api.faults = [Reply(200, PAGE)] * 100
        api.delivers = lambda _asked: True  # type: ignore[attr-defined]
        with by_hand.client(found, api.settings()) as client, pytest.raises(TidemillError) as caught:
            client.test()
    assert caught.value.message


def op(sent: Action) -> Op:
    return sorted(sent.modes[0].ops)[0]


def test_what_a_tool_says_of_a_row_gives_no_secret_away() -> None:
    token = "tok-VERYSECRET"

    def send(_client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        match batch[0].record.row_key:
            case "rejected":
                return [rejected("bad", f"bad credential: Bearer {token}!")]
            case "later":
                return [again(f"code {token}", f"not with {token}")]
            case "cut":
                return [rejected("bad", f"bad credential: Bearer {token[:9]}")]
            case "refused":
                raise BatchRefused("no", f"Not with {token}.")
        raise UnavailableError("down", f"Down for {token}.")

    told = delivered(action(send), ["rejected", "later", "cut", "refused", "down"], (token,))
    assert len(told) == 5
    assert not [outcome for outcome in told.values() if "tok-" in outcome.message + outcome.code]
    assert told["rejected"].message == "bad credential: Bearer ********!"
