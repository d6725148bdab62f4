"""The decorator of pages: the permission, the frame around them, and what is shown if one cannot be built."""

from __future__ import annotations

import functools
import inspect
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec

from nicegui import ui

from tidemill.errors import AccessError, TidemillError
from tidemill.web import frame, notices, visit

if TYPE_CHECKING:
    from tidemill.access.permissions import Permission

P = ParamSpec("P")
Builder = Callable[P, Awaitable[None] | None]

#: A page that takes longer is shown as far as it is; what waits for others belongs into `live`, or after a click.
_BUILDS_SECONDS = 15.0


def page(
    title: str, permission: Permission | None, path: str, *, parents: tuple[tuple[str, str], ...] = ()
) -> Callable[[Builder[P]], Callable[P, Awaitable[None]]]:
    """Make a function a page: ``@page("Export", Permission.EXPORTS_READ, "/exports/{name}")``.

    Parameters of the function are those of the path, and of the query, as in FastAPI. `title` may hold parameters, too
    (``"Export {name}"``), and so may `parents`: titles and paths of what stands above it, for the breadcrumb.
    """

    def decorated(build: Builder[P]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(build)
        async def built(*arguments: P.args, **named: P.kwargs) -> None:
            texts = {key: str(value) for key, value in named.items()}
            quoted = {key: urllib.parse.quote(text, safe="") for key, text in texts.items()}
            shown = title.format_map(texts)
            above = [(name.format_map(texts), path.format_map(quoted)) for name, path in parents]
            ui.page_title(f"{shown} · Tidemill")
            ui.on_exception(notices.tell)
            looks = visit.current()
            content = frame.around(looks, shown, above)
            with content:
                if not looks.may(permission):
                    notices.problem(_refused(looks.user.role))
                    return
                try:
                    building = build(*arguments, **named)
                    if inspect.isawaitable(building):
                        await building
                except TidemillError as error:
                    notices.problem(error)

        ui.page(path, response_timeout=_BUILDS_SECONDS)(built)
        return built

    return decorated


def _refused(role: str) -> AccessError:
    return AccessError(
        "not_allowed",
        f"With the role {role} you may not see this page.",
        hint="An administrator can give you another role: Settings, Users.",
    )
