"""A part of the installation as somebody may use it: each call is allowed by the table in rules.py, or refused; and who
changes something is in the audit log.

What is not in the table cannot be called. A record is written before anything is done, and says afterwards what became
of it: who kills the process is in the log, too.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from tidemill.access import records
from tidemill.access.actor import Actor
from tidemill.access.permissions import Permission
from tidemill.access.plain import plain
from tidemill.access.reach import LISTS
from tidemill.access.rule import Change, Rule
from tidemill.errors import AccessError, NotFoundError, TidemillError


class Log(Protocol):
    """Where records go."""

    def begin(self, **fields: Any) -> int:
        """Write one; gives its number."""

    def end(self, number: int, **fields: Any) -> None:
        """Say what became of it."""


#: How something stands, by its kind and name; None if there is none.
Snapshot = Callable[[str, str], Any]


class Guard:
    """See the module. `path`: where the part is in the table; `snapshot`: by which before and after are had."""

    def __init__(
        self, part: Any, path: str, rules: Mapping[str, Rule], actor: Actor, log: Callable[[], Log], snapshot: Snapshot
    ) -> None:
        self._guarded = part
        self._path, self._rules, self._actor, self._log, self._snapshot = path, rules, actor, log, snapshot

    def __getattr__(self, name: str) -> Any:
        """A method that asks first; or a part of the part."""
        path = f"{self._path}.{name}"
        if rule := self._rules.get(path):
            return self._asking(getattr(self._guarded, name), rule)
        if any(known.startswith(f"{path}.") for known in self._rules):
            return Guard(getattr(self._guarded, name), path, self._rules, self._actor, self._log, self._snapshot)
        raise AttributeError(f"{path} is not in access/rules.py: nobody may use it from outside")

    def _asking(self, method: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
        @functools.wraps(method)
        def asking(*arguments: Any, **named: Any) -> Any:
            given = _given(method, arguments, named) if rule.change else {}
            self._assert_may(rule, given, [rule.permission] if rule.permission else [])
            if rule.check is not None and self._actor.kind != "shell":
                rule.check(given)
            with self._unseen():
                if rule.also is not None and self._actor.kind != "shell":
                    self._assert_may(rule, given, rule.also(self._guarded, given))
                if rule.change is None:
                    return method(*arguments, **named)
                return self._recorded(rule.change, given, lambda: method(*arguments, **named))

        return asking

    def _assert_may(self, rule: Rule, given: Mapping[str, Any], needed: Collection[Permission]) -> None:
        for permission in sorted(set(needed) - self._actor.permissions):
            if rule.change:
                number = self._log().begin(**self._record(rule.change, given))
                self._log().end(number, outcome="refused", code="not_allowed")
            raise refusal(self._actor, permission)

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        """Who names something that is not there is told what there is, but not if they may not look at that."""
        try:
            yield
        except NotFoundError as error:
            permission = LISTS.get(error.code)
            if permission is not None and permission not in self._actor.permissions:
                error.hint = f"Which there are sees who has the permission {permission}."
            raise

    def _record(self, change: Change, given: Mapping[str, Any]) -> dict[str, Any]:
        actor = self._actor
        return {
            "actor": actor.name,
            "actor_kind": actor.kind,
            "address": actor.address,
            "action": change.action,
            "kind": change.kind,
            "name": change.name_of(given),
            "details": {name: plain(given[name]) for name in change.details if given.get(name) not in (None, (), [])},
        }

    def _recorded(self, change: Change, given: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        record = self._record(change, given)
        name = record["name"]
        before = plain(self._snapshot(change.kind, name)) if change.compares else None
        number = self._log().begin(**record, before=before)

        def done() -> None:
            after = plain(self._snapshot(change.kind, change.renamed(given) or name)) if change.compares else None
            self._log().end(number, outcome="done", after=after)

        with self._failing(number), records.of(number):
            result = call()
        if change.lasts and not result.already:
            return result  # whoever does it says what became of it
        if inspect.isgenerator(result):  # nothing of it is done yet
            return self._step_by_step(number, result, done)
        done()
        return result

    @contextlib.contextmanager
    def _failing(self, number: int) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            code = error.code if isinstance(error, TidemillError) else type(error).__name__
            self._log().end(number, outcome="failed", code=code)
            raise

    def _step_by_step(self, number: int, steps: Iterator[Any], done: Callable[[], None]) -> Iterator[Any]:
        """What is done while somebody looks on. With its last step it is done; who leaves before has failed."""
        with self._failing(number):
            yield from steps
        done()


def refusal(actor: Actor, permission: str) -> AccessError:
    """Why somebody may not do something, and what to do about it. Its `raw` is what they lack."""
    if actor.kind == "token":
        return AccessError(
            "scope_missing",
            f"The token {actor.name} may not do this: it lacks the scope {permission}.",
            hint=f"Make another one: tidemill token create NAME --scope {permission}",
            raw=str(permission),
        )
    return AccessError(
        "not_allowed",
        f"{actor.name} may not do this: it takes the permission {permission}.",
        hint="An administrator can change your role: Settings, Users; or tidemill user edit NAME --role ROLE",
        raw=str(permission),
    )


def _given(method: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by their names."""
    try:
        bound = inspect.signature(method).bind(*arguments, **named)
    except TypeError:  # the call itself says so better
        return dict(named)
    bound.apply_defaults()
    return dict(bound.arguments)
