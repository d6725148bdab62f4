"""A connection: what it is, what uses it, its test, its set-up, reverse ETL from it; and how it is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.errors import NotFoundError
from tidemill.web import frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Option
from tidemill.web.live import live
from tidemill.web.page import page
from tidemill.web.pages.connection_delete import delete, topic
from tidemill.web.pages.connection_form import USES, page_of
from tidemill.web.pages.connection_set_up import SetUpText, egress, panel
from tidemill.web.pages.connection_source import source_tab
from tidemill.web.pages.connections import PLACE, status
from tidemill.web.places import has
from tidemill.web.region import Region, show
from tidemill.web.steps import Steps
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.connection_users import Use
    from tidemill.connections.service import Connection
    from tidemill.connections.standing import Standing, Test

    Looked = tuple[Connection, list[Use], Standing] | None

_TABS = (("uses", "Overview"), ("test", "Test"), ("set-up", "Set-up"), ("source", "Reverse ETL and imports"))
#: Where the things of a kind are.
_PLACES = {
    "export": "/exports", "stream": "/exports", "sync": "/syncs", "import": "/imports", "model": "/models",
    "dbt project": "/dbt",
}  # fmt: skip
_EVERY_SECONDS = 2.0


@page("{name}", Permission.CONNECTIONS_READ, "/connections/{name}", parents=(("Connections", PLACE),))
async def connection(name: str, done: str = "") -> None:
    """One of them."""
    found = await visit.call(lambda app: app.connections.get(name))
    if done == "saved":
        notices.notice(f"The connection {found.name} is saved.")
        ui.run_javascript("history.replaceState(history.state, '', location.pathname)")
    if visit.current().may(Permission.CONNECTIONS_WRITE):
        with frame.actions():
            show(marks.goto("Change", page_of(found.name) + "/edit", "plain", "pencil"))
            button("Delete", lambda: delete(found.name, progress), kind="danger", sign="trash")
    progress = Region().props('role="status" aria-live="polite"')
    match tabs(found.name, _TABS):
        case "test":
            await _test(found)
        case "set-up":
            await _set_up(found)
        case "source":
            await source_tab(found)
        case _:
            await _overview(found)


async def _overview(found: Connection) -> None:
    with ui.element("div").classes("grid-2"):
        facts, uses = Region(), Region()
    # The first look opens what runs exports and syncs; what takes long is looked at less often.
    await visit.call(lambda app: app.connection_users.uses(found.name))

    def look(app: App) -> Looked:
        try:
            users = app.connection_users
            return app.connections.get(found.name), users.uses(found.name), users.standing(found.name)
        except NotFoundError:
            return None

    def shown(looked: Looked) -> None:
        if looked is None:
            gone = Markup('<p class="notice notice-warning" role="status">The connection {} is deleted. {}</p>')
            facts.show(gone.format(found.name, marks.link("All connections", PLACE)))
            uses.show("")
            return
        facts.show(marks.panel("Connection", _facts(looked[0], looked[2])))
        uses.show(marks.panel("Used by", _uses(looked[1])))

    await live(topic(found.name), look, shown, every=_EVERY_SECONDS)


def _facts(one: Connection, how: Standing) -> Markup:
    facts: list[tuple[str, str | Markup]] = [
        ("Status", status(how)),
        ("Last tested", marks.when(how.test.at if how.test else None, otherwise="never")),
        ("Last used with success", marks.when(how.succeeded_at, otherwise="never")),
        ("Project", marks.copy(one.project)),
        ("Dataset", marks.copy(one.dataset)),
        ("Location", one.location or marks.muted("not known: the test reads it")),
        ("Signs in with", one.credential),
        ("Account", marks.copy(one.account) if one.account else marks.muted("that of this machine")),
        ("Connected on", marks.when(one.connected_at, plain=True)),
        ("Connected by", one.connected_by),
        ("Changed", marks.when(one.updated_at)),
    ]
    text = _because(how)
    if one.deleting_at is not None:
        text = Markup(
            '<p class="muted">It is being deleted: nothing new is begun on it. If that was broken off, Delete goes on '
            "with it.</p>"
        )
    return Markup('<div class="stack">{}{}</div>').format(text, marks.facts(facts))


def _because(how: Standing) -> Markup:
    """By what it is known how it stands, and what to do."""
    if how.state == "failing":
        return notices.box(how.message, hint=how.hint)
    return Markup('<p class="muted">{}</p>').format(how.message)


def _uses(found: list[Use]) -> Markup:
    if not found:
        return Markup('<p class="muted">Nothing uses it. Make an export, or a model of its rows.</p>')
    items = marks.join(
        Markup('<li><div class="decision-head">{} {}</div>{}</li>').format(
            _named(use), marks.tag(use.kind), _at_work(use)
        )
        for use in found
    )
    return Markup('<ul class="list">{}</ul>').format(items)


def _named(use: Use) -> Markup:
    place = _PLACES.get(use.kind, "")
    return marks.thing(place, use.name) if has(place) else Markup("<strong>{}</strong>").format(use.name)


def _at_work(use: Use) -> Markup:
    if not use.at_work:
        return Markup()
    return Markup("<p>{}</p>").format(marks.badge(f"at work: {', '.join(use.at_work)}", marks.ACTIVE))


async def _test(found: Connection) -> None:
    """Its last test, for everybody; who may change it makes another one."""
    last = (await visit.call(lambda app: app.connection_users.standing(found.name))).test
    before: list[ui.element] = []
    if visit.current().may(Permission.CONNECTIONS_WRITE):
        _new_test(found, before)
    with ui.element("div") as shown, panel("The last test"):
        show(_told(last))
        if last is not None:
            Steps().show(last.steps)
    before.append(shown)


def _told(last: Test | None) -> Markup:
    if last is None:
        return Markup('<p class="muted">It was not tested yet.</p>')
    result = marks.badge("passed" if last.passed else "failed")
    use = next((option.label for option in USES if option.value == last.use), last.use)
    return Markup("<p>{} {} {}</p>").format(result, marks.when(last.at), marks.muted(f"For: {use}"))


def _new_test(found: Connection, before: list[ui.element]) -> None:
    """A test that one can make. `before`: what is shown of the last one, until then."""
    chosen = [USES[0].value]

    async def run() -> None:
        said.show("")
        for element in before:
            element.clear()
        good = await steps.run(lambda app: app.connections.test(found.name, chosen[0]))
        said.show("The test is passed." if good else "The test is not passed: do what the failed step says.")

    def choose(act: str, value: str) -> None:
        if act == "field:use" and value in {option.value for option in USES}:
            chosen[0] = value

    with panel("Test", "Each step is shown by doing it. Nothing is left behind in BigQuery."):
        Region(_select("use", "Test for", USES), on_act=choose)
        with ui.element("div").classes("row-of"):
            button("Test it now", run, kind="primary", sign="play")
        steps, said = Steps(), Region().props('role="status" aria-live="polite"')


def _select(name: str, label: str, options: tuple[Option, ...]) -> Markup:
    items = marks.join(Markup('<option value="{}">{}</option>').format(one.value, one.label) for one in options)
    return Markup(
        '<div class="field"><label for="choose-{}">{}</label><select id="choose-{}" data-field="{}">{}</select></div>'
    ).format(name, label, name, name, items)


async def _set_up(found: Connection) -> None:
    with panel("Set-up on Google's side", "With exactly the permissions that are needed, for the names of this one."):
        text = SetUpText(chooses=True)
    await text.of(project=found.project, dataset=found.dataset, account=found.account, location=found.location)
    await egress()
