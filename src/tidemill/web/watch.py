"""Ends the pages of who is signed out, disabled or demoted, within seconds: else they would go on showing what is new.

A page asks by itself who looks, when something is done on it; this looks after those on which nothing is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from nicegui import Client, background_tasks, core

from tidemill.errors import TidemillError
from tidemill.web import guard, live, visit
from tidemill.web.sessions import Sessions

_log = logging.getLogger(__name__)
#: The sessions of open pages are looked up once in so long.
_EVERY_SECONDS = 3.0
#: So long a browser has to leave the page by itself.
_LEAVES_SECONDS = 1.0
#: What a page does that is over: it goes to the door, or is built anew with what its user may do now.
SIGN_IN = 'location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search))'
_ANEW = "location.reload()"


async def watch(look: Callable[[str], Any], sessions: Sessions) -> None:
    """Go round until the process ends. `look`: finds the session of a text, without counting that as somebody there."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            for client, script in await over(look, sessions):
                background_tasks.create(end(client, script), name="end of a page")
        except TidemillError:
            continue  # the database is away: nobody is sent away for that
        except Exception:  # noqa: BLE001 - it has to go on
            _log.exception("who looks at pages could not be found out")


async def over(look: Callable[[str], Any], sessions: Sessions) -> list[tuple[Client, str]]:
    """The pages whose session is over, or whose user has another role by now; and what they are told to do."""
    pages: dict[str, list[Client]] = {}
    for client in list(Client.instances.values()):
        if text := _text_of(client):
            pages.setdefault(text, []).append(client)
    found = await asyncio.to_thread(lambda: {text: look(text) for text in pages})
    ended: list[tuple[Client, str]] = []
    for text, clients in pages.items():
        session = found[text]
        for client in clients:
            if session is None:
                ended.append((client, SIGN_IN))
            elif visit.of(client).role != session.user.role:
                ended.append((client, _ANEW))
            else:
                continue
            sessions.forget(text)
    return ended


async def end(client: Client, script: str) -> None:
    """Show the page nothing any more, tell the browser to leave it, and close its sockets."""
    live.leave(client)
    client.request.scope[guard.TEXT] = ""  # so nobody speaks for it any more (sockets.py)
    client.run_javascript(script)
    await asyncio.sleep(_LEAVES_SECONDS)
    for socket in list(client._socket_to_document_id):  # NiceGUI deletes a page that nobody holds
        with contextlib.suppress(KeyError):  # it is gone by itself
            await core.sio.disconnect(socket)


def _text_of(client: Client) -> str:
    try:
        scope = client.request.scope
    except RuntimeError:  # NiceGUI's own
        return ""
    return str(scope.get(guard.TEXT) or "") if scope.get(guard.SESSION) is not None else ""
