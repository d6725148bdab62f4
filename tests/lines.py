"""Ways of rows to a destination, for tests: nothing holds them back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tidemill.destinations import deliver
from tidemill.destinations.port import Action


def unpaced(
    client: Any,
    action: Action,
    sleep: Callable[[float], None] = lambda _: None,
    *,
    secrets: tuple[str, ...] = (),
    held: Callable[[float], None] = lambda _: None,
) -> deliver.Line:
    """A line of an account that allows everything. `sleep`: gets the pauses."""
    return deliver.Line(client, action, secrets, lambda _: contextlib.nullcontext(), sleep, held=held)
