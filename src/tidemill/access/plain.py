"""What is written into the audit log: values as JSON has them, without secrets."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

#: Names of what may be secret. Their values do not leave the process, whatever they are.
_SECRET = re.compile(
    r"(secret|password|passphrase|credential|token|private|api_?key|access_?key|webhook_url|auth|hash)", re.I
)
_EXACT = {"key", "keys", "headers", "url", "urls", "dsn"}
#: So much of a text, of a list, and so deep: a record tells what was done, it is no copy of the data.
_TEXT, _MANY, _DEEP = 10_000, 200, 8
BLOTTED = "********"


def plain(value: Any, depth: int = 0) -> Any:
    """A value, as JSON has it. Of objects the public fields; secrets are blotted out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}… ({len(value):,} characters)"
    if depth > _DEEP:
        return "…"
    if isinstance(value, enum.Enum):
        return plain(value.value, depth)
    if isinstance(value, Mapping):
        return _fields({str(name): one for name, one in value.items()}, depth)
    if isinstance(value, list | tuple | set | frozenset):
        found = [plain(one, depth + 1) for one in list(value)[:_MANY]]
        return found if len(value) <= _MANY else [*found, f"… ({len(value):,})"]
    return _of_object(value, depth)


def _of_object(value: Any, depth: int) -> Any:
    if isinstance(value, pydantic.SecretStr | pydantic.SecretBytes):
        return BLOTTED
    if isinstance(value, pydantic.BaseModel):
        return _fields({name: getattr(value, name) for name in type(value).model_fields}, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [field.name for field in dataclasses.fields(value) if field.repr]
        return _fields({name: getattr(value, name) for name in shown}, depth)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | Path | dt.timedelta):
        return str(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes" if len(value) > 64 else base64.b64encode(value).decode()
    return type(value).__name__  # its repr may hold anything


def _fields(fields: Mapping[str, Any], depth: int) -> dict[str, Any]:
    return {
        name: BLOTTED if one and _is_secret(name, one) else plain(one, depth + 1)
        for name, one in fields.items()
        if not name.startswith("_")
    }


def _is_secret(name: str, value: Any) -> bool:
    """Whether that may be a secret. The key of a model is a list of columns."""
    if isinstance(value, bool | int | float | dt.date):
        return False
    return bool(_SECRET.search(name)) or (name.lower() in _EXACT and isinstance(value, str | bytes | Mapping))
