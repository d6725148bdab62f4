"""People: one by a distinct_id, with ids, properties and events; and deleting one on request."""

from __future__ import annotations

import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.errors import NotFoundError
from tidemill.paging import Wanted
from tidemill.web import dialogs, frame, marks, visit
from tidemill.web.buttons import button
from tidemill.web.live import live
from tidemill.web.numbers import whole
from tidemill.web.page import page
from tidemill.web.paged import paged
from tidemill.web.pages import data, operations
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Page, table
from tidemill.web.tabs import bar

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.events.identity.history import History, MergeView, PropertyView
    from tidemill.events.identity.service import PersonView, RefusalView
    from tidemill.operations.service import OperationView

_TABS = (("properties", "Properties"), ("ids", "Ids and merges"), ("events", "Events"))
_SEARCH = Markup(
    '<form method="get" action="/people" role="search" class="lookup"><div class="field"><label for="person-id">'
    'Distinct id</label><input id="person-id" name="id" type="search" value="{id}" autocomplete="off" '
    'spellcheck="false" maxlength="400" placeholder="ana@example.com" required></div><div class="field narrow">'
    '<label for="person-team">Team</label><input id="person-team" name="team" type="number" min="0" value="{team}">'
    '</div><button class="button button-primary" type="submit">Look up</button></form>'
)
#: What the codes of refusals mean.
_REASONS = {
    "merge_of_identified": "The other id is that of somebody who is identified already.",
    "merge_with_nobody": "One of the ids stands for nobody, such as null or anonymous.",
    "merge_without_person": "The event wants no person.",
    "person_too_large": "The properties would be larger than 512 KB.",
    "operation_refused": "The operation does not fit the property.",
}
_MOST_REFUSALS = 1_000


@page("People", Permission.PERSONS_READ, "/people")
async def people(id: str = "", team: str = "1", tab: str = "", deletion: str = "") -> None:  # noqa: A002 - as it is in the address
    """One of them, who is looked up; or what was refused of all."""
    number = whole(team, 1)
    show(_SEARCH.format(id=id, team=number))
    if not id:
        show(Markup('<p class="lead">Each id by which an app knows a person finds it: a user id, or that of a device.'))
        await _deletions()
        await _refusals()
        return
    await _deletion(deletion, f"{_path(number, id)}&deletion={deletion}")
    try:
        found = await visit.call(lambda app: app.identity.show(number, id))
    except NotFoundError as error:
        await _unknown(number, id, error)
        return
    await _person(found, id, tab)


async def _unknown(team: int, distinct_id: str, error: NotFoundError) -> None:
    sent = await visit.call(lambda app: app.events.page(Wanted(limit=1), team_id=team, distinct_id=distinct_id))
    text = "No event names this id. Look whether it is spelled so, and whether the team is right."
    if sent.items:
        text = "There are events under this id, but no person: it was deleted, or its events want none."
    query = urllib.parse.urlencode({"distinct_id": distinct_id, "team": team})
    see = marks.goto("See its events", f"/events?{query}", "plain") if sent.items else Markup()
    show(marks.empty(error.message, text, see, "person"))
    if sent.items and visit.current().may(Permission.PERSONS_DELETE):
        with frame.actions():
            button("Delete its events", lambda: _delete_events(team, distinct_id), kind="danger", sign="trash")


async def _person(found: PersonView, distinct_id: str, tab: str) -> None:
    if visit.current().may(Permission.PERSONS_DELETE):
        with frame.actions():
            button("Delete", lambda: _delete(found, distinct_id), kind="danger", sign="trash")
    known = "identified" if found.identified else "anonymous"
    facts: list[tuple[str, str | Markup]] = [
        ("Person", marks.copy(found.id)),
        ("Team", str(found.team_id)),
        ("Known as", marks.tag(known)),
        ("Since", marks.when(found.created_at)),
        ("Ids", f"{len(found.distinct_ids):,}"),
        ("Version", f"{found.version:,}"),
    ]
    show(marks.facts(facts))
    chosen = tab if tab in dict(_TABS) else "properties"
    query = {"id": distinct_id, "team": found.team_id}
    links = [("?" + urllib.parse.urlencode({**query, "tab": key}), title, key == chosen) for key, title in _TABS]
    bar("Person", links)
    if chosen == "events":
        await _events(found)
        return
    history = await visit.call(lambda app: app.identity.history(found.team_id, distinct_id))
    await (_ids(found, history) if chosen == "ids" else _properties(history))


async def _properties(history: History) -> None:
    columns: list[Column[PropertyView]] = [
        Column("name", "Property", lambda one: Markup("<code>{}</code>").format(one.name), sort=True),
        Column("value", "Value", lambda one: _value(one.value), costly=True),
        Column("changed_at", "Since", lambda one: marks.when(one.changed_at, otherwise="not known"), sort=True),
        Column("event", "By", lambda one: one.event or marks.muted("–"), wide=True),
    ]
    empty = marks.empty("No properties", "SDKs set them with $set, identify calls and imports of people.", sign="list")
    await table(
        columns, lambda _, asked: paged(history.properties, asked), caption="Properties", empty=empty, sort="name"
    )


def _value(value: Any) -> Markup:
    if isinstance(value, dict | list):
        return Markup('<details class="changes"><summary><code>{}</code></summary>{}</details>').format(
            data.brief(value), data.as_json(value)
        )
    return Markup("<code>{}</code>").format(data.brief(value, 300))


async def _ids(found: PersonView, history: History) -> None:
    ids: list[Column[str]] = [Column("id", "Distinct id", marks.copy)]
    await table(ids, lambda _, asked: paged(found.distinct_ids, asked), caption="Distinct ids", name="i")
    merges: list[Column[MergeView]] = [
        Column("at", "When", lambda one: marks.when(one.at)),
        Column("event", "By", lambda one: Markup("<code>{}</code>").format(one.event)),
        Column("distinct_id", "Id", lambda one: marks.copy(one.distinct_id)),
        Column("other", "Became one with", lambda one: marks.copy(one.other)),
    ]
    show(Markup("<h2>Merges</h2>"))
    empty = marks.empty("No merges", "An identify or alias call that names two ids makes one person of both.")
    await table(merges, lambda _, asked: paged(history.merges, asked), caption="Merges", empty=empty, name="m")


async def _events(found: PersonView) -> None:
    def fetch(app: App, asked: Asked) -> Page[dict[str, Any]]:
        wanted = Wanted(asked.cursor or None, asked.limit)
        page = app.events.page(wanted, team_id=found.team_id, distinct_ids=found.distinct_ids)
        return Page(page.items, page.next or "")

    columns: list[Column[dict[str, Any]]] = [
        Column("timestamp", "When", lambda one: marks.when(one["timestamp"])),
        Column("event", "Event", lambda one: Markup("<strong>{}</strong>").format(one["event"])),
        Column("distinct_id", "Under", lambda one: one["distinct_id"], wide=True),
        Column("properties", "Properties", data.properties, costly=True),
    ]
    empty = marks.empty("No events", "What is known of this person came otherwise, or its events were deleted.")
    await table(columns, fetch, caption="Events", empty=empty, row_key=lambda one: one["uuid"])


async def _refusals() -> None:
    columns: list[Column[RefusalView]] = [
        Column("seen_at", "When", lambda one: marks.when(one.seen_at), sort=True),
        Column("team_id", "Team", lambda one: str(one.team_id), sort=True, end=True, wide=True),
        Column("code", "Why", lambda one: _REASONS.get(one.code, one.code)),
        Column("distinct_id", "Id", lambda one: marks.link(one.distinct_id, _path(one.team_id, one.distinct_id))),
        Column("other", "Other id, or property", lambda one: one.other or marks.muted("–")),
        Column("event_uuid", "Event", lambda one: marks.short_id(one.event_uuid), wide=True),
    ]
    show(Markup("<h2>Merges and changes that were refused</h2>"))
    empty = marks.empty("Nothing was refused", "Merges that cannot be, and properties that do not fit, are told here.")
    await table(
        columns, lambda app, asked: paged(app.identity.refusals(limit=_MOST_REFUSALS), asked),
        caption="Refused merges and changes", empty=empty, row_key=lambda one: (one.event_uuid, one.other),
    )  # fmt: skip


def _path(team: int, distinct_id: str) -> str:
    return "/people?" + urllib.parse.urlencode({"id": distinct_id, "team": team})


_HERE = "The person is deleted here, with all that is known of it, and its rows from the tables of persons."
_STAYS = "Rows of queries of your own are not looked at. A worker does it, also if this page is closed."


async def _delete(found: PersonView, distinct_id: str) -> None:
    does = [_HERE, f"It has {len(found.distinct_ids):,} ids.", _STAYS]
    with dialogs.dialog("Delete this person?") as window:
        show(Markup("<ul><li>{}</li><li>{}</li></ul>").format(_HERE, "Its events stay, unless you say so."))
        with dialogs.actions():
            button("Cancel", lambda: window.submit(None))
            button("Delete the person", lambda: window.submit("person"), kind="danger")
            button("With all events", lambda: window.submit("events"), kind="danger")
    chosen = await dialogs.answer(window)
    if chosen is None:
        return
    events = chosen == "events"
    more = ["All its events are deleted, here and in all tables of exports."] if events else ["Its events stay."]
    if await dialogs.confirm(
        "Delete the person with all events?" if events else "Delete the person?", does + more, name=distinct_id
    ):
        await _erase(found.team_id, distinct_id, events=events)


async def _delete_events(team: int, distinct_id: str) -> None:
    does = [f"All events under the id {distinct_id} are deleted, here and in all tables of exports.", _STAYS]
    if await dialogs.confirm("Delete the events?", does, name=distinct_id):
        await _erase(team, distinct_id, events=True)


async def _erase(team: int, distinct_id: str, *, events: bool) -> None:
    """Have a worker do it; the page shows how far it is."""
    by = visit.current().actor.by
    found = await visit.slowly(lambda app: app.operations.delete_person(team, distinct_id, events=events, by=by))
    frame.go(f"{_path(team, distinct_id)}&deletion={found.id}")


async def _deletion(text: str, here: str) -> None:
    """How it stands with a deletion that was asked for a moment ago: its id is in the address of this page (`here`)."""
    try:
        deletion = uuid.UUID(text)
    except ValueError:
        return

    def look(app: App) -> OperationView | None:
        try:
            return app.operations.deletion(deletion)
        except NotFoundError:
            return None

    await operations.follow(("deletion", deletion), look, operations.over(lambda: frame.go(here)))


async def _deletions() -> None:
    """Those that are not over."""
    region = Region()

    def shown(found: list[OperationView]) -> None:
        region.show(_at_work(found))

    await live("deletions", lambda app: app.operations.deletions(), shown)


def _at_work(found: list[OperationView]) -> Markup:
    if not found:
        return Markup()
    boxes = marks.join(
        Markup('<div class="stack"><h3>{}</h3>{}</div>').format(one.name, operations.mark(one)) for one in found
    )
    return Markup('<section class="stack"><h2>Persons who are being deleted</h2>{}</section>').format(boxes)
