"""Which record of the audit log is written of what is done at this moment: what goes on after the call ends it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_CURRENT: contextvars.ContextVar[int | None] = contextvars.ContextVar("record", default=None)


def current() -> int | None:
    """The number of the record; None if nobody writes one."""
    return _CURRENT.get()


@contextlib.contextmanager
def of(number: int) -> Iterator[None]:
    """It is this one, for the time of the block."""
    token = _CURRENT.set(number)
    try:
        yield
    finally:
        _CURRENT.reset(token)
