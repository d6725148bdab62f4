"""What is asked before something is done that cannot be undone, or in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup
from nicegui import ui
from nicegui.element import Element

from tidemill.web.buttons import button, enable
from tidemill.web.marks import join
from tidemill.web.region import Region


@contextlib.contextmanager
def dialog(title: str, *, wide: bool = False) -> Iterator[ui.dialog]:
    """A window over the page, for the content of the block: ``with dialog("…") as window: …``, then
    ``await answer(window)``."""
    # It is there at once: while it comes, the focus could leave it.
    with (
        ui.dialog().props("transition-duration=0") as window,
        ui.element("div").classes("dialog dialog-wide" if wide else "dialog"),
    ):
        window._props["aria-label"] = title
        Region(Markup("<h2>{}</h2>").format(title)).classes("dialog-title")
        yield window


async def answer(window: ui.dialog) -> Any:
    """What was given to ``window.submit(…)``; None if it was closed. If the page is gone meanwhile, what would be done
    then is not done."""
    found = await window
    if window.is_deleted or window.client.is_deleted:
        raise asyncio.CancelledError
    window.delete()
    return found


async def confirm(
    title: str,
    does: str | Sequence[str | Markup],
    *,
    action: str = "Delete",
    name: str = "",
    kind: str = "danger",
) -> bool:
    """Ask before something is done. `does`: what it will do, a sentence or a list; `action`: what the button says;
    `name`: is to be typed, for what cannot be undone. Whether it is wanted."""
    with dialog(title) as window:
        items = [does] if isinstance(does, str) else does
        said = (
            Markup("<p>{}</p>").format(items[0])
            if len(items) == 1
            else Markup("<ul>{}</ul>").format(join(Markup("<li>{}</li>").format(item) for item in items))
        )
        Region(said).classes("dialog-text")
        typed: list[str] = [""]
        do = _buttons(window, action, kind, typed, name)
        if name:
            enable(do, on=False)
    return bool(await answer(window))


def _buttons(window: ui.dialog, action: str, kind: str, typed: list[str], name: str) -> Element:
    if name:
        label = Markup(
            '<div class="field"><label for="confirm-name">Type <code>{}</code> to go on</label>'
            '<input id="confirm-name" type="search" data-field="name" autocomplete="off" spellcheck="false"></div>'
        ).format(name)

        def typing(_act: str, value: str) -> None:
            typed[0] = value
            enable(do, on=value.strip() == name)

        Region(label, on_act=typing)
    with ui.element("div").classes("dialog-actions"):
        button("Cancel", lambda: window.submit(None))
        do = button(action, lambda: window.submit(not name or typed[0].strip() == name), kind=kind)
    return do


def actions() -> Element:
    """Where the buttons of a window go: ``with dialogs.actions(): button(…)``."""
    return ui.element("div").classes("dialog-actions")
