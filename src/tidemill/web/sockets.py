"""A websocket speaks for pages of its own session alone, and only as long as that lasts.

NiceGUI takes the id of a page, which nobody can guess, as enough: this asks who holds it, too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import nicegui.nicegui
from nicegui import Client, core

from tidemill.errors import TidemillError
from tidemill.web import guard
from tidemill.web.sessions import Sessions

_SIGN_IN = 'location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search))'


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

        async def kept(session_id: str, message: dict[str, Any], handler: Any = handler) -> None:
            client = _own(session_id, message)
            if client is not None and await _lasts(client, sessions):
                handler(session_id, message)

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
        client.run_javascript(_SIGN_IN)
    return found is not None
