"""All that a page of the web app can tell the server, told by who may not: over the page's own websocket, whether or
not there is a button for it. Nothing of it is done."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from tests import dumps
from tests.capture_server import until
from tests.installation import CONNECTION
from tests.stocked import Stocked
from tests.web_inside import Inside, Listener, OpenPage, crawl, push

from tidemill.access.roles import Role
from tidemill.web import live, watch

WHO: dict[str, Any] = {"address": "127.0.0.1", "agent": "tests"}
PASSWORD = "a tide that comes and goes"
#: Pages that nothing links to before there is what they are about.
BEGINNINGS = ("/", "/dbt-new", "/imports-new", "/exports/new/data", "/connections/new/bigquery")


@pytest.fixture(scope="module")
def inside(made: Stocked) -> Iterator[Inside]:
    with Inside(made.app) as found:
        yield found


@pytest.fixture(autouse=True)
def no_bugs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A page may refuse whatever it is told; it may not break by it."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def user(made: Stocked, name: str, role: Role) -> str:
    """Somebody who is signed in."""
    made.app.users.create(name, role=role, password=PASSWORD, by="root")
    return made.app.users.sign_in(name, PASSWORD, **WHO)


def acts(page: OpenPage) -> list[tuple[str, str]]:
    """What the marks on a page can tell: acts with their values, and fields."""
    found = [
        (attributes["data-act"], attributes.get("data-value", ""))
        for _, attributes in page.marks()
        if "data-act" in attributes
    ]
    fields = [f"field:{attributes['data-field']}" for _, attributes in page.marks() if "data-field" in attributes]
    return list(dict.fromkeys([*found, *((field, "x") for field in fields)]))


def telling(all_acts: list[tuple[str, str]]) -> Any:
    """What is told: those acts, to each region; each button is clicked, and each form sent by each of its buttons."""

    def tells(page: OpenPage, listener: Listener) -> Iterator[tuple[Any, ...]]:
        element = page.elements[listener.element]
        props = element.get("props", {})
        match listener.kind:
            case "click":
                yield ()
            case "act":
                for act, value in all_acts:
                    yield ({"act": act, "value": value},)
                if named := re.search(r"Type <code>(.*?)</code> to go on", str(props.get("content", ""))):
                    yield ({"act": "field:name", "value": html.unescape(named[1])},)
            case "sent":
                for other in ("submit", *(one["act"] for one in props.get("others", ()))):
                    yield ({"act": other, "values": filled(props["fields"])},)

    return tells


def filled(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """What somebody types into a form: what it has already, or else something."""
    found: dict[str, Any] = {}
    for field in fields:
        options = [option["value"] for option in field.get("options") or ()]
        fallback: Any = options[:1] if field["kind"] == "choices" else options[0] if options else "1"
        found[field["name"]] = field.get("value") or fallback
    return found


@pytest.fixture(scope="module")
def known(made: Stocked, inside: Inside) -> dict[str, list[tuple[str, str]]]:
    """All pages, as an administrator sees them, with what their marks can tell."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page in crawl(inside, made.session, *BEGINNINGS):
        found[page.path] = acts(page)
        page.close()
    assert len(found) > 40
    assert sum(map(len, found.values())) > 100
    return found


def test_who_only_looks_changes_nothing_whatever_the_page_is_told(
    made: Stocked, inside: Inside, known: dict[str, list[tuple[str, str]]]
) -> None:
    viewer = user(made, "vera", Role.VIEWER)
    before = dumps.tables(made.app)
    for path, found in known.items():
        page = OpenPage(inside, viewer, path)
        push(page, inside.settle, telling(found))
        page.close()
    assert dumps.changed(before, dumps.tables(made.app)) == []
    tried = made.app.audit.find(limit=1_000, actor="vera")
    assert {one.outcome for one in tried if one.action != "user.sign_in"} <= {"refused"}


def test_who_was_an_administrator_a_moment_ago_changes_nothing_by_pages_that_are_open(
    made: Stocked, inside: Inside, known: dict[str, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(watch, "over", none)  # they are not closed yet
    text = user(made, "dora", Role.ADMIN)
    pages = [OpenPage(inside, text, path) for path in known]
    buttons = sum(listener.kind == "click" for page in pages for listener in page.listeners())
    assert buttons > 60
    made.app.users.edit("dora", role=Role.VIEWER)
    inside.sessions.forget(text)  # two seconds have passed
    before = dumps.tables(made.app)
    for page in pages:
        push(page, inside.settle, telling(acts(page)))
        page.close()
    assert dumps.changed(before, dumps.tables(made.app)) == []
    refused = {one.action for one in made.app.audit.find(limit=1_000, actor="dora", outcome="refused")}
    assert len(refused) > 25, "their buttons were there, and were clicked"


@pytest.mark.parametrize("change", ["signed out", "made a viewer"])
def test_a_page_that_is_open_shows_nothing_new_to_who_may_not_see_it_any_more(
    made: Stocked, inside: Inside, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_SURE_SECONDS", 0.0)
    name = f"live {change}"
    text, other = user(made, name, Role.ADMIN), made.session
    page, theirs = OpenPage(inside, text, "/exports"), OpenPage(inside, other, "/exports")
    if change == "signed out":
        made.app.users.sign_out(text)
    else:
        made.app.users.edit(name, role=Role.VIEWER)
    inside.sessions.forget(text)
    new = f"made while {change}"
    made.app.exports.create(CONNECTION, {"name": new, "table": change, "interval": "none"}, by="me")

    def shown(where: OpenPage) -> bool:
        where.hear()
        return any(new in content for _, content in where.contents())

    until(lambda: shown(theirs), "who may sees it")
    assert not shown(page)

    def is_left() -> bool:
        page.hear()
        return any("location." in code for code in page.said)

    until(is_left, "the page is left")
    for one in (page, theirs):
        one.close()


EVIL = """<evil-mark onmouseover=alert(1)></evil-mark><img src=x onerror=alert(1)>'"{{7*7}}`${7*7}"""
#: What people and other systems say, and pages show.
_SAID = (
    ("connections", "name"), ("connections", "connected_by"), ("exports", "name"), ("source_models", "name"),
    ("destinations", "name"), ("syncs", "name"), ("channels", "name"), ("tokens", "name"), ("keys", "name"),
    ("dbt_projects", "name"), ("runs", "error_message"), ("runs", "error_hint"), ("runs", "created_by"),
    ("run_lines", "message"), ("run_lines", "step"), ("sync_rejects", "message"), ("sync_rejects", "key"),
    ("event_rejects", "message"), ("audit_log", "actor"), ("audit_log", "name"), ("audit_log", "code"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/sign-in", {"name": "root"}),
        ("/set-up", {"name": "eve", "token": "tmu_x"}),
        ("/sign-out", {}),
        ("/account/password", {"password": "another one entirely", "again": "another one entirely"}),
        ("/_nicegui/client/x/upload/1", {}),
        ("/exports", {}),
    ],
)
def test_what_another_page_sends_in_the_name_of_who_is_signed_in_is_not_done(
    made: Stocked, inside: Inside, path: str, form: dict[str, str]
) -> None:
    before = dumps.tables(made.app)
    password = {"password": made.secrets["password of root"], "old": made.secrets["password of root"]}
    with httpx.Client(base_url=inside.url, cookies={"tidemill_session": made.session}) as client:
        for origin in ("https://evil.example", "null", "", f"{inside.url}.evil.example", inside.url):
            for token in ({}, {"form_token": ""}, {"form_token": "x" * 64}, {"form_token": "tms_" + "x" * 40}):
                headers = {"origin": origin} if origin else {}
                answer = client.post(path, data={**password, **form, **token}, headers=headers)
                # Where there is no such form, or the account is there already, nothing is asked for.
                allowed = {403} if origin != inside.url else {403, 404, 405, 303 if path == "/set-up" else 403}
                assert answer.status_code in allowed, (path, origin, token, answer.text[:200])
    assert dumps.changed(before, dumps.tables(made.app)) == []
    assert made.app.users.session(made.session) is not None


def test_what_others_have_said_is_text_on_each_page(made: Stocked, inside: Inside) -> None:
    with psycopg.connect(made.app.postgres.dsn) as session:
        there = session.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
        for table, column in _SAID:
            if (table, column) in there:
                session.execute(
                    f'UPDATE tidemill."{table}" SET "{column}" = %s '
                    f'WHERE ctid = (SELECT ctid FROM tidemill."{table}" LIMIT 1)',
                    [EVIL],
                )
    seen, shown = [], 0
    for page in crawl(inside, made.session, *BEGINNINGS):
        content = "".join(text for _, text in page.contents())
        shown += "&lt;evil-mark" in content
        wrong = [tag for tag, attributes in page.marks() if tag == "evil-mark" or attributes.get("src") == "x"]
        seen += [(page.path, wrong)] if wrong else []
        page.close()
    assert seen == []
    assert shown > 8
