"""The form of a connection: what is asked, and what is offered when a key is there. A key goes in, and never out."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.errors import ConfigError, TidemillError
from tidemill.web import marks, notices, visit
from tidemill.web.form import Field, Form, Option
from tidemill.web.pages.connection_set_up import SetUpText, panel
from tidemill.web.region import Region
from tidemill.web.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill.app import App
    from tidemill.connections.service import Connection, Draft, Seen

USES = (
    Option("batch", "Exports by runs, reverse ETL and imports"),
    Option("streaming", "Streaming exports"),
)
_KEY, _ADC = "key", "adc"
_SIGN_IN = (
    Option(_KEY, "Service account key", "the JSON file that Google made"),
    Option(_ADC, "This server's own credentials", "Application Default Credentials"),
)
#: Which field is wrong, by the code of the error.
_FIELD_OF = {
    "connection_exists": "name",
    "key_empty": "key",
    "key_not_json": "key",
    "key_kind": "key",
    "key_incomplete": "key",
    "key_damaged": "key",
    "key_universe": "key",
    "key_token_uri": "key",
    "key_too_large": "key",
    "project_missing": "project",
    "project_name": "project",
    "two_projects": "project",
    "dataset_name": "dataset",
    "location_missing": "location",
}
#: What is said where the service's hint is for the command line.
_SAID = {
    "project_missing": "Which project is it in?",
    "location_missing": "A new dataset needs a location, such as EU: it cannot be changed later.",
    "key_empty": "The key is needed for that: choose its file, or paste its content.",
}
_NAME_RULE = "Letters, digits, spaces and . _ - with a letter or a digit first; 100 at most."
#: What of the form stays in the page's URL, for a reload: nothing of the credential.
_KEPT = ("name", "project", "dataset", "location", "use", "sign_in", "impersonate")


@dataclasses.dataclass(frozen=True)
class Given:
    """What was typed. `changes`: of what there is, what it is to be."""

    name: str
    fields: dict[str, Any]
    use: str
    location: str | None
    creates: bool


class ConnectionForm:
    """The form on a page, the steps of its test, and what is to be set up for the names that are in it.

    `draft` checks what was typed, without saving it; `save` saves that, and gives where to go then.
    """

    def __init__(
        self,
        draft: Callable[[App, Given], Draft],
        save: Callable[[App, Draft], Connection],
        *,
        before: Connection | None = None,
    ) -> None:
        self._draft, self._save, self._before = draft, save, before
        self._seen: Seen | None = None
        kept = dict(ui.context.client.request.query_params)
        self._typed: dict[str, Any] = {key: kept[key][:1_100] for key in _KEPT if kept.get(key)}
        if before:
            saved = {"name": before.name, "project": before.project, "dataset": before.dataset}
            own, acts_as = signs_in(before)
            self._typed = {**saved, "use": "batch", "sign_in": own, "impersonate": acts_as, **self._typed}

    async def build(self) -> None:
        """Show it here."""
        with ui.element("div").classes("grid-2"):
            with panel("BigQuery"):
                self._known = Region().props('role="status" aria-live="polite"')
                acts = [("test", "Test only"), ("untested", "Save without a test")]
                self._form = Form(self._fields(), "Test and save", self._sent, others=acts, on_change=self._changed)
            with ui.element("div").classes("stack"):
                with panel("Test").props('id="connection-test"'):
                    self._before_test = Region(
                        Markup(
                            '<p class="muted">Each step is shown by doing it: sign-in, project, dataset, a table that '
                            "is made, filled and dropped. Nothing is left behind.</p>"
                        )
                    )
                    self._steps = Steps()
                    self._outcome = Region()
                with panel("Set-up on Google's side", "With exactly the permissions that are needed."):
                    self._set_up = SetUpText(chooses=True)
        await self._show_set_up()

    def _fields(self) -> list[Field]:
        typed, seen, is_edit = self._typed, self._seen, self._before is not None
        projects = tuple(Option(one, one) for one in seen.projects) if seen else ()
        datasets = tuple(Option(name, f"{name} ({place})") for name, place in seen.datasets) if seen else ()
        key_help = "It is kept encrypted, and never shown again."
        if is_edit:
            key_help = "Empty: the credential stays as it is. A new key is kept encrypted, and never shown."
        return [
            Field("name", "Name", value=typed.get("name"), placeholder="warehouse", told=True),
            Field("sign_in", "Signs in with", "radio", options=_SIGN_IN, value=typed.get("sign_in", _KEY), told=True),
            Field(
                "key", "Service account key", "file", key_help, required=not is_edit, rows=4, most=50_000,
                accept=".json,application/json", told=True, mono=True, when=("sign_in", (_KEY,)),
                placeholder='{"type": "service_account", …}',
            ),
            Field(
                "project", "Project", value=typed.get("project"), options=projects, told=True, required=False,
                help="Empty: the key's. Choose one that the key can see, or type it.", placeholder="my-project",
            ),
            Field(
                "dataset", "Dataset", value=typed.get("dataset"), options=datasets, told=True, placeholder="analytics",
                help="Choose one that the key can see, or type it.",
            ),
            Field("create", "Create the dataset if it is not there", "switch", value=False),
            Field(
                "location", "Location", value=typed.get("location"), required=False, told=True, placeholder="EU",
                help="Of a new dataset. That of one that is there is read from it.",
            ),
            Field(
                "impersonate", "Act as another service account", "mail", required=False, told=True,
                value=typed.get("impersonate"), help="Its e-mail address, if the key is only used to act as it.",
            ),
            Field("use", "Test for", "select", options=USES, value=typed.get("use", "batch"), told=True),
        ]  # fmt: skip

    async def _changed(self, name: str, value: Any) -> None:
        if name == "key":
            await self._look(str(value or ""))
            return
        self._typed[name] = str(value or "").strip()
        self._keep()
        if name != "name":
            await self._show_set_up()

    async def _look(self, key: str) -> None:
        """What a key that was given can see is offered to choose from. It is not kept here."""
        if not key.strip():
            return
        project = self._typed.get("project") or None
        self._known.show(Markup('<p class="muted">Looking at what the key can see …</p>'))
        try:
            seen = await visit.slowly(lambda app: app.connections.seen(key=key, project=project))
        except ConfigError as error:
            self._known.show("")
            self._say(error)
            return
        self._seen = seen
        self._form.errors({})
        values = []
        if not project and seen.project:
            self._typed["project"], values = seen.project, ["project"]
        self._form.set(self._fields(), values=values)
        self._known.show(_told(seen))
        await self._show_set_up()

    async def _show_set_up(self) -> None:
        typed, seen, before = self._typed, self._seen, self._before
        account = typed.get("impersonate") or (seen.account if seen else before.account if before else None)
        purpose = typed.get("use") if typed.get("use") in {option.value for option in USES} else None
        project = typed.get("project") or (seen.project if seen else None)
        places = dict(seen.datasets) if seen else {}
        await self._set_up.of(
            purpose=purpose, project=project, dataset=typed.get("dataset"), account=account,
            location=typed.get("location") or places.get(typed.get("dataset", "")),
        )  # fmt: skip

    def _say(self, error: TidemillError) -> None:
        """Say it beside the field that is wrong; else it is raised, and the form says it."""
        if (field := _FIELD_OF.get(error.code)) is None:
            if error.code == "connection_invalid" and " name:" in error.message:
                self._form.errors({"name": _NAME_RULE})
                return
            raise error
        self._form.errors({field: _SAID.get(error.code, f"{error.message} {error.hint}".strip())})

    async def _sent(self, typed: dict[str, Any], act: str) -> None:
        self._remember(typed)
        self._outcome.show("")
        try:
            given = self._given(typed)
            draft = await visit.call(lambda app: self._checked(app, given))
            if given.creates:
                done = await visit.slowly(lambda app: app.connections.create_dataset(draft, given.location))
                notices.notice(done)
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            self._say(error)
            return
        if act != "untested":
            self._before_test.show("")
            ui.run_javascript("document.getElementById('connection-test')?.scrollIntoView({block: 'nearest'})")
            good = await self._steps.run(lambda app: app.connections.test_draft(draft, given.use))
            if not good or act == "test":
                self._outcome.show(_outcome(good=good, is_edit=self._before is not None))
                return
        try:
            saved = await visit.call(lambda app: self._save(app, draft))
        except TidemillError as error:
            self._say(error)
            return
        ui.navigate.to(page_of(saved.name) + "?done=saved")

    def _checked(self, app: App, given: Given) -> Draft:
        if self._before is None or given.name.casefold() != self._before.name.casefold():
            app.connections.assert_free(given.name)
        return self._draft(app, given)

    def _given(self, typed: dict[str, Any]) -> Given:
        signing: dict[str, Any] = {
            "key": typed.get("key") if typed.get("sign_in") == _KEY else None,
            "adc": typed.get("sign_in") == _ADC,
            "impersonate": typed.get("impersonate"),
        }
        if self._before:
            signing = signing_changes(self._before, **signing)
        fields = {"project": typed.get("project"), "dataset": typed["dataset"], **signing}
        location = typed.get("location")
        return Given(typed["name"], fields, typed.get("use") or "batch", location, bool(typed.get("create")))

    def _remember(self, typed: dict[str, Any]) -> None:
        """In the page's URL, so that a reload has it."""
        self._typed.update({key: typed.get(key) or "" for key in _KEPT})
        self._keep()

    def _keep(self) -> None:
        kept = {key: self._typed[key] for key in _KEPT if self._typed.get(key)}
        script = f"history.replaceState(history.state, '', '?' + new URLSearchParams({json.dumps(kept)}))"
        ui.run_javascript(script)


def signs_in(before: Connection) -> tuple[str, str]:
    """How a saved connection signs in, and as whom it acts then, if as another."""
    own = _ADC if "application default" in before.credential else _KEY
    return own, (before.account or "") if "impersonation" in before.credential else ""


def signing_changes(before: Connection, key: str | None, *, adc: bool, impersonate: str | None) -> dict[str, Any]:
    """What of a credential is another one than before; nothing, if it is to stay.

    Raises
    ------
    ConfigError
        For that, the key is to be given again: it is not shown to anybody.
    """
    own, acts_as = signs_in(before)
    if key:
        return {"key": key, "impersonate": impersonate}
    if adc and own != _ADC:
        return {"adc": True, "impersonate": impersonate}
    stays = adc == (own == _ADC)
    if stays and (impersonate or "") == acts_as:
        return {}
    if stays and (impersonate or adc):
        return {"adc": True, "impersonate": impersonate}
    raise ConfigError("key_empty", "There is no key.")


def page_of(name: str) -> str:
    """The path of a connection's page."""
    return marks.path("/connections", name)


def _told(seen: Seen) -> Markup:
    said = Markup("<p>The key is of {}</p>").format(marks.copy(seen.account or ""))
    if seen.trouble:
        text = Markup('<p class="muted">What it can see could not be asked: {} You can type it.</p>')
        return said + text.format(seen.trouble.message)
    if not seen.datasets:
        return said + Markup('<p class="muted">It sees no dataset there yet. You can type one, or have it created.</p>')
    return said


def _outcome(*, good: bool, is_edit: bool) -> Markup:
    if good:
        return Markup('<p role="status">The test is passed. Nothing is saved yet: Test and save does that.</p>')
    state = "changed" if is_edit else "saved"
    return Markup(
        '<p role="alert"><strong>Not {}.</strong> Do what the failed step says, and test it again; or save it '
        "without a test.</p>"
    ).format(state)
