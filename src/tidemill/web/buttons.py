"""Buttons: what they do is done once, however often they are clicked meanwhile."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from nicegui.element import Element

from tidemill.web.icons import icon
from tidemill.web.region import Region

Click = Callable[[], Awaitable[object] | object]


def button(text: str, on_click: Click, *, kind: str = "plain", sign: str = "", label: str = "") -> Element:
    """A button. `kind`: primary (one a page), plain, danger, quiet; `sign`: an icon; `label`: if the text says too
    little to who does not see the page."""
    made = Element("button").classes(f"button button-{kind}").props("type=button")
    if label:
        made._props["aria-label"] = label
    with made:
        if sign:
            Region(icon(sign), tag="span").classes("icon-slot")
        caption = Element("span")
        caption._text = text

    async def clicked() -> None:
        if made._props.get("disabled") or made._props.get("aria-disabled"):
            return
        # Not `disabled`: what is, loses the focus, and nobody who uses a keyboard would find it again.
        made._props["aria-disabled"] = made._props["aria-busy"] = "true"
        made.update()
        try:
            done = on_click()
            if inspect.isawaitable(done):
                await done
        finally:
            if not made.is_deleted:
                for name in ("aria-disabled", "aria-busy"):
                    made._props.pop(name, None)
                made.update()

    made.on("click", clicked, [])
    return made


def enable(found: Element, *, on: bool) -> None:
    """Whether a button may be clicked."""
    if on:
        found._props.pop("disabled", None)
    else:
        found._props["disabled"] = True
    found.update()


def say(found: Element, text: str) -> None:
    """Have a button say something else."""
    caption = found.default_slot.children[-1]
    caption._text = text
    caption.update()
