"""A websocket speaks for pages of its own session alone, and only as long as that lasts.

NiceGUI takes the id of a page, which nobody can guess, as enough: this asks who holds it, too. And it does as much for
a page as somebody can do by hand, however much is sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any

import nicegui.nicegui
from nicegui import Client, core

from tidemill.errors import TidemillError
from tidemill.web import guard
from tidemill.web.sessions import Sessions
from tidemill.web.watch import SIGN_IN

_log = logging.getLogger(__name__)
#: What is done on a page: so much a second, and so much at once. More is not done at all.
_A_SECOND, _AT_ONCE = 20.0, 100.0


class Allowance:
    """How much more may be done on a page. `clock`: seconds, from whenever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._at = _AT_ONCE, clock()

    def take(self) -> bool:
        """Whether one more thing may be done now."""
        now = self._clock()
        self._left, self._at = min(_AT_ONCE, self._left + (now - self._at) * _A_SECOND), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


_allowances: weakref.WeakKeyDictionary[Client, Allowance] = weakref.WeakKeyDictionary()


def keep_to_own_pages(sessions: Sessions) -> None:
    """To be called when NiceGUI has its handlers."""
    handlers = core.sio.handlers["/"]
    shaken, told = handlers["handshake"], {name: handlers[name] for name in ("event", "javascript_response", "ack")}

    async def handshake(session_id: str, data: dict[str, Any]) -> bool:
        return _own(session_id, data) is not None and bool(await shaken(session_id, data))

    # It is called by its name when a socket connects with what is needed for it.
    nicegui.nicegui._on_handshake = handshake
    handlers["handshake"] = handshake
    for name, handler in told.items():

        async def kept(
            session_id: str, message: dict[str, Any], handler: Any = handler, *, is_done: bool = name == "event"
        ) -> None:
            client = _own(session_id, message)
            if client is None or (is_done and not _allowances.setdefault(client, Allowance()).take()):
                return
            if not await _lasts(client, sessions) or client.is_deleted:
                return
            try:
                handler(session_id, message)
            except (ValueError, KeyError, TypeError, AttributeError):  # no page of ours sends that
                _log.warning("a page sent what is no message")

        handlers[name] = kept
    handlers["log"] = lambda _session_id, _message: None  # nobody writes into our log


def _own(session_id: str, message: dict[str, Any]) -> Client | None:
    """The page that is spoken for, if it is of the session by which the websocket was opened."""
    client = Client.instances.get(str(message.get("client_id")))
    environ = core.sio.get_environ(session_id) or {}
    text = environ.get("asgi.scope", {}).get(guard.TEXT)
    return client if client is not None and text and client.request.scope.get(guard.TEXT) == text else None


async def _lasts(client: Client, sessions: Sessions) -> bool:
    """Whether who looks at the page is still signed in; else they are led to the door."""
    text = str(client.request.scope[guard.TEXT])
    if sessions.remembered(text) is not None:
        return True
    try:
        found = await asyncio.to_thread(sessions.find, text)
    except TidemillError:  # the database is away: what is done then says so
        return True
    if found is None:
        client.run_javascript(SIGN_IN)
    return found is not None
