"""What people are told in passing (a notice), and what went wrong (a problem): the message, what to do, the code."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from markupsafe import Markup
from nicegui import ui

from tidemill.errors import TidemillError
from tidemill.web import marks, visit
from tidemill.web.icons import icon
from tidemill.web.region import Region

_log = logging.getLogger(__name__)
_NOTHING = Markup()
_BOX = Markup(
    '<div class="notice notice-{kind}" role="{role}"><p class="notice-title">{icon}<span>{title}</span></p>'
    "{body}{code}</div>"
)


def notice(text: str, kind: str = "good", detail: str = "", code: str = "") -> None:
    """Tell something in passing: at the edge of the page, read out to who does not see it. kind: good, bad, warning."""
    said = json.dumps({"text": text, "kind": kind, "detail": detail, "code": code})
    ui.run_javascript(f"tidemill.notice({said})")


def tell(error: Exception) -> None:
    """An error of something that was done on a page: what a user can meet is told; anything else is a bug."""
    if visit.is_signed_out(error):
        ui.run_javascript('location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search))')
    elif isinstance(error, TidemillError):
        notice(error.message, "bad", error.hint, error.code)
    else:
        _log.error("something that was done on a page failed", exc_info=error)
        notice("That did not work: there is a fault in Tidemill.", "bad", "The server's log says more.", "bug")


def mark(error: TidemillError, kind: str = "bad") -> Markup:
    """An error, as it stands on a page."""
    return box(error.message, kind, hint=error.hint, code=error.code, role="alert" if kind == "bad" else "note")


def kept(error: Mapping[str, str], kind: str = "bad") -> Markup:
    """An error that was kept: message, hint, code."""
    return box(error.get("message", ""), kind, hint=error.get("hint", ""), code=error.get("code", ""))


def box(
    title: str | Markup,
    kind: str = "bad",
    *,
    body: Markup = _NOTHING,
    hint: str = "",
    code: str = "",
    role: str = "note",
) -> Markup:
    """What stands out on a page. kind: good, bad, warning; `hint`: what to do."""
    return _BOX.format(
        kind=kind,
        role=role,
        icon=_NOTHING if kind == "good" else icon("warning"),
        title=title,
        body=body + marks.hint(hint),
        code=Markup('<p class="notice-code">{}</p>').format(code) if code else _NOTHING,
    )


def problem(error: TidemillError) -> Region:
    """Show an error here, on the page."""
    return Region(mark(error))
