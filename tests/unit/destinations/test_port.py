"""What an outcome says can be kept, whatever a tool has said."""

from __future__ import annotations

import json

import pytest

from tidemill.destinations.port import again, rejected


@pytest.mark.parametrize("said", [r'"bad: a\u0000b"', r'"bad: a\ud800b"', r'"bad: a\udc00b"'])
def test_an_outcome_holds_nothing_that_a_database_refuses(said: str) -> None:
    message = json.loads(said)
    for outcome in (rejected("code", message), again("code", message)):
        assert outcome.message == "bad: a b"
        assert outcome.message.encode()


def test_what_people_write_is_kept() -> None:
    assert rejected("code", "Größe 😀\nist falsch").message == "Größe 😀\nist falsch"
