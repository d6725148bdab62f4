"""What docs/howto/api-client.md says of the Python client is so, with a server that is there."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.api_client import Client as Asking
from tests.installation import CONNECTION, Installation

import tidemill.client
from tidemill.app import App

GUIDE = Path(__file__).parents[3] / "docs/howto/api-client.md"


class Here(httpx.BaseTransport):
    """The server in this process."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        headers = {name: value for name, value in request.headers.items() if name not in {"host", "content-length"}}
        path = request.url.raw_path.decode()
        answer = self._asking.ask(request.method, path, content=request.read(), headers=headers)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content, request=request)


def blocks() -> list[str]:
    """The examples in Python."""
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_the_examples_work(
    installation: Installation, app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.connect(app)
    asking = Asking(app)
    token = asking.token()
    made = tidemill.client.Client("http://here", token, transport=Here(asking))
    monkeypatch.setattr(tidemill.client, "Client", lambda _url, _token: made)
    names: dict[str, object] = {"token": token, "tidemill": made}
    examples = blocks()
    assert len(examples) == 6
    for example in examples:
        if ".progress(" in example:  # the client's unit tests have that
            continue
        exec(compile(example, str(GUIDE), "exec"), names)  # noqa: S102 - our own examples
        made._core._http = httpx.Client(
            base_url="http://here", headers={"authorization": f"Bearer {token}"}, transport=Here(asking)
        )
    said = capsys.readouterr().out
    assert f".{installation.dataset}.events\n" in said
    assert "404 export_unknown" in said
    assert [one.name for one in app.exports.find()] == []
    assert CONNECTION in [one.name for one in made.connections.find()]
