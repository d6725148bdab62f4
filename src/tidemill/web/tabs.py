"""Tabs of a page: links, so that each has a URL, works by keyboard, and may be opened in a window of its own."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from nicegui import ui

from tidemill.web.marks import join
from tidemill.web.region import show


def tabs(label: str, found: Sequence[tuple[str, str]], *, field: str = "tab") -> str:
    """Show tabs, each with its key and title; gives the key of the one that the URL names, or of the first."""
    known = dict(found)
    here = ui.context.client.request.query_params.get(field, "")
    here = here if here in known else found[0][0]
    items = (
        Markup('<li><a href="?{}={}"{}>{}</a></li>').format(
            field, key, Markup(' aria-current="page"') if key == here else Markup(), title
        )
        for key, title in found
    )
    show(Markup('<nav class="tabs" aria-label="{}"><ul>{}</ul></nav>').format(label, join(items)))
    return here
