"""Somebody's server that takes rows, and keeps each by its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.contract.api import Api, Asked, Reply

from tidemill.outbound import signing

KEY = signing.new_key().get_secret_value()


class WebhookApi(Api):
    """See the module."""

    destination = "webhook"

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, Any]] = {}

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"url": f"{self.url}/hook", "key": KEY if good else signing.new_key().get_secret_value()}

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {"n": number, "email": f"p{number}@example.com"}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:  # noqa: ARG002
        """See Api."""
        return {"n": number, "plan": "none that there is"}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return number

    def taken(self, action: str) -> Sequence[Any]:  # noqa: ARG002
        """See Api."""
        return [row["data"]["n"] for row in self.rows.values()]

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["rows"])

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        try:
            said = Webhook(KEY).verify(asked.body, asked.headers)
        except WebhookVerificationError:
            return Reply(401, {"error": "signature"})
        errors = []
        for index, row in enumerate(said["rows"]):
            if "plan" in row["data"]:
                errors.append({"index": index, "reason": "no such plan"})
            else:
                self.rows[row["id"]] = row
        return Reply(200, {"errors": errors})
