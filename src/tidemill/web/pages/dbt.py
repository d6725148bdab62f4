"""dbt projects: all of them, and adding one. Their secrets are written, and never read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.errors import ConfigError
from tidemill.web import frame, marks, visit
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.dbt.service import ProjectView

_PLACES = (
    Option("git", "A Git repository", "https://… or ssh://…; read anew as often as you say"),
    Option("manifest", "A manifest.json", "that something else writes: https://… or gs://…"),
)
_OF_OTHERS = "Administrators say which Git repository a project is in: dbt runs it on the server."
#: What says which files of which repository dbt runs: see access/rules.py.
OF_REPOSITORY = ("git", "branch", "subfolder", "host_key")
SECRETS = ("token", "ssh_key", "webhook_secret", "cloud_token")


@page("dbt projects", Permission.DBT_READ, "/dbt")
async def projects() -> None:
    """All of them."""
    if may := visit.current().may(Permission.DBT_WRITE):
        with frame.actions():
            show(marks.goto("Add a project", "/dbt-new", sign="plus"))
    show(Markup('<p class="lead">Models of dbt can be source models: their keys, columns and tables are known.</p>'))
    columns: list[Column[ProjectView]] = [
        Column("name", "Name", lambda one: marks.thing("/dbt", one.name), sort=True),
        Column("place", "Where", lambda one: Markup("<code>{}</code>").format(place_of(one)), wide=True),
        Column("models", "Models", lambda one: marks.number(one.models), sort=True, end=True),
        Column("used_by", "Used by", lambda one: marks.number(len(one.used_by)), end=True),
        Column("read_at", "Read", lambda one: marks.when(one.read_at), sort=True),
        Column("state", "State", _state),
    ]
    add = marks.goto("Add a project", "/dbt-new") if may else Markup()
    empty = marks.empty("No dbt project yet", "Add a repository or a manifest.json.", add, "branch")
    filters = (Filter("search", "Search names"), Filter("state", "State", (("ok", "OK"), ("error", "Not readable"))))
    await table(columns, _fetch, caption="dbt projects", filters=filters, empty=empty, sort="name", every=5.0)


def _fetch(app: App, asked: Asked) -> Page[ProjectView]:
    failing = asked["state"] == "error" if asked["state"] else None
    return Page.of(app.dbt.page(search=asked["search"] or None, failing=failing, wanted=asked.wanted))


def _state(one: ProjectView) -> Markup:
    if one.error:
        return Markup("{} {}").format(marks.badge("error"), one.error["message"])
    return marks.badge("ok")


def place_of(one: ProjectView) -> str:
    """Where it is."""
    return str(one.spec.get("git") or one.spec.get("manifest") or one.spec.get("folder"))


@page("Add a dbt project", Permission.DBT_WRITE, "/dbt-new", parents=(("dbt projects", "/dbt"),))
async def add() -> None:
    """Say where one is; it is read before it is saved."""
    connections = await visit.call(lambda app: [one.name for one in app.connections.find()])

    async def sent(given: dict[str, Any], _act: str) -> None:
        by, said = visit.current().actor.by, fields_of(given)
        made = await visit.slowly(lambda app: app.dbt.add(said, by=by))
        frame.go(marks.path("/dbt", made.name))

    Form(fields(connections, may_run=visit.current().may(Permission.DBT_RUN)), "Read it and save", sent)


def fields(connections: list[str], view: ProjectView | None = None, *, may_run: bool) -> list[Field]:
    """The fields of a project, as it is. `may_run`: who looks may say which repository dbt runs; others see no such
    choice, but that a project is in one."""
    now: Mapping[str, Any] = {} if view is None else view.spec
    places = _PLACES if may_run or now.get("git") else _PLACES[1:]
    place = next((one for one in ("git", "manifest", "folder") if now.get(one)), places[0].value)
    kept = set(view.secrets) if view else set()
    git, manifest = ("place", ("git",)), ("place", ("manifest",))

    def of(name: str, label: str, kind: Any = "line", **more: Any) -> Field:
        value = name in kept if name in SECRETS else now.get(name)
        return Field(name, label, kind, value=value, required=False, **more)

    variables = json.dumps(now["variables"], indent=2) if now.get("variables") else None
    made = [
        Field("name", "Name", value=view.name if view else None, help="It is in the address of its webhook."),
        Field("place", "Where it is", "radio", options=places, value=place, help="" if may_run else _OF_OTHERS),
        of("git", "Repository", when=git, placeholder="https://github.com/people/shop.git", mono=True),
        of("branch", "Branch or tag", when=git, help="Empty: the repository's own."),
        of("subfolder", "Folder in the repository", when=git),
        of("token", "Token", "secret", when=("place", ("git", "manifest")), help="For https://, if it is private."),
        of("ssh_key", "Private key", "secret", when=git, help="For ssh://."),
        of("host_key", "Public key of the SSH server", when=git, help="A line of known_hosts.", mono=True),
        of("manifest", "manifest.json", when=manifest, mono=True),
        of("catalog", "catalog.json", when=manifest, help="It knows the columns and their types.", mono=True),
        Field(
            "connection", "Connection", "select", value=view.connection if view else None, required=False,
            options=tuple(Option(one, one) for one in connections), help="Whose models they are; it reads gs://, too.",
        ),
        of("dataset", "Dataset of dbt's target", help="If dbt parse must run, and it is not the connection's."),
        Field("variables", "Variables for dbt parse", "text", value=variables, required=False, rows=3, mono=True,
              help="A JSON object."),
        of("refresh", "Read it anew after minutes", "number", least=5, greatest=10_080, help="Empty: by hand alone."),
        of("webhook_secret", "Secret of dbt Cloud's webhook", "secret", help="Its runs trigger syncs then."),
        of("cloud_host", "Host of dbt Cloud", placeholder="ab123.us1.dbt.com"),
        of("cloud_token", "Token of dbt Cloud", "secret", help="It may read runs."),
    ]  # fmt: skip
    return made if may_run else [one for one in made if one.name not in OF_REPOSITORY]


def fields_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, as the service has it: fields of other places are none, and secrets that are empty stay.

    Raises
    ------
    ConfigError
        The variables are no JSON object.
    """
    found = dict(given)
    place = found.pop("place")
    for other in {"git", "manifest", "folder"} - {place}:
        found[other] = None
    if place != "git":
        found |= dict.fromkeys(OF_REPOSITORY) | {"subfolder": ""}
    if place != "manifest":
        found["catalog"] = None
    if "subfolder" in found:
        found["subfolder"] = found["subfolder"] or ""
    for name in SECRETS:
        if secret := found.pop(name, None):
            found[name] = SecretStr(secret)
    if text := found.get("variables"):
        try:
            found["variables"] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("dbt_variables", f"The variables are no JSON: {error}.", hint="Give an object.") from None
    return found
