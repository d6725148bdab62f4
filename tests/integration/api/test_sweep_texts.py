"""Each text of each request of the HTTP API, in place of which somebody sends one that would be SQL, a path, a pattern,
or none that can be stored. It is taken for what it is, or refused; the tables here and in BigQuery stay."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from tests import dumps
from tests.api_client import Client
from tests.api_requests import STREAMS, Asking, Place, Request, Requests
from tests.stocked import Stocked
from tests.syncs import People

HOSTILE = (
    "%",
    "../x' OR '1'='1'; DROP TABLE tidemill.users; --",
    'x`; DROP TABLE `victim`; -- "\\ {{7*7}}${7*7} %s %(a)s :a $1',
    "a\n\r\0b",
    "\ud83d",
)
#: Queries that look for a text in something, or in which one chooses what is there.
_CHOSEN = {"cursor", "since", "distinct_id"}
#: What is waited for when others do not answer is no fault of the text.
_NOT_OURS = {"bigquery_unavailable", "server_dns", "server_refused"}


@pytest.fixture(scope="module")
def client(made: Stocked) -> Client:
    return Client(made.app)


@pytest.fixture(scope="module")
def requests(made: Stocked, client: Client) -> list[Request]:
    described = client.ask("GET", "/openapi.json").json()
    return [one for one in Requests(described, made).all() if not (STREAMS in one.path and "/runs/" in one.path)]


def test_no_text_is_anything_but_a_text(made: Stocked, client: Client, requests: list[Request]) -> None:
    people = People(made.installation)
    people.ask(f"CREATE TABLE `{made.installation.dataset}.victim` AS SELECT 1 AS id")
    before, token, wrong, asked = dumps.tables(made.app), client.token(), [], 0
    with Asking(client) as asking:
        for request in requests:
            for place in request.places():
                if request.method == "DELETE" and place[0] == "body":
                    continue
                for text in HOSTILE:
                    if text == HOSTILE[-1] and place[0] != "body":
                        continue  # no address has it
                    asked += 1
                    hostile = request.with_text(place, text)
                    answer = asking(hostile, token)
                    if found := _wrong(request, place, text, answer):
                        wrong.append(f"{request.route} {place} {text!r}: {found}")
                    _undo(asking, request, answer, token)
    assert wrong == []
    assert asked > 1_200
    after = dumps.tables(made.app)
    assert set(after) == set(before)
    assert not [name for name in before if after[name][0] < before[name][0]], "nothing is gone"
    assert people.ask(f"SELECT COUNT(*) FROM `{made.installation.dataset}.victim`") == [(1,)]


def _wrong(request: Request, place: Place, text: str, answer: httpx.Response) -> str:
    """What is wrong with an answer."""
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400 and kind != "application/problem+json":
        return f"no problem: {answer.status_code} {answer.text[:200]}"
    if answer.status_code >= 500 and answer.json()["code"] not in _NOT_OURS:
        return f"{answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 400:
        return ""
    said = answer.json() if answer.content and kind == "application/json" else None
    if request.method == "GET" and place[0] == "query" and place[1] not in _CHOSEN:
        items = said.get("items", []) if isinstance(said, dict) else said or []
        return "it chooses something" if items else ""
    if place == ("body", "name") and isinstance(said, dict) and said.get("name", text) not in {text, text.strip()}:
        return f"it is called {said['name']!r}"
    return ""


def _undo(asking: Asking, request: Request, answer: httpx.Response, token: str) -> None:
    """What got another name is to have its own again."""
    if request.method != "PATCH" or answer.status_code != 200 or (name := answer.json().get("name")) is None:
        return
    own = request.path.rpartition("/")
    if name != (old := httpx.URL(request.path).path.rpartition("/")[2]):
        back = dataclasses.replace(request.with_text(("path", str(len(own[0].split("/")))), name), body={"name": old})
        done = asking(back, token)
        assert done.status_code == 200, (back, done.text)


def test_a_cursor_that_somebody_has_made_chooses_nothing_else(client: Client, requests: list[Request]) -> None:
    token, made = client.token(), 0
    with Asking(client) as asking:
        for request in requests:
            if request.method != "GET" or request.route.endswith("/export"):
                continue
            asked = dataclasses.replace(request, query={"limit": 1})
            answer = asking(asked, token)
            is_json = answer.headers.get("content-type") == "application/json"
            said = answer.json() if answer.status_code == 200 and is_json else None
            if not isinstance(said, dict) or not (cursor := said.get("next")):
                continue
            for text in HOSTILE:
                for forged in _forged(cursor, text):
                    made += 1
                    found = asking(dataclasses.replace(asked, query={"limit": 1, "cursor": forged}), token)
                    assert found.status_code in {200, 422}, (request.route, text, found.text)
    assert made > 50


def _forged(cursor: str, text: str) -> Iterator[str]:
    """The same with that text in it, or with what is no value at all."""
    mark, *values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    others: list[Any] = [text, None, [text], {"a": text}, 10**400, True, -(2**70)]
    for number in range(len(values)):
        for other in others:
            changed = [*values[:number], other, *values[number + 1 :]]
            yield base64.urlsafe_b64encode(json.dumps([mark, *changed]).encode()).rstrip(b"=").decode()[:2_000]


@pytest.mark.parametrize("name", ["x' OR '1'='1", "'; DROP TABLE tidemill.users; --", 'Robert"); --', "a`b", "%", "_"])
def test_a_name_is_kept_to_the_letter(made: Stocked, client: Client, name: str) -> None:
    name = f"kept {name}"
    with Asking(client) as asking:
        token, password = client.token(), "salt lamp otter nine"
        body = {"name": name, "role": "viewer", "password": password}
        asked = Request("POST /api/v1/users", "POST", "/api/v1/users", body=body)
        answer = asking(asked, token)
        assert (answer.status_code, answer.json()["name"]) == (201, name)
        one = Request("GET /api/v1/users/{name}", "GET", "/api/v1/users/x").with_text(("path", "4"), name)
        assert asking(one, token).json()["name"] == name
    with psycopg.connect(made.app.postgres.dsn) as session:
        assert session.execute("SELECT count(*) FROM tidemill.users WHERE name = %s", [name]).fetchall() == [(1,)]
    assert made.app.users.sign_in(name, password, address="127.0.0.1", agent="tests")
