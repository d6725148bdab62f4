"""Tabs of a page: each has an address of its own, so it can be shared, and is gone back to."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

from markupsafe import Markup
from nicegui import ui

from tidemill.web import marks, visit
from tidemill.web.region import Region, show


def tabs(label: str, found: Sequence[tuple[str, str]], current: str | None = None, *, key: str = "tab") -> str:
    """Show tabs (value and title each) of this page. Gives the value of the one that is shown: `current`, or what the
    URL names by `key`; the first, if there is no such."""
    if current is None:
        current = str(ui.context.client.request.query_params.get(key, ""))
    values = [value for value, _ in found]
    chosen = current if current in values else values[0]
    bar(label, [(f"?{urllib.parse.urlencode({key: value})}", title, value == chosen) for value, title in found])
    return chosen


def bar(label: str, found: Sequence[tuple[str, str, bool]]) -> Region:
    """Tabs that lead to addresses: each with its title, and whether it is the one that is shown."""
    path = urllib.parse.quote(visit.current().path)
    items = (
        Markup('<li><a href="{}"{}>{}</a></li>').format(
            path + href if href.startswith("?") else href, Markup(' aria-current="page"') if here else Markup(), title
        )
        for href, title, here in found
    )
    return show(Markup('<nav class="tabs" aria-label="{}"><ul>{}</ul></nav>').format(label, marks.join(items)))
