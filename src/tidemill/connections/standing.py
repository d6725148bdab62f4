"""How a connection stands: whether it does what it is for, by its last test and by what used it since.

What proves something is a test, a run of an export, sync or import for which BigQuery was asked, and a stream that has
sent rows. What is newest counts; nothing does that was before the connection became another one. Of runs that failed
only those count whose reason is the connection, or BigQuery that did not answer: a query with a mistake says nothing.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tidemill.bigquery.access_steps import Step
from tidemill.store.connection_tests import ConnectionTest
from tidemill.store.connection_uses import Failure
from tidemill.store.records import Connection

#: Codes of errors whose reason is the connection: its credential, what is granted to it, or where it points.
REASONS = (
    *("access_denied", "api_disabled", "billing_disabled", "credential_refused", "permission_missing"),
    *("dataset_not_found", "project_not_found", "wrong_location", "bigquery_unavailable", "local_stopped"),
    *("no_default_credentials", "secret_key_invalid", "secret_key_lost", "secret_key_wrong"),
)
#: Of a step, what is kept.
_KEPT = ("name", "title", "status", "message", "hint", "code", "seconds")


class State(enum.StrEnum):
    """How it is."""

    READY = "ready"
    FAILING = "failing"
    UNTESTED = "untested"
    DELETING = "being deleted"


@dataclasses.dataclass(frozen=True)
class StepTold:
    """A step of a test, as it was."""

    name: str
    title: str
    status: str
    message: str
    hint: str
    code: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Test:
    """The last test. `use`: what for, batch or streaming."""

    at: dt.datetime
    use: str
    passed: bool
    steps: tuple[StepTold, ...]

    @property
    def failed_step(self) -> StepTold | None:
        """The first that failed."""
        return next((step for step in self.steps if step.status == "failed"), None)


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a connection stands. `at`: when that was seen last; `message`: by what, or what is wrong; `hint`: what to do.

    `succeeded_at`: when something that used it last went well; `failure`: the newest, if its reason is the connection.
    """

    state: State
    at: dt.datetime | None
    message: str
    hint: str
    test: Test | None
    succeeded_at: dt.datetime | None
    failure: Failure | None


@dataclasses.dataclass(frozen=True)
class Done:
    """A test that came to its end. `took`: seconds."""

    use: str
    steps: tuple[Step, ...]
    took: float

    @property
    def passed(self) -> bool:
        """Whether no step failed."""
        return all(step.status != "failed" for step in self.steps)

    def kept(self) -> list[dict[str, Any]]:
        """The steps, as they are kept."""
        return [{name: getattr(step, name) for name in _KEPT} for step in self.steps]


def watched(steps: Iterator[Step], use: str, keep: Callable[[Done], None]) -> Iterator[Step]:
    """The steps of a test; when the last one is over, it is kept."""
    began, found = time.monotonic(), list[Step]()
    for step in steps:
        found.append(step)
        yield step
    keep(Done(use, tuple(found), time.monotonic() - began))


def of(
    saved: Connection, tested: ConnectionTest | None, succeeded_at: dt.datetime | None, failure: Failure | None
) -> Standing:
    """How one stands, by what is known of it."""
    test = _test(tested) if tested else None
    proofs = [proof for proof in _proofs(test, succeeded_at, failure) if _counts(saved, proof.at)]
    last = max(proofs, key=lambda proof: proof.at, default=None)
    if saved.deleting_at is not None:
        state, at = State.DELETING, saved.deleting_at
        message, hint = f"{saved.deleting_by} deletes it: nothing new is begun on it.", ""
    elif last is None:
        state, at, message, hint = State.UNTESTED, None, _UNTESTED if saved.changed_at is None else _CHANGED, ""
    else:
        state, at, message, hint = State.READY if last.good else State.FAILING, last.at, last.message, last.hint
    return Standing(state, at, message, hint, test, succeeded_at, failure)


_UNTESTED = "It was not tested, and nothing has used it."
_CHANGED = "It was changed, and neither tested nor used since."


@dataclasses.dataclass(frozen=True)
class _Proof:
    at: dt.datetime
    good: bool
    message: str
    hint: str = ""


def _counts(saved: Connection, at: dt.datetime) -> bool:
    return saved.changed_at is None or at >= saved.changed_at


def _proofs(test: Test | None, succeeded_at: dt.datetime | None, failure: Failure | None) -> Sequence[_Proof]:
    found = []
    if test is not None:
        step = test.failed_step
        said = f"The test failed: {step.title}. {step.message}".strip() if step else "The test was passed."
        found.append(_Proof(test.at, test.passed, said, step.hint if step else ""))
    if succeeded_at is not None:
        found.append(_Proof(succeeded_at, True, "What used it last went well."))
    if failure is not None:
        said = f"The {failure.kind} {failure.name} failed: {failure.message}"
        found.append(_Proof(failure.at, False, said, failure.hint))
    return found


def _test(kept: ConnectionTest) -> Test:
    steps = tuple(StepTold(**{name: step.get(name, "") for name in _KEPT}) for step in kept.steps)
    return Test(kept.tested_at, kept.use, kept.passed, steps)
