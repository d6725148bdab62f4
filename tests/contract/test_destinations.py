"""What holds of each destination, whatever it is: every row ends in one outcome, and nothing is lost or told by
mistake."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import lines
from tests.contract.api import Reply, Tool
from tests.contract.everything import APIS

from tidemill import destinations
from tidemill.destinations import deliver, fields, registry
from tidemill.destinations.deliver import Line
from tidemill.destinations.port import Action, Destination, Mode, Op, Outcome, Outlet, Record, Status, identity
from tidemill.errors import AccessError, ConfigError, TidemillError, UnavailableError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.store.postgres import Postgres

FOLDER = Path(destinations.__file__).parent
CASES = [(name, action.name) for name, found in registry.everything().items() for action in found.actions]


class Case:
    """A destination with a server that behaves as its API."""

    def __init__(self, api: Tool, action: str) -> None:
        self.api = api
        self.destination: Destination = registry.get(api.destination)
        self.action: Action = self.destination.action(action)
        self.outcomes: dict[str, Outcome] = {}
        self.waits: list[float] = []
        self.sent: Counter[str] = Counter()

    def record(self, number: int, made: dict[str, Any] | None = None, op: Op | None = None) -> Record:
        """A row, mapped and checked."""
        mode = self.action.modes[0]
        op = op or sorted(mode.ops)[0]
        found = fields.checker(self.action)(made or self.api.fields(self.action.name, number), op)
        assert not isinstance(found, Outcome), found
        return Record(str(number), identity("sync", str(number), "hash", op), op, mode, found)

    def told(self, outcomes: Iterable[tuple[Record, Outcome]]) -> None:
        for record, outcome in outcomes:
            assert record.row_key not in self.outcomes, "a row has two outcomes"
            self.outcomes[record.row_key] = outcome

    @contextlib.contextmanager
    def client(
        self,
        *,
        good: bool = True,
        allowed: Iterable[str] = ("127.0.0.1",),
        sleep: Callable[[float], None] | None = None,
    ) -> Iterator[Any]:
        settings = self.destination.settings(**self.api.settings(good=good))
        http = Http(Guard(allowed))
        outlet = Outlet(http, sleep or self.waits.append)
        with contextlib.closing(http), self.destination.open(settings, outlet) as client:
            yield client

    def deliver(self, records: Iterable[Record], *, good: bool = True) -> None:
        with self.client(good=good) as client:
            deliver.deliver(self.line(client, self.waits.append), records, self.told)

    def line(self, client: Any, sleep: Callable[[float], None]) -> Line:
        """The way of its rows."""
        secrets = self.destination.settings(**self.api.settings()).secrets
        return lines.unpaced(client, self.action, sleep, secrets=secrets)

    def statuses(self) -> dict[str, Status]:
        return {key: outcome.status for key, outcome in self.outcomes.items()}

    def assert_taken(self, numbers: Iterable[int], *, again: bool = False) -> None:
        """`again`: rows were sent again, of which some tools cannot know that they have them."""
        expected = Counter(self.api.mark(self.action.name, number) for number in numbers)
        found = Counter(self.api.taken(self.action.name))
        if again and not self.api.keeps_ids(self.action.name):
            assert set(found) == set(expected)
        else:
            assert found == expected


@pytest.fixture(params=CASES, ids=[f"{name}-{action}" for name, action in CASES])
def case(request: pytest.FixtureRequest, postgres_server: Postgres) -> Iterator[Case]:  # noqa: ARG001 - one for all
    name, action = request.param
    api = APIS[name].of(request)
    yield Case(api, action)
    api.close()


def some(case: Case) -> int:
    """More rows than one call takes."""
    return min(case.action.limits.rows * 2 + 3, 1_203)


def test_each_row_is_delivered_once_within_the_limits_of_a_call(case: Case) -> None:
    number = some(case)
    case.deliver(case.record(n) for n in range(number))
    assert set(case.statuses().values()) == {Status.WRITTEN}
    assert len(case.outcomes) == number
    case.assert_taken(range(number))
    limits = case.action.limits
    for asked in case.api.asked:
        assert (case.api.rows_of(asked) or 0) <= limits.rows
        assert len(asked.body) <= limits.bytes + 10_000


def test_a_row_that_is_refused_is_set_aside_and_the_others_are_delivered(case: Case) -> None:
    made = case.api.unwelcome(case.action.name, 7)
    if made is None:
        pytest.skip("this API refuses no row that passes the checks")
    case.deliver([case.record(n, made if n == 7 else None) for n in range(20)])
    rejected = {key for key, status in case.statuses().items() if status is Status.REJECTED}
    assert rejected == {"7"}
    assert case.outcomes["7"].message
    case.assert_taken(n for n in range(20) if n != 7)


def test_a_call_that_is_told_to_come_later_is_made_again_when_it_may(case: Case) -> None:
    case.api.faults = [Reply(429, {}, {"Retry-After": "9"})]
    case.deliver([case.record(n) for n in range(5)])
    assert max(case.waits) >= (9 if case.api.tells_when else 0.5)
    assert set(case.statuses().values()) == {Status.WRITTEN}
    case.assert_taken(range(5))


def test_a_failure_that_says_when_it_is_over_is_waited_for(case: Case) -> None:
    case.api.faults = [Reply(503, {}, {"Retry-After": "11"})]
    case.deliver([case.record(n) for n in range(5)])
    assert max(case.waits) >= (11 if case.api.tells_when else 0.5)
    assert set(case.statuses().values()) == {Status.WRITTEN}


def test_a_call_whose_answer_is_lost_is_made_again_with_the_same_ids(case: Case) -> None:
    case.api.faults = [Reply(cut=True, after=True), Reply(503, {}, after=True)]
    case.deliver([case.record(n) for n in range(5)])
    assert set(case.statuses().values()) == {Status.WRITTEN}
    assert len(case.api.faults) < 2  # of some it is seen that the first call was done
    case.assert_taken(range(5), again=True)


def test_an_api_that_is_down_takes_nothing_and_nothing_is_lost(case: Case) -> None:
    case.api.faults = [Reply(503, {}) for _ in range(1_000)]
    with contextlib.suppress(UnavailableError):
        case.deliver(case.record(n) for n in range(some(case)))
    assert set(case.statuses().values()) <= {Status.RETRY}
    assert not case.api.taken(case.action.name)


def test_a_credential_that_is_refused_ends_it_and_no_row_is_told_of(case: Case) -> None:
    for attempt in (lambda: case.deliver([case.record(1)], good=False), lambda: probed(case)):
        with pytest.raises(AccessError) as caught:
            attempt()
        assert not case.outcomes
        assert_no_secret(case, caught.value)


def probed(case: Case) -> str:
    with case.client(good=False) as client:
        said: str = client.test()
        return said


def test_a_credential_can_be_tested(case: Case) -> None:
    with case.client() as client:
        assert client.test()
    assert not case.api.taken(case.action.name)


def test_what_is_not_of_the_internet_is_reached_only_if_it_is_allowed_by_name(case: Case) -> None:
    with case.client(allowed=()) as client, pytest.raises(ConfigError) as caught:
        client.test()
    assert caught.value.code == "address_private"
    assert not case.api.asked


def test_a_row_that_is_too_large_is_set_aside(case: Case) -> None:
    small = Action(**{**vars(case.action), "limits": type(case.action.limits)(row_bytes=1)})
    case.action = small
    case.deliver([case.record(1)])
    assert case.outcomes["1"].code == deliver.TOO_LARGE


def test_a_row_that_is_deleted_is_gone_and_the_others_stay(case: Case) -> None:
    if not case.api.forgets(case.action.name):
        pytest.skip("this API deletes nothing, or keeps what it is told of deleted rows")
    assert {Mode.MIRROR, Mode.DELETE} <= set(case.action.modes)
    number = some(case)
    case.deliver(case.record(n) for n in range(number))
    case.outcomes.clear()
    case.deliver(case.record(n, op=Op.DELETED) for n in range(number) if n % 4)
    assert set(case.statuses().values()) == {Status.WRITTEN}
    case.assert_taken(range(0, number, 4))


def test_who_stops_has_told_of_what_was_delivered(case: Case) -> None:
    lock, stopped = threading.Lock(), []

    def sleep(seconds: float) -> None:
        with lock:
            stopped.append(seconds)
        raise TidemillError("stop", "Stopped.")

    case.api.faults = [Reply(429, {}, {"Retry-After": "1"}) for _ in range(1_000)]
    with case.client() as client, pytest.raises(TidemillError, match="Stopped"):
        deliver.deliver(case.line(client, sleep), [case.record(n) for n in range(3)], case.told)
    assert stopped
    assert not case.api.taken(case.action.name)
    assert not case.outcomes


@pytest.mark.parametrize("good", [1, 2])
def test_who_is_stopped_after_some_requests_has_told_of_all_that_is_there(case: Case, good: int) -> None:
    made, numbers = case.api.unwelcome(case.action.name, 7), range(min(some(case), 203))
    stopped_after(case, good, [case.record(n, made if n == 7 else None) for n in numbers])
    taken = set(case.api.taken(case.action.name))
    good_ones = [n for n in numbers if n != 7 or made is None]
    assert_told_of(case, [n for n in good_ones if case.api.mark(case.action.name, n) in taken])


@pytest.mark.parametrize("good", [1, 2])
def test_who_is_stopped_after_some_requests_has_told_of_all_that_is_gone(case: Case, good: int) -> None:
    if not case.api.forgets(case.action.name):
        pytest.skip("this API deletes nothing, or keeps what it is told of deleted rows")
    numbers = range(min(some(case), 203))
    case.deliver(case.record(n) for n in numbers)
    case.outcomes.clear()
    stopped_after(case, good, [case.record(n, op=Op.DELETED) for n in numbers])
    taken = set(case.api.taken(case.action.name))
    assert_told_of(case, [n for n in numbers if case.api.mark(case.action.name, n) not in taken])


def stopped_after(case: Case, good: int, records: Iterable[Record]) -> None:
    """So many requests that deliver are answered, then it is told to come later; and nobody waits."""

    def sleep(_: float) -> None:
        raise TidemillError("stop", "Stopped.")

    case.api.faults = [*[None] * good, *[Reply(429, {}) for _ in range(1_000)]]
    with contextlib.suppress(TidemillError), case.client(sleep=sleep) as client:
        deliver.deliver(case.line(client, sleep), records, case.told)


def assert_told_of(case: Case, done: Iterable[int]) -> None:
    """What the API has done is told of as written, or as what may be there; and nothing else is written."""
    told = {key for key, one in case.outcomes.items() if one.status is Status.WRITTEN or one.unsure}
    assert {str(number) for number in done} <= told
    assert {key for key, status in case.statuses().items() if status is Status.WRITTEN} <= {str(n) for n in done}


def test_a_destination_says_what_it_is() -> None:
    for name, found in registry.everything().items():
        assert (FOLDER / name / "README.md").read_text().startswith(f"# {found.title}\n"), name
        assert found.name == name
        for action in found.actions:
            assert action.modes, (name, action.name)
            if action.modes != (Mode.DELETE,):
                assert Op.DELETED not in action.modes[0].ops, "nothing is deleted unless somebody says so"
            assert action.description.endswith("."), (name, action.name)
            for field in action.fields:
                assert field.description.endswith("."), (name, action.name, field.name)
        for setting, told in found.settings.model_fields.items():
            assert (told.description or "").endswith("."), (name, setting)
        assert name in APIS, "each destination has a server that behaves as its API"


def assert_no_secret(case: Case, error: TidemillError) -> None:
    settings = case.destination.settings(**case.api.settings(good=False))
    said = f"{error} {error.hint} {error.raw} {error.args}"
    assert not [secret for secret in settings.secrets if secret in said]
