"""The part of a server that SDKs ask: it takes events, and answers what else they look for."""

from __future__ import annotations

from tidemill.capture.dialects import posthog
from tidemill.capture.dialects.dialect import Trouble
from tidemill.capture.http import OVERLOADED, Answer, Request, Send, preflight, respond
from tidemill.capture.intake import AGAIN_SECONDS, DIALECTS, Intake
from tidemill.capture.server import API


class Sdks:
    """See server.Part."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def has(self, path: str) -> bool:
        """See server.Part."""
        return path in DIALECTS or posthog.aside(path) is not None

    async def answer(self, request: Request, send: Send) -> None:
        """See server.Part."""
        dialect = DIALECTS.get(request.path)
        answer: Answer | None
        if dialect is not None:
            request.scope[API] = dialect.name
        if request.method == "OPTIONS":
            answer = preflight(request)
        elif dialect is None:
            answer = posthog.aside(request.path)
        elif OVERLOADED in request.scope.get("extensions", ()):
            answer = dialect.trouble(Trouble.BUSY, "too many connections").later(AGAIN_SECONDS)
        else:
            answer = await self._intake.answer(request, dialect)
        if answer is not None:
            await respond(send, request, answer, for_pages=True)

    def look(self) -> None:
        """See server.Part."""
        self._intake.look()
