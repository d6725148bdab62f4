"""Parts of a page, one of which is shown: which one is in the URL, so it can be shared and gone back to."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

from markupsafe import Markup

from tidemill.web import visit
from tidemill.web.marks import join
from tidemill.web.region import Region, show


def tabs(label: str, found: Sequence[tuple[str, str]], chosen: str, **kept: str) -> str:
    """Show them here, and give which one is to be shown: `chosen`, or the first. `found`: keys and titles; `kept`: what
    of the query stays."""
    known = dict(found)
    current = chosen if chosen in known else found[0][0]
    bar(label, found, current, **kept)
    return current


def bar(label: str, found: Sequence[tuple[str, str]], current: str, **kept: str) -> Region:
    """The links of them."""
    path = visit.current().path

    def link(key: str, title: str) -> Markup:
        query = urllib.parse.urlencode({"tab": key, **kept})
        here = Markup(' aria-current="page"') if key == current else Markup()
        return Markup('<li><a href="{}?{}"{}>{}</a></li>').format(urllib.parse.quote(path), query, here, title)

    links = join(link(key, title) for key, title in found)
    return show(Markup('<nav class="tabs" aria-label="{}"><ul>{}</ul></nav>').format(label, links))
