"""Where marks are shown: text that the server renders, and renders anew when something changes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Self

from markupsafe import Markup, escape
from nicegui.element import Element
from nicegui.events import GenericEventArguments

#: Told what was done: `act` of what was clicked (``data-act``), or ``field:NAME`` of what was typed, and its value.
Act = Callable[[str, str], Awaitable[None] | None]


class Region(Element, component="region.js"):
    """A place of a page that shows marks. What is no `Markup` is escaped.

    Elements in it with ``data-act="NAME" data-value="VALUE"`` tell `on_act` when they are clicked, and those with
    ``data-field="NAME"`` when they are changed. What is told comes from a browser: it is to be judged.
    """

    def __init__(self, content: str | Markup = "", *, tag: str = "div", on_act: Act | None = None) -> None:
        super().__init__()
        self._props["tag"] = tag
        self._props["content"] = str(escape(content))
        if on_act is not None:
            acts = on_act

            async def told(event: GenericEventArguments) -> None:
                value = str(event.args["value"]).replace("\0", "")  # which no text of a database may hold
                done = acts(str(event.args["act"]), value)
                if inspect.isawaitable(done):
                    await done

            self.on("act", told)

    def show(self, content: str | Markup) -> Self:
        """Show this from now on; the same as before costs nothing."""
        text = str(escape(content))
        if self._props["content"] != text:
            self._props["content"] = text
            self.update()
        return self


def show(content: str | Markup, classes: str = "") -> Region:
    """A region that shows this, here."""
    made = Region(content)
    if classes:
        made.classes(classes)
    return made
