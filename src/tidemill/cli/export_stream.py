"""`tidemill export stream`: append rows as they come."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, progress, session

if TYPE_CHECKING:
    from tidemill.exports.stream.orders import StreamProgress

_SAYS_EVERY_SECONDS = 60.0


def stream(
    name: str = typer.Argument(help="Name of the export."),
    once: bool = typer.Option(False, "--once", help="End when all is sent that there is."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Append new rows to the table of a streaming export as they come, until it is stopped (Ctrl-C).

    What is on its way then is waited for; a second Ctrl-C leaves at once, and nothing is lost. tidemill serve streams
    all such exports by itself.
    """
    from tidemill.exports.stream.orders import Orders

    with session.app(threads=1) as opened, progress.bar(f"Streaming {name}") as bar:
        streaming = opened.exports.streaming
        told = _Told(bar.streaming)
        with _stopping(streaming.stop_now) as stopping:
            streaming.run(name, Orders(session.user(), patient=not once, stopping=stopping, report=told.report))
        view = opened.exports.get(name)
    if as_json:
        output.print_json({"rows": told.rows, "bytes": told.bytes, "waiting_rows": view.waiting_rows})
    else:
        rows = output.number(told.rows, "row")
        output.done(f"{name}: {rows}, {output.size(told.bytes)} appended; {view.waiting_rows:,} wait.")


class _Told:
    """What is told of a stream, as it goes: a bar, and a line when it stands still and when it goes on."""

    def __init__(self, bar: Callable[[StreamProgress], None]) -> None:
        self.rows = self.bytes = 0
        self._bar, self._trouble, self._said_at = bar, "", 0.0

    def report(self, state: StreamProgress) -> None:
        """Called many times a second."""
        self.rows, self.bytes = state.rows, state.bytes
        self._bar(state)
        now = time.monotonic()
        if state.trouble and (state.trouble != self._trouble or now - self._said_at > _SAYS_EVERY_SECONDS):
            behind = f"{output.number(state.waiting, 'event')} {'waits' if state.waiting == 1 else 'wait'}"
            output.note(
                f"It stands still, and is tried again: {state.trouble} ({behind}, for {state.lag_seconds:.0f} s)"
            )
            self._said_at = now
        elif self._trouble and not state.trouble:
            output.note("It goes on.")
        self._trouble = state.trouble


@contextlib.contextmanager
def _stopping(leave: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Whether somebody asked to stop, by Ctrl-C or SIGTERM. By a second one, `leave` is called."""
    asked = threading.Event()

    def interrupt(_signal: int, _frame: Any) -> None:
        if asked.is_set():
            leave()
        else:
            asked.set()  # first: the second one may come while this is said
            output.say("\nWaiting for what is on its way (Ctrl-C again leaves at once)")

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
