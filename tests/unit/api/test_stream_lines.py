"""What the log of a server says of streams."""

from __future__ import annotations

import logging

import pytest

from tidemill.api.stream import Lines
from tidemill.errors import AccessError
from tidemill.exports.stream.orders import Standing


class World:
    """Looks at one stream, at a time that the test says."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self.now = 0.0
        self.lines = Lines(lambda: self.now)
        self._caplog = caplog

    def look(self, *standings: Standing) -> list[str]:
        """The lines that are new."""
        self._caplog.clear()
        self.lines.look(standings)
        return [record.getMessage() for record in self._caplog.records]


def standing(trouble: str = "", *, sent: int = 0, name: str = "live") -> Standing:
    return Standing(name, 5, None, sent, 0, trouble)


def test_streams_are_named_when_they_are_first_seen(caplog: pytest.LogCaptureFixture) -> None:
    world = World(caplog)
    assert world.look() == ["there is no streaming export yet"]
    assert world.look() == []
    assert world.look(standing(), standing(name="also")) == ["streams that are moved: also, live"]
    assert world.look(standing(), standing(name="also")) == []


def test_a_trouble_is_told_when_it_begins_and_when_rows_are_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World(caplog)
    world.look(standing())
    assert world.look(standing("It is away. Start it.")) == ["stream live is in trouble: It is away. Start it."]
    assert world.look(standing("It is away. Start it.")) == []
    assert world.look(standing("It is denied.")) == ["stream live is in trouble: It is denied."]
    assert world.look(standing(sent=1)) == ["stream live goes on"]
    assert world.look(standing(sent=1)) == []


def test_one_that_is_tried_again_and_fails_is_not_said_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    world = World(caplog)
    world.look(standing("It is denied. Grant it."))
    world.now += 5
    assert world.look(standing()) == []
    world.lines.ended("live", AccessError("denied", "It is denied.", hint="Grant it."))
    assert world.look(standing("It is denied. Grant it.")) == []
    world.now += 11
    assert world.look(standing()) == ["stream live goes on"]
