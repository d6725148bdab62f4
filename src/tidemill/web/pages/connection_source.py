"""Reverse ETL and imports from a connection: whether rows may be read from it, and where their state is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.pages.connection_set_up import SetUpText, panel
from tidemill.web.region import Region
from tidemill.web.steps import Steps

if TYPE_CHECKING:
    from tidemill.connections.service import Connection
    from tidemill.reverse_etl.service import SourceView

_STATE = "__tidemill_reverse_etl"
_WAYS = (
    Option("read-only", "Read-only", "what was delivered is remembered in this installation"),
    Option("limited", "State in the warehouse", "you make a dataset for it, and grant it"),
    Option("full", "State in the warehouse, made for you", "Tidemill makes that dataset"),
)
_LABELS = {option.value: option.label for option in _WAYS}


class _Source:
    """The tab, as long as it is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._may = visit.current().may(Permission.CONNECTIONS_WRITE)

    async def build(self) -> None:
        """Show it here."""
        found = await self._look()
        with ui.element("div").classes("grid-2"):
            with panel("Rows for other tools, and for events", "Syncs and imports read rows from a source."):
                self._state = Region(_state(found))
                if self._may:
                    self._form = Form(_fields(found), "Test and enable", self._sent, on_change=self._changed)
                with ui.element("div").classes("row-of"):
                    self._buttons()
                self._steps = Steps()
            with panel("Set-up on Google's side"):
                self._text = SetUpText(chooses=False)
        await self._set_up(found.access if found else _WAYS[0].value, found.state_dataset if found else None)
        self._show(found)

    def _buttons(self) -> None:
        self._test_button = button("Test it", self._test) if self._may else None
        self._off = button("Disable", self._disable, kind="danger") if self._may else None

    def _show(self, found: SourceView | None) -> None:
        self._state.show(_state(found))
        for one in (self._test_button, self._off):
            if one is not None:
                one.set_visibility(found is not None)

    async def _look(self) -> SourceView | None:
        return await visit.call(lambda app: app.reverse_etl.sources.of(self._connection.name))

    async def _set_up(self, access: str, state_dataset: str | None) -> None:
        one = self._connection
        await self._text.of(
            purpose=access, project=one.project, dataset=one.dataset, account=one.account, location=one.location,
            state_dataset=state_dataset,
        )  # fmt: skip

    async def _changed(self, name: str, value: Any) -> None:
        if name == "access" and str(value) in _LABELS:
            await self._set_up(str(value), None)

    async def _sent(self, given: dict[str, Any], _act: str) -> None:
        name, by = self._connection.name, visit.current().actor.by
        fields = {"access": given["access"], "state_dataset": given.get("state_dataset")}
        if await self._steps.run(lambda app: app.reverse_etl.sources.enable(name, fields, by=by)):
            notices.notice(f"{name} is a source: {_LABELS[given['access']]}.")
        else:
            notices.notice("It is no source with that. Do what the failed step says, and try again.", "bad")
        self._show(await self._look())

    async def _test(self) -> None:
        name = self._connection.name
        await self._steps.run(lambda app: app.reverse_etl.sources.test(name))

    async def _disable(self) -> None:
        name = self._connection.name
        does = ["No rows are read from it any more.", "Its dataset of state stays in BigQuery, if there is one."]
        if await dialogs.confirm(f"Have {name} be no source any more?", does, action="Disable"):
            await visit.call(lambda app: app.reverse_etl.sources.disable(name))
            notices.notice(f"{name} is no source any more. The connection stays.")
        self._show(await self._look())


async def source_tab(connection: Connection) -> None:
    """Show it here."""
    await _Source(connection).build()


def _fields(found: SourceView | None) -> list[Field]:
    return [
        Field(
            "access", "How it works", "radio", options=_WAYS, value=found.access if found else "read-only", told=True,
        ),
        Field(
            "state_dataset", "Dataset for the state", value=(found.state_dataset if found else None) or _STATE,
            when=("access", ("limited", "full")), mono=True, help="In the project of the data, and in its location.",
        ),
    ]  # fmt: skip


def _state(found: SourceView | None) -> Markup:
    if found is None:
        return marks.badge("disabled", marks.QUIET)
    models = Markup(", ").join(marks.thing("/models", name) for name in found.models)
    return marks.facts(
        [
            ("Status", marks.badge("enabled")),
            ("Way", _LABELS.get(found.access, found.access)),
            ("State", marks.copy(found.state_dataset) if found.state_dataset else "in this installation"),
            ("Location", found.location or "–"),
            ("Models", models or marks.muted("none yet")),
            ("Enabled on", marks.when(found.made_at, plain=True)),
            ("Enabled by", found.made_by),
        ]
    )
