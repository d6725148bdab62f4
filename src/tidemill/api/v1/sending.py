"""How an answer is sent: without a turn. Who reads it may be slow, or never read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tidemill.api.v1.turns import DOWNLOADS, Turn, Turns

_Message = MutableMapping[str, Any]


class Sending:
    """Sends the messages of one answer (ASGI, "HTTP"). `made`: called once the answer, or its first piece, is made."""

    def __init__(
        self, send: Callable[[_Message], Awaitable[None]], turns: Turns, turn: Turn, made: Callable[[], None]
    ) -> None:
        self._send, self._turns, self._turn, self._made = send, turns, turn, made
        self._start: _Message | None = None
        self._is_download = False
        #: Whether anything was sent; whether it was not, because there are too many downloads.
        self.has_begun = self.is_refused = False

    async def __call__(self, message: _Message) -> None:
        """Send one."""
        if message["type"] == "http.response.start" and self._turn.is_held:
            self._start = message  # it tells nothing of what comes: all at once, or pieces that are still to be made
            return
        is_more = bool(message.get("more_body"))
        if is_more and self._turn.is_held and not self._is_download:
            self._begin_download()
        held = self._turn.is_held
        self._turn.leave()
        self._made()
        self.has_begun = True
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)
        if is_more and held:
            await self._turn.again()  # for the next piece

    def _begin_download(self) -> None:
        if self._turns.downloads >= DOWNLOADS:
            self.is_refused = True
            raise DownloadsBusy
        self._turns.downloads += 1
        self._is_download = True

    def end(self) -> None:
        """Nothing more is sent."""
        if self._is_download:
            self._turns.downloads -= 1
            self._is_download = False


class DownloadsBusy(Exception):  # noqa: N818 - it ends the answer, which is another one then
    """There are too many downloads."""
