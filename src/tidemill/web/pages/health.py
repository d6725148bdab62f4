"""Settings, health: what `tidemill doctor` says, with versions, disk and queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import frame, marks, visit
from tidemill.web.buttons import button
from tidemill.web.marks import BAD, GOOD, WARNING
from tidemill.web.page import page
from tidemill.web.region import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.app import App
    from tidemill.health import Check

_KINDS = {"ok": GOOD, "warning": WARNING, "wrong": BAD}


@page("Health", Permission.HEALTH_READ, "/settings/health")
async def health() -> None:
    """How each part is."""
    region = Region()

    async def look() -> None:
        region.show(_shown(await visit.call(_doctor)))

    with frame.actions():
        button("Look again", look, sign="pulse")
    await look()


def _doctor(app: App) -> list[Check]:
    return app.health.examine()


def _shown(checks: Sequence[Check]) -> Markup:
    wrong = sum(check.status == "wrong" for check in checks)
    warnings = sum(check.status == "warning" for check in checks)
    figures = marks.figures(
        (
            marks.figure("Wrong", f"{wrong:,}", "to be mended", BAD if wrong else GOOD),
            marks.figure("Warnings", f"{warnings:,}", "to be looked at", WARNING if warnings else GOOD),
            marks.figure("Checks", f"{len(checks):,}", "made just now"),
        )
    )
    items = (
        Markup('<li><div class="decision-head">{}<strong>{}</strong></div><p>{}</p>{}</li>').format(
            marks.badge(check.status, _KINDS.get(check.status)),
            check.name[:1].upper() + check.name[1:],
            check.detail,
            marks.hint(check.hint),
        )
        for check in sorted(
            checks, key=lambda check: ("wrong", "warning").index(check.status) if check.status != "ok" else 2
        )
    )
    panel = marks.panel("Checks", Markup('<ul class="list">{}</ul>').format(marks.join(items)))
    return Markup('<div class="stack">{}{}</div>').format(figures, panel)
