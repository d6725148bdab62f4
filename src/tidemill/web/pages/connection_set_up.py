"""What is to be set up on Google's side, for the names that were entered: gcloud, the console, or Terraform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.errors import ConfigError
from tidemill.web import marks, notices, visit
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.connections.service import Egress
    from tidemill.connections.set_up import Part, SetUp

WAYS = (("commands", "gcloud and SQL"), ("console", "Google Cloud console"), ("terraform", "Terraform"))
PURPOSES = (
    ("batch", "Exports by runs"),
    ("streaming", "Streaming exports"),
    ("read-only", "Reverse ETL and imports, read-only"),
    ("limited", "Reverse ETL and imports, with state in the warehouse"),
    ("full", "The same, and Tidemill makes the dataset for it"),
)


class SetUpText:
    """The texts, on a page: with the choice of the way, and of what it is for."""

    def __init__(self, *, chooses: bool) -> None:
        """`chooses`: what it is for is chosen here, too."""
        self._names: dict[str, str | None] = {}
        self._way, self._purpose, self._chooses = WAYS[0][0], PURPOSES[0][0], chooses
        self._made: SetUp | None = None
        self._problem = Markup()
        self._region = Region(on_act=self._acted).classes("parts")

    async def of(self, *, purpose: str | None = None, **names: str | None) -> None:
        """Show it for these names: project, dataset, account, location, state_dataset."""
        self._names, self._purpose = names, purpose or self._purpose
        await self._make()

    async def _acted(self, act: str, value: str) -> None:
        if act == "way" and value in dict(WAYS):
            self._way = value
            self._render()
        elif act == "field:purpose" and value in dict(PURPOSES):
            self._purpose = value
            await self._make()

    async def _make(self) -> None:
        project, dataset, purpose = self._names.get("project"), self._names.get("dataset"), self._purpose
        account, location = self._names.get("account"), self._names.get("location")
        self._made, self._problem = None, Markup()
        if project and dataset:
            try:
                self._made = await visit.call(
                    lambda app: app.connections.set_up(project, dataset, account, purpose, location=location)
                )
            except ConfigError as error:
                self._problem = notices.mark(error, "warning")
        self._render()

    def _render(self) -> None:
        if self._made is None:
            said = Markup('<p class="muted">Enter a project and a dataset: then it stands here, to copy.</p>')
            self._region.show(self._problem or said)
            return
        self._region.show(marks.join([self._bar(), _shown(self._made, self._way)]))

    def _bar(self) -> Markup:
        buttons = marks.join(
            Markup(
                '<button type="button" class="button button-plain small" data-act="way" data-value="{}" '
                'aria-pressed="{}">{}</button>'
            ).format(key, "true" if key == self._way else "false", title)
            for key, title in WAYS
        )
        ways = Markup('<div class="choices-row" role="group" aria-label="How it is set up">{}</div>').format(buttons)
        if not self._chooses:
            return ways
        options = marks.join(
            Markup('<option value="{}"{}>{}</option>').format(
                key, Markup(" selected") if key == self._purpose else Markup(), title
            )
            for key, title in PURPOSES
        )
        chosen = Markup(
            '<div class="field"><label for="set-up-purpose">What it is for</label>'
            '<select id="set-up-purpose" data-field="purpose">{}</select></div>'
        ).format(options)
        return chosen + ways


def _shown(made: SetUp, way: str) -> Markup:
    if way == "terraform":
        return marks.command(made.terraform)
    if way == "console":
        items = marks.join(Markup("<li>{}</li>").format(step) for step in made.console)
        return Markup('<ol class="numbered">{}</ol>').format(items)
    return parts(made.commands)


def parts(found: tuple[Part, ...]) -> Markup:
    """Commands to copy, each with its title."""
    return marks.join(Markup("<div><h3>{}</h3>{}</div>").format(part.title, marks.command(part.text)) for part in found)


async def egress() -> None:
    """From which addresses this installation reaches Google."""
    found: Egress = await visit.call(lambda app: app.connections.egress())
    if found.networks:
        listed = marks.join(Markup("<li>{}</li>").format(marks.copy(one)) for one in found.networks)
        said = Markup("<p>Requests come from these addresses:</p><ul>{}</ul>").format(listed)
        inner = said + parts(found.allowing)
    else:
        inner = Markup(
            "<p>It is not said from which addresses this installation reaches others. If Google, or a firewall, is to "
            "let them through: find them out, and set them for all processes.</p>{}"
        ).format(marks.command("export TIDEMILL_EGRESS_IPS=203.0.113.5,203.0.113.16/28"))
    show(marks.panel("Addresses that requests come from", Markup('<div class="parts">{}</div>').format(inner)))


def panel(title: str, lead: str = "") -> ui.element:
    """A part of a page with a heading, into which elements go."""
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>{}</h2></div>').format(title))
        body = ui.element("div").classes("panel-body stack")
        if lead:
            with body:
                show(Markup('<p class="muted">{}</p>').format(lead))
    return body
