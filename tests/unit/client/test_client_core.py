"""How the Python client asks: what it tries again, how it tells errors, how it goes through pages and streams."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tidemill.client import ApiError, Client, UnreachableError

RUN = {"id": "1", "export": "daily"}


class Server:
    """Answers as it is told to, one after the other. `asked`: by what."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers: Iterator[httpx.Response | Exception] = iter(answers)
        self.asked: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Client:
        """One that asks it, and does not wait."""
        made = Client("http://here", "tma_x", transport=httpx.MockTransport(self), tries=3)
        made._core._sleep = self.waits.append
        return made


def destination(name: str = "hook") -> dict[str, Any]:
    """As it is answered."""
    plain = {"name": name, "kind": "webhook", "title": "Webhook", "account": "x", "settings": {}, "secrets": []}
    when = {"made_at": "2026-01-01T00:00:00Z", "made_by": "me", "what_is_new": 1}
    return {**plain, **when, "syncs": [], "id": "00000000-0000-0000-0000-000000000001"}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    told = {"status": status, "code": code, "detail": "No.", "hint": "Do this.", "errors": []}
    return httpx.Response(status, json=told, headers=headers)


def test_what_is_answered_is_typed_and_has_its_etag() -> None:
    server = Server(httpx.Response(200, json=destination(), headers={"etag": '"a"'}), httpx.Response(204))
    client = server.client()
    found = client.destinations.show("a/b")
    assert (found.name, found.made_at.year, found.etag) == ("hook", 2026, '"a"')
    client.destinations.delete("a/b", match=found)
    shown, deleted = server.asked
    assert shown.url.raw_path == b"/api/v1/destinations/a%2Fb"
    assert shown.headers["authorization"] == "Bearer tma_x"
    assert deleted.headers["if-match"] == '"a"'


def test_a_call_that_is_made_again_has_the_key_of_the_first() -> None:
    run = {"sync": "crm", "run": 1, "already": False, "url": "/api/v1/syncs/crm/runs/1"}
    server = Server(
        problem(503, "database_unavailable", **{"retry-after": "5"}),
        httpx.ReadError("gone"),
        httpx.Response(202, json=run),
    )
    assert server.client().syncs.trigger("crm").run == 1
    assert len({request.headers["idempotency-key"] for request in server.asked}) == 1
    assert server.waits[0] == 5.0


def test_what_was_perhaps_done_is_not_done_twice() -> None:
    server = Server(httpx.ReadError("gone"))
    with pytest.raises(UnreachableError):
        server.client().destinations.delete("hook", match='"a"')
    assert len(server.asked) == 1


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    with pytest.raises(ApiError) as caught:
        Server(problem(409, "sync_paused")).client().syncs.trigger("crm")
    error = caught.value
    assert (error.status, error.code, error.hint) == (409, "sync_paused", "Do this.")
    with pytest.raises(ApiError) as caught:
        Server(httpx.Response(502, text="a proxy")).client().syncs.trigger("crm")
    assert caught.value.status == 502


def test_it_ends_after_so_many_tries() -> None:
    server = Server(*(problem(503, "busy") for _ in range(3)))
    with pytest.raises(ApiError):
        server.client().sources.show("warehouse")
    assert len(server.asked) == 3


def test_pages_are_asked_for_when_they_are_needed() -> None:
    pages = [{"items": [destination("a"), destination("b")], "next": "n"}, {"items": [destination("c")], "next": None}]
    server = Server(*(httpx.Response(200, json=page) for page in pages))
    found = server.client().destinations.find(kind="webhook")
    assert next(found).name == "a"
    assert len(server.asked) == 1
    assert [one.name for one in found] == ["b", "c"]
    assert dict(server.asked[1].url.params) == {"kind": "webhook", "limit": "50", "cursor": "n"}


def _event(number: int, kind: str) -> str:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps({'run': number})}\n\n"


def test_a_stream_that_breaks_is_gone_on_with() -> None:
    server = Server(
        httpx.Response(200, text=_event(1, "progress") + ": still here\n\n" + _event(2, "progress")),
        httpx.ReadError("gone"),
        httpx.Response(200, text=_event(3, "over")),
    )
    found = list(server.client().syncs.progress("crm", 1))
    assert [(one.id, one.is_over) for one in found] == [("1", False), ("2", False), ("3", True)]
    assert [one.headers.get("last-event-id") for one in server.asked] == [None, "2", "2"]


def test_a_stream_that_is_over_and_known_ends() -> None:
    server = Server(httpx.Response(200, text=_event(1, "progress")), httpx.Response(204))
    assert len(list(server.client().syncs.progress("crm", 1))) == 1


@pytest.mark.parametrize("ask", [lambda client: client.destinations.delete("a", match=_bare())])
def test_a_change_needs_what_it_was_decided_on(ask: Callable[[Client], object]) -> None:
    with pytest.raises(ValueError, match="no ETag"):
        ask(Server().client())


def _bare() -> Any:
    from tidemill.client import Model

    return Model()


class Pipe(io.BytesIO):
    """What cannot go back."""

    def seekable(self) -> bool:
        return False


def load() -> httpx.Response:
    told = {"id": "00000000-0000-0000-0000-000000000001", "file": "x", "status": "waiting", "is_over": False}
    told |= {"format": "auto", "team_id": None, "bytes": 1, "bytes_read": 0, "rows": 0, "duplicates": 0, "rejects": 0}
    told |= {"already_loaded": False, "notes": [], "by": "me", "at": "2026-01-01T00:00:00Z"}
    return httpx.Response(202, json={**told, "finished_at": None, "error": None})


def test_a_file_is_sent_again_from_where_it_stood() -> None:
    server = Server(httpx.ConnectError("gone"), problem(503, "uploads_busy"), load())
    file = io.BytesIO(b"read already, and the rest")
    file.read(12)
    made = server.client().event_loads.load(file, file="x", map=["timestamp=time", "team_id=team"])
    assert made.status == "waiting"
    assert [request.read() for request in server.asked[1:]] == [b", and the rest"] * 2
    assert server.asked[0].url.params.get_list("map") == ["timestamp=time", "team_id=team"]
    assert "idempotency-key" not in server.asked[0].headers


def test_what_cannot_go_back_is_sent_once() -> None:
    server = Server(problem(503, "uploads_busy"))
    with pytest.raises(ApiError, match="No"):
        server.client().event_loads.load(Pipe(b"{}"))
    assert len(server.asked) == 1
