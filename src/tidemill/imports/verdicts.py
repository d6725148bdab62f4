"""What an import would make of rows, column by column, as a dry run shows it (research on Amplitude and CleverTap,
section 4.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidemill.destinations.port import Op
from tidemill.imports import columns, convert, steps, times
from tidemill.imports.made import Refusal, Rows, Source
from tidemill.imports.spec import ImportSpec
from tidemill.imports.unfit import Unfit
from tidemill.imports.values import TOO_DEEP


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A row of which nothing is made, for a column: the row's key, and why."""

    key: str
    column: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """About a column. `target`: the property's name, or distinct_id, event, timestamp or uuid; `kind`: what it is read
    as; `bad`: how many of the rows do not fit. `read`, `stored`: a value, and what is kept of it, as JSON has them."""

    column: str
    target: str
    kind: str
    rows: int
    bad: int
    read: Any
    stored: Any
    errors: tuple[Wrong, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether all values fit."""
        return not self.bad


def verdicts(spec: ImportSpec, source: Source, rows: Rows) -> list[Verdict]:
    """A verdict for each column that is read, in the order in which they are. Each tells of all its errors, also those
    of rows that are refused for another column, too. Rows that went away are not looked at: they have no columns."""
    living = [at for at, op in enumerate(rows.ops) if op != Op.DELETED]
    some = convert.only(rows, living)
    refused = convert.made(spec, source, some).refused
    read = (steps.whose(spec), *steps.of_event(spec, rows.now, mirrors=source.mirrors), *steps.of_properties(spec))
    return [_verdict(step, some, refused) for step in read] if living else []


def _verdict(step: steps.Step, rows: Rows, refused: Mapping[int, Refusal]) -> Verdict:
    made, wrong = step.run(rows.columns)
    values = columns.values(rows.columns, step.column)
    # It shows only when a row is written.
    late = {at: why for at, why in refused.items() if why == step.refusal(values[at], Unfit(TOO_DEEP))}
    found = dict(sorted((late | wrong).items()))
    example = _example(values, made, found)
    return Verdict(
        step.column,
        step.target,
        step.kind,
        len(rows),
        len(found),
        values[example],
        None if example in found else _stored(step, made[example]),
        tuple(Wrong(rows.keys[at], step.column, why.code, why.message) for at, why in found.items()),
    )


def _example(values: Sequence[Any], made: Sequence[Any], wrong: Mapping[int, Refusal]) -> int:
    """The place of a value that tells most: one that is kept, else one that does not fit, else a null."""
    kept = (at for at, value in enumerate(made) if value is not None and at not in wrong)
    return next(kept, next((at for at in wrong if values[at] is not None), 0))


def _stored(step: steps.Step, value: Any) -> Any:
    if step.target == "timestamp" and step.code == "time_refused":
        return times.moment(value)
    return _seen(value)


def _seen(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        try:
            return msgspec.json.decode(value)
        except msgspec.ValidationError:  # a number that nothing holds is kept as it came
            return bytes(value).decode()
    if isinstance(value, dict):
        return {name: _seen(inner) for name, inner in value.items()}
    return value
