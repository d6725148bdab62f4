"""An editor of code, with highlighting, in the colours of the theme."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Literal

from nicegui import ui
from nicegui.events import GenericEventArguments, ValueChangeEventArguments

#: After the last letter, until what was typed is looked at.
_REST_SECONDS = 0.6
_THEMES = {"dark": "basicDark", "light": "basicLight"}
#: Names the field for who does not see it, and tells of the theme, whenever it changes.
_FOLLOW = """
(() => {{
  const editor = getHtmlElement({id});
  editor.querySelector(".cm-content")?.setAttribute("aria-label", {label});
  editor.querySelector(".cm-scroller")?.setAttribute("tabindex", "-1");
  const root = document.documentElement;
  const tell = () => {{ if (editor.isConnected) emitEvent("{event}", root.dataset.theme); }};
  new MutationObserver(tell).observe(root, {{ attributes: true, attributeFilter: ["data-theme"] }});
  tell();
}})()
"""


class Editor:
    """An editor on a page. `on_change` is told once nothing was typed for a moment; a later text ends an earlier
    call's turn: see `is_current`."""

    def __init__(
        self,
        label: str,
        value: str = "",
        *,
        language: Literal["SQL", "JSON"] = "SQL",
        on_change: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._on_change, self._turn = on_change, 0
        self._editor = ui.codemirror(
            value, language=language, theme="basicLight", indent="  ", line_wrapping=True, on_change=self._changed
        ).classes("editor")
        event = f"theme-{self._editor.id}"
        ui.on(event, self._settle)
        script = _FOLLOW.format(id=self._editor.id, label=json.dumps(label), event=event)
        ui.context.client.on_connect(lambda: self._editor.client.run_javascript(script))

    @property
    def value(self) -> str:
        """What stands in it."""
        return str(self._editor.value or "")

    def show(self, text: str) -> None:
        """Have this stand in it."""
        self._editor.set_value(text)

    def is_current(self, text: str) -> bool:
        """Whether that is what stands in it still."""
        return text == self.value and not self._editor.is_deleted

    async def _changed(self, _: ValueChangeEventArguments[str]) -> None:
        self._turn += 1
        turn = self._turn
        if self._on_change is None:
            return
        await asyncio.sleep(_REST_SECONDS)
        if turn == self._turn and not self._editor.is_deleted:
            await self._on_change(self.value)

    def _settle(self, event: GenericEventArguments) -> None:
        theme = _THEMES.get(str(event.args), "basicLight")
        if self._editor.theme != theme:
            self._editor.set_theme(theme)  # type: ignore[arg-type]
