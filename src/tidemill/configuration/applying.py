"""Does what was planned, step by step, by the services that the command line has; it stops at the first that fails."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill.configuration.kinds import KINDS
from tidemill.configuration.kinds.kind import Doing
from tidemill.configuration.planning import Act, Plan, Step
from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.store.named import CHANGED

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.bigquery.access_steps import Step as TestStep


@dataclasses.dataclass(frozen=True)
class Applied:
    """What was done, and what was not. `failed`: the step that did not succeed, and `error` why."""

    done: tuple[Step, ...]
    left: tuple[Step, ...]
    failed: Step | None = None
    error: TidemillError | None = None

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        error = self.error
        return {
            "done": [_named(step) for step in self.done],
            "failed": _named(self.failed) if self.failed else None,
            "not_done": [_named(step) for step in self.left],
            "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
        }


def _named(step: Step) -> dict[str, str]:
    return {"act": step.act.value, "kind": KINDS[step.section].title, "name": step.name}


@dataclasses.dataclass(frozen=True)
class Telling:
    """Who is told what is done: of a step that begins, of the steps of its test, and of one that is done."""

    begun: Callable[[Step], None] = lambda _: None
    tested: Callable[[TestStep], None] = lambda _: None
    done: Callable[[Step], None] = lambda _: None


def assert_same(shown: Plan, now: Plan) -> None:
    """Raise ConflictError if something was changed since a plan was made."""
    if shown.id == now.id and [_state(step) for step in shown.steps] == [_state(step) for step in now.steps]:
        return
    before, after = ({(step.section, step.name): _state(step) for step in one.steps} for one in (shown, now))
    others = sorted({key for key in {*before, *after} if before.get(key) != after.get(key)})
    raise _outdated([f"{KINDS[section].title} {name}" for section, name in others])


def _state(step: Step) -> tuple[Any, ...]:
    return step.act, step.section, step.name, step.fields, step.before


def _outdated(named: list[str]) -> ConflictError:
    said = ", ".join(named[:10]) or "something"
    return ConflictError(
        "plan_outdated", f"Somebody has changed this since the plan was made: {said}.", hint="Look at a new plan."
    )


def assert_resets(plan: Plan, reset: str | None) -> None:
    """Raise ConfigError if it is to be said what becomes of rows that were delivered."""
    if plan.resets and reset is None:
        raise ConfigError(
            "mapping_changed",
            f"A new mapping changes what is sent of rows that are delivered already: {', '.join(plan.resets)}.",
            hint="Say what is to be done with them: --resend sends them all again, --leave leaves them.",
        )


def apply(plan: Plan, *, by: str, test: bool, reset: str | None, telling: Telling) -> Applied:
    """Do what was planned. `test`: whether credentials are tested before they are saved."""
    doing = Doing(plan.world.app, plan.world, by, test, reset, telling.tested)
    done: list[Step] = []
    for number, step in enumerate(plan.steps):
        telling.begun(step)
        try:
            _do(dataclasses.replace(doing, as_of=_looked(plan.world.app, step)), step)
        except TidemillError as error:
            said = _outdated([step.title]) if error.code == CHANGED else error
            return Applied(tuple(done), plan.steps[number + 1 :], step, said)
        done.append(step)
        telling.done(step)
    return Applied(tuple(done), ())


def _looked(app: App, step: Step) -> dt.datetime | None:
    """Look at a thing right before it is changed: steps before may have taken minutes. Gives when it was changed last,
    if that is known: what is changed from now on is refused by the service, in the transaction of the change.

    Raises
    ------
    ConflictError
        It is not as it was when the plan was made.
    """
    kind = KINDS[step.section]
    try:
        as_of = kind.changed_at(app, step.name) if step.before is not None else None
    except NotFoundError:
        raise _outdated([step.title]) from None
    if kind.found(app).get(step.name) != step.before:
        raise _outdated([step.title])
    return as_of


def _do(doing: Doing, step: Step) -> None:
    kind = KINDS[step.section]
    change = step.change
    if change is None:
        kind.delete(doing, step.name)
        return
    (kind.create if step.act is Act.CREATE else kind.change)(doing, change)
