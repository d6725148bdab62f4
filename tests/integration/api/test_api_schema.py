"""The description of the HTTP API is what it does: calls made of it are answered as it says, and never by a bug."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from tests.api_client import Client
from tests.installation import Installation

from tidemill.app import App

#: What begins a stream, or looks at all parts, is tested elsewhere.
_LEFT_OUT = ("/events", "/health")
_CALLS = 2


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app() as opened:
        yield opened


def test_what_is_made_of_the_description_is_answered_as_it_says(app: App) -> None:
    client = Client(app)
    described: dict[str, Any] = client.ask("GET", "/openapi.json").json()
    calls = Calls(client, described)
    found: Any = schemathesis.openapi.from_dict(described)
    for operation in (result.ok() for result in found.get_all_operations()):
        if not operation.path.endswith(_LEFT_OUT):
            calls.ask(operation)
    assert calls.wrong == []
    assert calls.number > 150


class Calls:
    """Calls of operations. `wrong`: those that were not answered as the description says."""

    def __init__(self, client: Client, described: dict[str, Any]) -> None:
        self._client, self._described, self._token = client, described, client.token()
        self.wrong: list[str] = []
        self.number = 0

    def ask(self, operation: Any) -> None:
        """Call it with some of what it allows."""

        @settings(
            max_examples=_CALLS, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck), phases=[hypothesis.Phase.generate],
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            self._call(operation.definition.raw["responses"], case)

        ask()

    def _call(self, responses: dict[str, Any], case: Any) -> None:
        self.number += 1
        arguments = case.as_transport_kwargs(base_url="http://here")
        address = arguments["url"].removeprefix("http://here")
        sent = {"params": arguments.get("params"), "json": arguments.get("json")}
        options = {name: value for name, value in sent.items() if isinstance(value, dict | list)}
        headers = {"if-match": "*"} if case.method in {"PATCH", "PUT", "DELETE"} else {}
        answer = self._client.ask(case.method, address, self._token, headers=headers, **options)
        said = f"{case.method} {address} {options}: {answer.status_code} {answer.text[:200]}"
        if answer.status_code == 500 and answer.json()["code"] == "bug":
            self.wrong.append(said)
        elif (response := responses.get(str(answer.status_code))) is None:
            if answer.status_code != 405:  # the name was such that it is another address
                self.wrong.append(said)
        elif schema := _schema(response, answer.headers.get("content-type", "")):
            try:
                jsonschema.validate(answer.json(), {**schema, "components": self._described["components"]})
            except jsonschema.ValidationError as error:
                self.wrong.append(f"{said}: {error.message}")


def _schema(response: dict[str, Any], kind: str) -> dict[str, Any]:
    """Of an answer in JSON; empty: it has none."""
    content = response.get("content", {}).get(kind, {}) if kind.endswith("json") else {}
    found: dict[str, Any] = content.get("schema", {})
    return found
