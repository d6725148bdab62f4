"""An incoming webhook of Slack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

PATH = "/services/T0123/B0456/s3cr3tOfTheHook"


class SlackApi(Api):
    """See the module. It answers in plain words, and forgets what it has posted."""

    destination = "slack"

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def keeps_ids(self, action: str) -> bool:  # noqa: ARG002
        """See Tool."""
        return False

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        path = PATH if good else "/services/T0123/B0456/removedHook"
        return {"url": f"https://hooks.slack.com{path}", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {"text": f"p{number} <https://example.com|is> here"}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        return {**self.fields(action, number), "blocks": [{"type": "none that there is"}]}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return self.fields(action, number)["text"]

    def taken(self, action: str) -> Sequence[Any]:  # noqa: ARG002
        """See Api."""
        return [message["text"] for message in self.messages]

    def rows_of(self, asked: Asked) -> int | None:  # noqa: ARG002
        """See Api."""
        return 1

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path != PATH:
            return _said(404, "no_service")
        message = asked.json()
        if not isinstance(message, dict):
            return _said(400, "invalid_payload")
        if not message.get("text"):
            return _said(400, "no_text")
        if any(block.get("type") not in {"section", "divider", "header"} for block in message.get("blocks", ())):
            return _said(400, "invalid_blocks")
        self.messages.append(message)
        return _said(200, "ok")


def _said(status: int, word: str) -> Reply:
    return Reply(status, word.encode(), {"Content-Type": "text/html"})
