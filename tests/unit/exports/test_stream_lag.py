"""How far behind a stream is told to be, whatever happens to who moves it."""

from __future__ import annotations

import datetime as dt
import math
import types
import uuid
from typing import Any

import pytest

from tidemill.errors import RetryableError, UnavailableError
from tidemill.events.ledger import Commit
from tidemill.exports.stream.lag import Progress
from tidemill.exports.stream.orders import Sent, StreamProgress
from tidemill.store.streams import WHOLE


class World:
    """A ledger and an export's position; and what was told."""

    def __init__(self) -> None:
        self.commits: dict[int, int] = {}  # rows, by snapshot
        self.position, self.away = 0, False
        self.told: list[StreamProgress] = []
        self.lake = types.SimpleNamespace(commits=self.ledger)
        self.progress = Progress(self._as_parts(), self._as_export(), self.told.append)

    def _as_parts(self) -> Any:
        source = types.SimpleNamespace(timed=True, position=self.newest)
        return types.SimpleNamespace(lake=self.lake, exports=self, source=lambda _: source)

    def _as_export(self) -> Any:
        return types.SimpleNamespace(id=uuid.uuid4(), position=0)

    def newest(self) -> int:
        if self.away:
            raise UnavailableError("database_unavailable", "It does not answer.")
        return max(self.commits, default=0)

    def ledger(self, after: int, upto: int, fold: float) -> list[Commit]:
        assert fold == math.inf
        chosen = [change for change in sorted(self.commits) if after < change <= upto]
        since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=100 - chosen[0])
        return [Commit(chosen[-1], sum(self.commits[one] for one in chosen), 0, since=since)]

    def by_id(self, _: uuid.UUID) -> Any:
        if self.away:
            raise UnavailableError("database_unavailable", "It does not answer.")
        return types.SimpleNamespace(position=self.position)

    def look(self) -> StreamProgress:
        """What is told after a look."""
        self.progress._look()
        return self.told[-1]


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_told_before_it_is_known(world: World) -> None:
    world.progress.tell((0, WHOLE), Sent(), "")
    assert world.told == []


def test_what_is_sent_waits_no_more(world: World) -> None:
    """Between two looks, too, and in the middle of a commit."""
    world.commits = {10: 100, 20: 50}
    assert world.look().waiting == 150
    assert 89 < world.told[-1].lag_seconds < 91
    world.progress.tell((10, 30), Sent(30, 300), "")
    assert world.told[-1].waiting == 120
    assert world.look().waiting == 120
    world.progress.tell((20, WHOLE), Sent(150, 1500), "")
    assert (world.told[-1].waiting, world.told[-1].lag_seconds) == (0, 0.0)
    assert world.look() == StreamProgress(150, 1500, 0, 0.0)


def test_rows_that_a_filter_leaves_out_wait_until_they_were_read(world: World) -> None:
    world.commits = {10: 100}
    assert world.look().waiting == 100
    world.progress.tell((10, WHOLE), Sent(), "")
    assert world.look().waiting == 0


def test_trouble_changes_nothing_of_how_much_waits(world: World) -> None:
    """Nor does another one who moves it then, and counts from zero."""
    world.commits = {10: 100, 20: 50}
    world.progress.tell((10, WHOLE), Sent(100, 1000), "")
    world.look()
    world.progress.end(Sent(100, 1000))
    world.progress.tell_trouble(RetryableError("backend_error", "It is away."))
    assert (world.told[-1].rows, world.told[-1].waiting, world.told[-1].trouble) == (100, 50, "It is away.")
    world.commits[30] = 7
    assert world.look().waiting == 57
    world.progress.begin()
    world.progress.tell((20, WHOLE), Sent(50, 500), "")
    assert (world.told[-1].rows, world.told[-1].bytes, world.told[-1].waiting) == (150, 1500, 7)


def test_what_was_known_holds_on_while_the_database_is_away(world: World) -> None:
    world.commits = {10: 100}
    first = world.look()
    world.away = True
    world.progress.tell_trouble(UnavailableError("database_unavailable", "It does not answer."))
    last = world.look()
    assert last.waiting == 100
    assert last.lag_seconds >= first.lag_seconds > 0


def test_what_another_process_has_sent_meanwhile_waits_no_more(world: World) -> None:
    world.commits = {10: 100, 20: 50}
    world.look()
    world.position = 10
    assert world.look().waiting == 50
