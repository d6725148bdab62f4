"""Pages that are open: what is done on them, for whom they may go on, and how little a burst costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import Client, core, ui
from starlette.requests import Request

from tidemill.errors import ConflictError
from tidemill.web import guard, live, visit, watch
from tidemill.web.sessions import Sessions
from tidemill.web.sockets import _AT_ONCE, Allowance
from tidemill.web.table import Asked, Column, Filter, Page, Table

_COLUMNS = [Column[str]("name", "Name", lambda row: row, sort=True, costly=True)]
_FILTERS = (Filter("event", "Event"),)


def session(name: str, role: str = "viewer") -> Any:
    """Somebody who is signed in."""
    user = SimpleNamespace(id=name, name=name, role=role)
    return SimpleNamespace(user=user, actor=lambda _: SimpleNamespace(permissions=frozenset({role})))


def opened(text: str, of: Any) -> Client:
    """A page that is open."""
    scope = {"type": "http", "path": "/events", "query_string": b"", "headers": [], "client": ("127.0.0.1", 1),
             guard.SESSION: of, guard.TEXT: text}  # fmt: skip
    client = Client(ui.page("/events"), request=Request(scope))
    visit.of(client)
    return client


@pytest.fixture(autouse=True)
def _none_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pages of one test are gone after it."""
    monkeypatch.setattr(visit, "acting", lambda app, _: app)
    monkeypatch.setattr(watch, "_LEAVES_SECONDS", 0.0)
    yield
    Client.instances.clear()
    live._topics.clear()


def begun(known: dict[str, Any]) -> Sessions:
    """The process, in which these are signed in."""
    sessions, app = Sessions(known.get), SimpleNamespace()
    visit.begin(app, sessions)  # type: ignore[arg-type]
    core.loop = asyncio.get_running_loop()
    return sessions


def test_of_a_burst_of_changes_a_table_makes_one_look_at_once_and_shows_the_last() -> None:
    looks: list[str] = []
    at_work, goes_on = threading.Event(), threading.Event()

    def fetch(_: Any, asked: Asked) -> Page[str]:
        looks.append(asked["event"])
        at_work.set()
        assert goes_on.wait(60)
        return Page([f"row of {asked['event']}"])

    async def whole() -> None:
        begun({"a": (anna := session("anna"))})
        with opened("a", anna):
            table = Table(_COLUMNS, fetch, caption="Events", filters=_FILTERS)

        async def acted(number: int) -> None:
            with table._client:
                await table._acted("field:event", str(number))

        acts = [asyncio.ensure_future(acted(number)) for number in range(500)]
        assert await asyncio.to_thread(at_work.wait, 60)
        goes_on.set()
        await asyncio.gather(*acts)
        assert looks[-1] == "499"
        assert len(looks) <= 2
        assert "row of 499" in table._region._props["content"]

    asyncio.run(whole())


def test_cells_that_may_be_large_are_made_where_rows_are_fetched() -> None:
    made_in: list[threading.Thread] = []

    def cell(row: str) -> str:
        made_in.append(threading.current_thread())
        return row

    async def whole() -> None:
        begun({"a": (anna := session("anna"))})
        with opened("a", anna):
            columns = [Column[str]("name", "Name", cell, costly=True)]
            table = Table(columns, lambda *_: Page(["one", "two"]), caption="Names")
            await table.refresh()
        assert "two" in table._region._props["content"]
        assert made_in
        assert threading.current_thread() not in made_in

    asyncio.run(whole())


def test_what_waits_for_a_page_that_was_closed_is_not_done() -> None:
    async def whole() -> None:
        begun({"a": (anna := session("anna"))})
        client = opened("a", anna)
        looks = visit.of(client)
        assert await visit.call_as(looks, lambda _: "read") == "read"
        client.delete()
        with pytest.raises(ConflictError, match="closed"):
            await visit.call_as(looks, lambda _: "read")

    asyncio.run(whole())


def test_as_much_is_done_on_a_page_as_somebody_can_do_by_hand() -> None:
    now = 0.0
    allowance = Allowance(lambda: now)
    assert sum(allowance.take() for _ in range(3_000)) == _AT_ONCE
    now = 1.0
    assert allowance.take()


def test_pages_of_who_is_signed_out_or_has_another_role_are_over_and_others_are_not() -> None:
    async def whole() -> None:
        known = {"a": session("anna"), "b": session("ben"), "c": session("cleo", "admin")}
        sessions = begun(known)
        pages = {text: opened(text, one) for text, one in known.items()}
        asked, shown = [], {text: [] for text in pages}  # type: ignore[var-annotated]

        def query(_: Any) -> int:
            asked.append(1)
            return len(asked)

        for text, client in pages.items():
            with client:
                await live.live("figure", query, shown[text].append)
        assert await watch.over(known.get, sessions) == []
        known.pop("b")
        known["c"] = session("cleo", "viewer")
        over = await watch.over(known.get, sessions)
        assert over == [(pages["b"], watch.SIGN_IN), (pages["c"], watch._ANEW)]
        before = {text: len(values) for text, values in shown.items()}
        for client, script in over:
            await watch.end(client, script)
        for topic in list(live._topics.values()):
            topic.due = 0.0
            await live._renew(topic)
        assert len(shown["a"]) > before["a"]
        assert {text: len(shown[text]) for text in "bc"} == {text: before[text] for text in "bc"}
        assert await watch.over(known.get, sessions) == [], "they are over already"
        assert [bool(pages[text].request.scope[guard.TEXT]) for text in "abc"] == [True, False, False]

    asyncio.run(whole())
