"""The API as a part of a server. It is made when it is first asked for: who never asks does without FastAPI."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tidemill.capture.server import API

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tidemill.api.v1.bodies import Application
    from tidemill.app import App
    from tidemill.capture.http import Request, Send
    from tidemill.capture.metrics import Metrics

_PREFIX = "/api/"


class Api:
    """See capture/server.py, Part."""

    def __init__(self, app: App) -> None:
        self._app, self._making = app, asyncio.Lock()
        self._made: Application | None = None

    def has(self, path: str) -> bool:
        """See Part."""
        return path.startswith(_PREFIX)

    async def answer(self, request: Request, send: Send) -> None:
        """See Part."""
        request.scope[API] = "api"
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            made = self._made
        await made(request.scope, request.receive, send)

    def _make(self) -> Application:
        from tidemill.api.v1.application import application  # tens of megabytes

        return application(self._app)

    def look(self) -> None:
        """See Part."""
        self._app.database.server()


def api(app: App, _metrics: Metrics, _closing: ExitStack) -> Api:
    """The API of an installation that is open; see serving.MakePart."""
    return Api(app)
