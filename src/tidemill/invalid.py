"""What is wrong with an option: its name, what was given, and what may be."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

#: Options of the command line that have other names than their fields.
_OPTIONS = {
    "name": "NAME",
    "team_id": "--team",
    "verify_days": "--verify-daily",
    "partition_expiration_days": "--partition-expiration",
    "table_expiration_days": "--table-expiration",
    "include_events": "--include-event",
    "exclude_events": "--exclude-event",
    "elements_on_any_event": "--elements",
}


#: Fields that are written per cent, and what they may be.
_SHARES = {
    "delete_brake": "a share from 0% to 100%",
    "reject_share": "a share from 0% to 100%, or none",
    "deviation": "a share of more than 0%, or none",
}


def said(error: pydantic.ValidationError, model: type[pydantic.BaseModel], what: str = "export") -> ConfigError:
    """Our error for pydantic's; `what` the options are of."""
    problems = " ".join(_problem(item, model.model_fields, what) for item in error.errors())
    return ConfigError(f"{what}_invalid", problems, hint="Correct it and try again.")


def _problem(item: Mapping[str, Any], fields: Mapping[str, FieldInfo], what: str) -> str:
    """One sentence about one field."""
    field = str(item["loc"][0]) if item["loc"] else what
    option, given = _OPTIONS.get(field, f"--{field.replace('_', '-')}"), item["input"]
    if field not in fields:  # of all fields, or of one that there is not: what was given there may be secret
        return f"{option}: {item['msg']}."
    if field in _SHARES and isinstance(given, float | int):
        given = f"{100 * given:g}%"
    given = f"{given:g}" if isinstance(given, float) else given if field in _SHARES else repr(given)[:100]
    allowed = _allowed(field, fields[field])
    return f"{option} is {allowed}, and not {given}." if allowed else f"{option} cannot be {given}: {item['msg']}."


def _allowed(name: str, field: FieldInfo) -> str:
    """What a field may be, in words; nothing if that is not simple."""
    if name == "name":
        return "up to 100 letters, digits, spaces and any of _ . - (a letter or digit first)"
    if isinstance(field.annotation, type) and issubclass(field.annotation, enum.Enum):
        return "one of: " + ", ".join(str(choice.value) for choice in field.annotation)
    if name in _SHARES:
        return _SHARES[name]
    bounds = [getattr(part, side) for side in ("ge", "le") for part in field.metadata if hasattr(part, side)]
    return f"a number from {bounds[0]:,} to {bounds[1]:,}" if len(bounds) == 2 else ""
