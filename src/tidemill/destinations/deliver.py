"""Delivers records: checked, encoded, put into batches, paced, sent, tried again; one outcome for each.

Whatever happens, the outcomes of a call are told before the next call of the same records is made, and a record is sent
again with the same identity only. An error that is of no row ends it: what has no outcome then is not delivered.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tidemill import logbook
from tidemill.destinations import answers
from tidemill.destinations.port import (
    Action,
    BatchRefused,
    Limits,
    Outcome,
    Partly,
    Record,
    Sending,
    SomeRefused,
    Status,
    again,
    rejected,
)
from tidemill.errors import RetryableError, TidemillError, UnavailableError

#: How often a call that may pass is made, and seconds before the second time; twice that each time after, up to a
#: bound.
_TRIES, _FIRST_SECONDS, _MOST_SECONDS = 5, 1.0, 60.0
#: A service that asks to come back later than that: its rows come with the next run.
_LONGEST_SECONDS = 300.0
#: A row that is to be tried again after so many seconds at most is waited for; later ones come with the next run.
_SOON_SECONDS = 60.0
#: So many calls in a row that were tried in vain: the others are not tried, for they would fare alike.
GIVES_UP_AFTER = 3
_NOTHING_LOST = "Nothing is lost: they come with the next run."
TOO_LARGE, NOT_TEXT = "row_too_large", "row_not_text"

Found = list[tuple[Record, Outcome]]
Told = Callable[[Sequence[tuple[Record, Outcome]]], None]


#: What says nothing of other calls.
_OF_A_CALL = (RetryableError, UnavailableError, BatchRefused)


@dataclasses.dataclass
class Trouble:
    """What a destination does to the calls of a line, whatever is delivered by it. `failures`: calls in a row that were
    tried in vain; `later`: what it said, if it does not want to be called for long."""

    failures: int = 0
    later: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """How records get to a destination. `secrets`: what nothing that is said of a row may hold (Settings.secrets);
    `paced`: holds a batch of so many rows until the account's limits allow it (requests are held by `Http.turn`);
    `sleep`: see Outlet; `calls`: told of each call that was made (rows, bytes); `held`: told that the destination asked
    for so many seconds of peace; `trouble`: what is known of the destination from records that were delivered
    before."""

    client: Any
    action: Action
    secrets: tuple[str, ...]
    paced: Callable[[int], contextlib.AbstractContextManager[None]]
    sleep: Callable[[float], None]
    calls: Callable[[int, int], None] = lambda _rows, _bytes: None
    held: Callable[[float], None] = lambda _: None
    trouble: Trouble = dataclasses.field(default_factory=Trouble)


def deliver(line: Line, records: Iterable[Record], told: Told) -> None:
    """Deliver records. `told` gets each with its outcome, from one thread at a time, as soon as it is known. Neither
    what it gets nor what is raised holds a secret of the line.

    Raises
    ------
    TidemillError
        Nothing more can be delivered: what was not told of was not delivered.
    """
    line = dataclasses.replace(line, action=answers.guarded(line.action, line.secrets))
    calls, untried = _Calls(line, told), False
    with concurrent.futures.ThreadPoolExecutor(line.action.limits.at_once) as pool:
        try:
            for batch in _batches(line.action, _encoded(line.action, records, told)):
                if calls.wait():
                    untried = True
                    break
                calls.begin(pool, batch)
        except BaseException as error:  # noqa: BLE001 - calls are waited for, then it is raised
            calls.stopped.append(error)
        calls.finish()
    if calls.stopped:
        raise calls.stopped[0]
    if line.trouble.failures >= GIVES_UP_AFTER:
        raise UnavailableError(
            "destination_down",
            "The destination has failed again and again: the other rows are not tried now.",
            hint=_NOTHING_LOST,
        )
    if untried:
        raise UnavailableError(
            "destination_later", f"The other rows are not tried now: {line.trouble.later}", hint=_NOTHING_LOST
        )


class _Calls:
    """Those that are under way. `stopped`: what ends it."""

    def __init__(self, line: Line, told: Told) -> None:
        self._line, self._told = line, told
        self._moving: dict[concurrent.futures.Future[None], Found] = {}
        self.stopped: list[BaseException] = []

    def begin(self, pool: concurrent.futures.Executor, batch: Sequence[Sending]) -> None:
        """Send a batch."""
        found: Found = []
        self._moving[pool.submit(logbook.carried(_send), self._line, batch, found)] = found

    def wait(self) -> bool:
        """Until another one may begin; whether none is to."""
        if len(self._moving) >= self._line.action.limits.at_once:
            self._settle(concurrent.futures.wait(self._moving, return_when=concurrent.futures.FIRST_COMPLETED).done)
        trouble = self._line.trouble
        return bool(self.stopped or trouble.later) or trouble.failures >= GIVES_UP_AFTER

    def finish(self) -> None:
        """Wait for all."""
        self._settle(concurrent.futures.wait(self._moving).done)

    def _settle(self, done: Iterable[concurrent.futures.Future[None]]) -> None:
        """Tell what came of calls, also of one that was stopped: what it knows of its rows, nobody else does."""
        for future in done:
            outcomes = self._moving.pop(future)
            try:
                if outcomes:
                    vain = all(outcome.code == VAIN for _, outcome in outcomes)
                    trouble = self._line.trouble
                    trouble.failures = trouble.failures + 1 if vain else 0
                    if vain and (outcomes[0][1].after or 0.0) > _LONGEST_SECONDS:
                        trouble.later = outcomes[0][1].message
                    self._told(outcomes)
                future.result()
            except BaseException as error:  # noqa: BLE001 - the others are waited for, then it is raised
                self.stopped.append(error)


#: The code of the outcome of a row whose call was tried in vain.
VAIN = "destination_did_not_take"


@dataclasses.dataclass(frozen=True, slots=True)
class _Ready:
    """What can be sent, with what it may share a call with: see Action."""

    sending: Sending
    group: Hashable
    same: Hashable


def _encoded(action: Action, records: Iterable[Record], told: Told) -> Iterator[_Ready]:
    """Records in the form in which they are sent; those that cannot be are told of."""
    for record in records:
        try:
            found = _ready(action, record)
        except UnicodeEncodeError:  # half a pair of surrogates, which JSON can name and UTF-8 cannot
            found = rejected(NOT_TEXT, "A text of the row is no Unicode.")
        if isinstance(found, Outcome):
            told([(record, dataclasses.replace(found, here=True))])
        else:
            yield found


def _ready(action: Action, record: Record) -> _Ready | Outcome:
    wrong = action.check(record)
    if wrong is not None:
        return wrong
    body, most = action.encode(record), action.limits.row_bytes
    if len(body) > most:
        return rejected(TOO_LARGE, f"The row has {len(body):,} bytes, and {most:,} are allowed.")
    group = action.group(record)
    _assert_unicode(group)  # a list's or a table's name, which is in no body
    return _Ready(Sending(record, body), group, action.distinct(record) if action.distinct else None)


def _assert_unicode(value: Hashable) -> None:
    """Raise UnicodeEncodeError, if a text is none."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, tuple):
        for one in value:
            _assert_unicode(one)


def _batches(action: Action, readies: Iterable[_Ready]) -> Iterator[list[Sending]]:
    """Batches within the limits of a call, of records that may share one. Of those that may not, the later waits."""
    open_: dict[Hashable, _Batch] = {}
    for ready in readies:
        sending, group, same = ready.sending, ready.group, ready.same
        batch = open_.get(group)
        if batch is not None and not batch.takes(sending, same, action.limits):
            yield open_.pop(group).sendings
            batch = None
        if batch is None:
            batch = open_[group] = _Batch()
        batch.add(sending, same)
        if len(batch.sendings) >= action.limits.rows:
            yield open_.pop(group).sendings
    for batch in open_.values():
        yield batch.sendings


class _Batch:
    def __init__(self) -> None:
        self.sendings: list[Sending] = []
        self._bytes = 0
        self._seen: set[Hashable] = set()

    def takes(self, sending: Sending, same: Hashable, limits: Limits) -> bool:
        if same is not None and same in self._seen:
            return False
        return self._bytes + len(sending.body) + 1 <= limits.bytes

    def add(self, sending: Sending, same: Hashable) -> None:
        self.sendings.append(sending)
        self._bytes += len(sending.body) + 1
        if same is not None:
            self._seen.add(same)


@dataclasses.dataclass
class _Rows:
    """Rows of a call that have no outcome yet. `unsure`: an earlier try may have brought them. `later`: what the last
    try said of each of them, if it was that it is to be tried again soon."""

    left: list[Sending]
    unsure: bool = False
    later: list[Outcome] = dataclasses.field(default_factory=list)

    def found(self, outcomes: Mapping[int, Outcome], found: Found) -> None:
        """Outcomes of rows, by their places. One that is refused now may be there by an earlier try."""
        for place, outcome in outcomes.items():
            doubted = self.unsure and outcome.status is not Status.WRITTEN
            found.append((self.left[place].record, dataclasses.replace(outcome, unsure=True) if doubted else outcome))
        self.left = [sending for place, sending in enumerate(self.left) if place not in outcomes]

    def all(self, outcome: Outcome, found: Found) -> None:
        """The same outcome for all that are left."""
        self.found(dict.fromkeys(range(len(self.left)), outcome), found)

    def stopped(self, failed: str, found: Found) -> None:
        """They are not sent again now. If an earlier try may have brought them, that is found of them. `failed`: what
        it ended by."""
        if self.later:
            self.found(dict(enumerate(self.later)), found)
        elif self.unsure:
            told = failed or "It was stopped before the destination had said what became of the row."
            self.all(again(VAIN, told), found)


def _send(line: Line, batch: Sequence[Sending], found: Found, *, unsure: bool = False) -> None:
    """Send a batch; its outcomes are added to those that were found. One that is refused without a row being named is
    halved, until the row is found. `unsure`: an earlier call may have brought the rows."""
    rows = _Rows(list(batch), unsure)
    try:
        _try(line, rows, found)
    except BatchRefused as error:
        if len(rows.left) == 1:
            rows.all(rejected(error.code, error.message), found)
            return
        middle = len(rows.left) // 2
        later = _Rows(rows.left[middle:], rows.unsure)
        try:
            _send(line, rows.left[:middle], found, unsure=rows.unsure)
        except BaseException:
            later.stopped("", found)
            raise
        _send(line, later.left, found, unsure=later.unsure)


def _try(line: Line, rows: _Rows, found: Found) -> None:
    """Send rows, and those again that are left while it may pass. If it is stopped, and an earlier try may have passed,
    this is found of the rows that are left: they are to be known as the same when they are sent again."""
    failed, code, after = "", "", None
    try:
        for number in range(1, _TRIES + 1):
            error = _once(line, rows, found)
            if error is None and rows.later and number < _TRIES:
                line.sleep(max(outcome.after or 0.0 for outcome in rows.later))
                continue
            rows.found(dict(enumerate(rows.later)), found)
            if error is None or (not rows.left and isinstance(error, _OF_A_CALL)):
                return
            if not isinstance(error, RetryableError | UnavailableError):
                raise error
            failed, code, after = error.message, error.code, error.after
            if after:
                line.held(min(after, _LONGEST_SECONDS))
            if number == _TRIES or (after or 0.0) > _LONGEST_SECONDS:
                logbook.warning("A call is given up for now.", code=code, tries=number, rows=len(rows.left))
                break
            pause = min(_FIRST_SECONDS * 2 ** (number - 1), _MOST_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
            wait = max(pause, after or 0.0)
            logbook.warning("A call is made again.", code=code, tries=number, rows=len(rows.left), wait=round(wait, 3))
            line.sleep(wait)
    except BatchRefused:
        raise
    except BaseException:
        rows.stopped(failed, found)
        raise
    rows.all(again(VAIN, failed, after), found)


def _once(line: Line, rows: _Rows, found: Found) -> BaseException | None:
    """Send rows once. Gives the error that it ended by; those that are to be tried again soon are left."""
    rows.later = []
    try:
        with line.paced(len(rows.left)):
            line.calls(len(rows.left), sum(len(sending.body) for sending in rows.left))
            outcomes = line.action.send(line.client, rows.left)
    except Partly as partly:
        rows.found(partly.outcomes, found)
        rows.unsure = rows.unsure or partly.unsure or isinstance(partly.__cause__, UnavailableError)
        return partly.__cause__
    except TidemillError as error:
        some = isinstance(error, SomeRefused) and len(rows.left) > 1
        rows.unsure = rows.unsure or some or isinstance(error, UnavailableError)
        return error
    if len(outcomes) != len(rows.left):
        raise RuntimeError(f"{len(outcomes)} outcomes of {len(rows.left)} rows")
    soon = [_is_soon(outcome) for outcome in outcomes]
    rows.found({place: outcome for place, outcome in enumerate(outcomes) if not soon[place]}, found)
    rows.later = [outcome for place, outcome in enumerate(outcomes) if soon[place]]
    return None


def _is_soon(outcome: Outcome) -> bool:
    return outcome.status is Status.RETRY and 0.0 < (outcome.after or 0.0) <= _SOON_SECONDS
