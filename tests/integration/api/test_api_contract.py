"""The API is as it is described: whatever is sent that fits the description, or just not, is answered as it says, and
never by a bug. The requests are made by schemathesis, each time the same."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.api_client import Client
from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    import schemathesis
    from schemathesis.specs.openapi import checks

#: Requests for each of two ways, those that fit and those that do not, in all.
_EXAMPLES = 300
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
#: What would take long, or end the thing that the others are about.
_LEFT_OUT = {"runs_cancel", "backfills_cancel", "connections_delete", "exports_delete"}


class Asking:
    """Asks in one event loop, as one program does."""

    def __init__(self, client: Client, token: str) -> None:
        self._runner = asyncio.Runner()
        headers = {"authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(client.guarded)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers)

    def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        """An answer."""
        return self._runner.run(self._client.request(method, url, **options))

    def close(self) -> None:
        """End."""
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture
def app(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # nobody waits for a server of Google's that is not there
    with installation.app() as opened:
        installation.connect(opened)
        write_events(tmp_path / "events.jsonl", 20)
        opened.events.load(str(tmp_path / "events.jsonl"))
        opened.exports.create(CONNECTION, {"name": "daily", "interval": "none"}, by="me")
        opened.exports.run("daily", by="me")
        yield opened


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws lots
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_the_api_is_as_it_is_described(app: App, mode: Any) -> None:
    client = Client(app)
    described = client.ask("GET", "/openapi.json").json()
    assert all(name.isalnum() for name in described["components"]["schemas"]), "two are called the same"
    schema = schemathesis.openapi.from_dict(described)
    results: list[Any] = list(schema.get_all_operations())
    found = [one.ok() for one in results]
    operations = [one for one in found if one.definition.raw["operationId"] not in _LEFT_OUT]
    assert len(operations) > 40
    (run,) = app.exports.listed.runs("daily").items
    real = {
        "name": {"connections": CONNECTION, "exports": "daily", "export-models": "events"},
        "run": str(run.id),
    }
    asking = Asking(client, client.token())

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def asked(data: Any) -> None:
        operation = data.draw(st.sampled_from(operations))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        parts = case.path.split("/")[3:4]
        if data.draw(st.booleans()):  # something that is there
            for name in set(case.path_parameters or {}) & set(real):
                known = real[name]
                case.path_parameters[name] = known.get(parts[0], "x") if isinstance(known, dict) else known
            if isinstance(case.body, dict) and "connection" in case.body:
                case.body["connection"] = CONNECTION
        options = case.as_transport_kwargs(base_url="http://here")
        answer = _answered(asking, case, options)
        if answer is not None:
            try:
                case.validate_response(answer, checks=_CHECKS)
            except BaseExceptionGroup as failed:  # to ask again tells nothing: what is asked changes what is there
                wrong.extend(f"{case.as_curl_command()}\n{one}" for one in failed.exceptions)

    wrong: list[str] = []
    try:
        asked()
    finally:
        asking.close()
    assert not wrong, "\n\n".join(wrong)


def _answered(asking: Asking, case: Any, options: dict[str, Any]) -> httpx.Response | None:
    """The answer; None, if no client would send that."""
    sent = {name: options[name] for name in ("json", "content", "params") if options.get(name)}
    if "data" in options:
        sent["content"] = options["data"]
    generated = dict(options.get("headers") or {}).items()
    headers = {name: str(value) for name, value in generated if name.lower() not in {"authorization", "user-agent"}}
    try:
        return asking(case.method, options["url"], headers=headers, **sent)
    except (httpx.InvalidURL, UnicodeEncodeError, httpx.LocalProtocolError):
        return None
