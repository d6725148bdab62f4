"""What people are told in passing (a notice), and what went wrong (a problem): the message, what to do, the code."""

from __future__ import annotations

import json
import logging

from markupsafe import Markup
from nicegui import ui

from tidemill.errors import TidemillError
from tidemill.web import marks, visit
from tidemill.web.icons import icon
from tidemill.web.region import Region

_log = logging.getLogger(__name__)
_PROBLEM = Markup(
    '<div class="notice notice-{kind}" role="{role}"><p class="notice-title">{icon}<span>{message}</span></p>'
    '{hint}<p class="notice-code">{code}</p></div>'
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
    role = "alert" if kind == "bad" else "note"
    return _PROBLEM.format(
        kind=kind, role=role, message=error.message, hint=marks.hint(error.hint), code=error.code, icon=icon("warning")
    )


def problem(error: TidemillError) -> Region:
    """Show an error here, on the page."""
    return Region(mark(error))
