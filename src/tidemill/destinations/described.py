"""What a destination is, in words: for who sets one up, in a terminal and in the documents."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import pydantic

from tidemill.destinations.port import Action, Destination, Field, Limits, Pace

_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", pydantic.SecretStr: "secret"}
_TIMES = {1.0: "a second", 60.0: "a minute", 3_600.0: "an hour", 86_400.0: "24 hours"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One of an account. `default`: what it is if it is left out; None: nothing, or it is `required`."""

    name: str
    kind: str
    required: bool
    default: str | None
    secret: bool
    description: str

    @property
    def left_out(self) -> str:
        """What becomes of it if nobody gives it."""
        return "required" if self.required else self.default or ""


def settings(destination: Destination) -> tuple[Setting, ...]:
    """All settings of an account."""
    found = []
    for name, field in destination.settings.model_fields.items():
        kind = _plain(field.annotation)
        default = None if field.is_required() or field.default is None else _text(field.default)
        secret = kind is pydantic.SecretStr
        found.append(Setting(name, _kind(kind), field.is_required(), default, secret, field.description or ""))
    return tuple(found)


def _plain(kind: Any) -> Any:
    """Of `X | None`, and of one with checks: X."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return _plain(next(one for one in typing.get_args(kind) if one is not type(None)))
    return _plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def _kind(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    return _KINDS.get(kind, "text")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def kind(field: Field) -> str:
    """What a field holds."""
    one = f"one of {', '.join(field.choices)}" if field.choices else field.kind.value
    return f"list of {one}" if field.multiple else one


def needed(action: Action, field: Field) -> str:
    """When a mapping must have a field."""
    if field.required:
        return "yes"
    return "to delete" if field.on_delete and len(action.modes) > 1 else "yes" if field.on_delete else ""


def modes(action: Action) -> str:
    """Those of an action; the first is taken if nobody says one."""
    return ", ".join(mode.value for mode in action.modes)


def limits(found: Limits) -> str:
    """Those of a call."""
    rows = "one row" if found.rows == 1 else f"{found.rows:,} rows"
    calls = "one call" if found.at_once == 1 else f"{found.at_once} calls"
    return f"{rows} and {_size(found.bytes)} a call, {_size(found.row_bytes)} a row, {calls} of a run at once"


def _size(number: int) -> str:
    for unit, name in ((1_000_000, "MB"), (1_000, "KB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"


def pace(destination: Destination) -> str:
    """What an account allows, by the defaults of its settings; and the setting that says something else."""
    found: Pace = destination.pace(destination.settings.model_construct())
    time = _TIMES.get(found.seconds, f"{found.seconds:g} seconds")
    told = [
        *([f"{_number(found.calls, 'request')} in {time}"] if found.calls is not None else []),
        *([f"{_number(found.rows, 'row')} in {time}"] if found.rows is not None else []),
        *([f"{_number(found.at_once, 'batch', 'batches')} at once"] if found.at_once is not None else []),
    ]
    told += [
        f"{_number(lane.calls, 'request')} of {name} in {_TIMES[lane.seconds]}"
        for name, lane in found.lanes.items()
        if lane.calls
    ]
    if not told:
        return "as many requests as come"
    said = f"at most {', '.join(told)}".replace("in a second", "a second").replace("in a minute", "a minute")
    by = [name for name in destination.settings.model_fields if name.startswith("calls_per_")]
    return f"{said} (setting {by[0]})" if by else said


def _number(number: int, one: str, several: str = "") -> str:
    return f"one {one}" if number == 1 else f"{number:,} {several or one + 's'}"
