"""What is around each page: the header, the navigation, the way back up, and who is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.web import region
from tidemill.web.icons import icon
from tidemill.web.places import PLACES, Place
from tidemill.web.plain import BRAND

if TYPE_CHECKING:
    from nicegui.element import Element

    from tidemill.web.visit import Visit

_HEADER = Markup(
    '<a class="skip" href="#content">Skip to the content</a>'
    '<button class="icon-button nav-toggle" type="button" data-nav aria-expanded="false" aria-controls="navigation" '
    'aria-label="Menu">{menu}</button>'
    '<a class="brand" href="/" aria-label="Tidemill, home">{brand}</a>'
    '<div class="header-end">{theme}{user}</div>'
)
_THEME = Markup(
    '<div class="segmented" role="group" aria-label="Theme">'
    '<button type="button" data-theme-choice="light" aria-label="Light" title="Light">{sun}</button>'
    '<button type="button" data-theme-choice="system" aria-label="As the system" title="As the system">'
    "{screen}</button>"
    '<button type="button" data-theme-choice="dark" aria-label="Dark" title="Dark">{moon}</button></div>'
)
_USER = Markup(
    '<details class="menu"><summary><span class="avatar" aria-hidden="true">{initial}</span>'
    '<span class="unseen">Account of </span><span class="user-name">{name}</span></summary><div class="menu-panel">'
    '<p class="menu-head"><strong>{name}</strong><span class="muted">{role}</span></p>'
    '<a class="menu-item" href="/account/password">{lock}Change password</a>'
    '<form method="post" action="/sign-out"><input type="hidden" name="form_token" value="{token}">'
    '<button class="menu-item" type="submit">{out}Sign out</button></form></div></details>'
)
_LINK = Markup('<li><a href="{path}"{current}>{icon}<span>{title}</span></a></li>')
_GROUP = Markup('<p class="nav-group" id="nav-{id}">{name}</p><ul aria-labelledby="nav-{id}">{links}</ul>')
_CRUMBS = Markup('<nav class="crumbs" aria-label="Breadcrumb"><ol>{items}</ol></nav>')


def around(visit: Visit, title: str, parents: Sequence[tuple[str, str]]) -> Element:
    """Build the frame of a page. Gives what its content goes into."""
    client = ui.context.client
    with client.layout:
        header = region.Region(_header(visit), tag="header").classes("header")
        navigation = (
            region.Region(_navigation(visit), tag="nav").classes("nav").props('id="navigation" aria-label="Pages"')
        )
        header.move(target_index=0)
        navigation.move(target_index=1)
        region.Region(Markup(), tag="div").classes("notices").props('role="status" aria-live="polite" id="notices"')
    client.content.classes("content").props('id="content" tabindex="-1"')
    with client.content:
        region.Region(_head(title, parents)).classes("page-head")
        return ui.element("div").classes("page-body stack")


def actions() -> Element:
    """Where the buttons of a page go, beside its title: ``with frame.actions(): button(…)``."""
    found = ui.element("div").classes("page-actions")
    found.move(ui.context.client.content, target_index=1)
    return found


def _header(visit: Visit) -> Markup:
    name = visit.user.name
    theme = _THEME.format(sun=icon("sun", 16), screen=icon("screen", 16), moon=icon("moon", 16))
    user = _USER.format(
        name=name,
        initial=name[:1].upper(),
        role=str(visit.user.role).capitalize(),
        token=visit.session.csrf,
        lock=icon("lock"),
        out=icon("out"),
    )
    return _HEADER.format(menu=icon("menu", 20), brand=BRAND, theme=theme, user=user)


def _navigation(visit: Visit) -> Markup:
    groups: dict[str, list[Place]] = {}
    for place in PLACES:
        if place.listed and visit.may(place.permission):
            groups.setdefault(place.group, []).append(place)
    parts = []
    for name, places in groups.items():
        links = Markup().join(_link(place, visit.path) for place in places)
        heading = name.lower().replace(" ", "-")
        parts.append(_GROUP.format(id=heading, name=name, links=links) if name else Markup("<ul>{}</ul>").format(links))
    return Markup().join(parts)


def _link(place: Place, path: str) -> Markup:
    is_here = path == place.path or (place.path != "/" and path.startswith(f"{place.path}/"))
    current = Markup(' aria-current="page"') if is_here else Markup()
    return _LINK.format(path=place.path, title=place.title, icon=icon(place.icon), current=current)


def _head(title: str, parents: Sequence[tuple[str, str]]) -> Markup:
    crumbs = Markup()
    if parents:
        items = [Markup('<li><a href="{}">{}</a></li>').format(path, name) for name, path in parents]
        crumbs = _CRUMBS.format(items=Markup().join([*items, Markup('<li aria-current="page">{}</li>').format(title)]))
    return crumbs + Markup("<h1>{}</h1>").format(title)


def go(path: str) -> None:
    """Lead to another page of ours."""
    ui.navigate.to(path)
