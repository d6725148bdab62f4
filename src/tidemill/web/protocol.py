"""HTTP as the web app speaks it: with the bounds of the capture endpoints, and websockets, which have none of them.

Who sends nothing has a connection as long as there are enough; then it is that of who has waited the longest.
"""

from __future__ import annotations

import logging
from typing import Any

from tidemill.capture import protocol


class Protocol(protocol.Protocol):
    """One connection."""

    _is_websocket = False

    def connection_made(self, transport: Any) -> None:
        """One more may be one too many."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self._deadlines.end_first()

    def handle_websocket_upgrade(self) -> None:
        """From now on another protocol has the connection; it looks by itself whether there is still somebody."""
        self._have_head()
        self._is_websocket = True
        super().handle_websocket_upgrade()

    def _end(self) -> None:
        """It does not count any more, also before the transport has told that it is closed."""
        self.connections.discard(self)
        super()._end()

    def _await_head(self) -> None:
        if not self._is_websocket:
            super()._await_head()


class Quiet(logging.Filter):
    """Lets all pass but what is written when somebody goes away before they have their answer: that is no fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written."""
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, RuntimeError) and "handler is closed" in str(error))
