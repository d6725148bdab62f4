"""`tidemill dbt`: dbt projects, whose models can be source models, and the check of a change of one."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import asking, files, output, session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill.dbt.service import Change, CloudRun, Model, ProjectView, Report

app = typer.Typer(
    no_args_is_help=True, help="dbt projects: their models as sources of syncs, and what a change of them would break."
)
#: The change would break a sync.
BREAKS = 1
_PARSE = "dbt parse writes a manifest, dbt docs generate a catalog: --manifest, --catalog."
#: Characters of a description in a table.
_MOST_SHOWN = 60
#: Options that are taken as they are given, and those that may be paths.
_PLAIN = ("git", "branch", "subfolder", "host_key", "cloud_host", "connection", "dataset")
_PATHS = ("folder", "manifest", "catalog")
_SECRETS = ("token", "ssh_key", "webhook_secret", "cloud_token")
_OF_CLOUD = ("webhook_secret", "cloud_host", "cloud_token")
_NAME = typer.Argument(help="Name of the project.")
_FOLDER = typer.Option(None, help="Folder on this machine, with target/manifest.json, or which dbt can parse.")
_GIT = typer.Option(None, help="Git repository: https://…, ssh://… or git@host:path.")
_MANIFEST = typer.Option(None, help="A manifest.json: a path, https://… or gs://bucket/path.")
_CATALOG = typer.Option(None, help="A catalog.json, which knows columns and types: likewise.")
_BRANCH = typer.Option(None, help="Branch or tag, if not the repository's own.")
_SUBFOLDER = typer.Option(None, help="Where in the repository the project is.")
_TOKEN = typer.Option(None, help="File with a token for an https:// repository or manifest, or - for standard input.")
_SSH_KEY = typer.Option(None, help="File with a private key for an ssh:// repository.")
_HOST_KEY = typer.Option(None, help="Public key of the SSH server, as a line of known_hosts.")
_WEBHOOK = typer.Option(None, help="File with the secret of a webhook of dbt Cloud, or - for standard input.")
_CLOUD_HOST = typer.Option(None, help="Host of dbt Cloud that is asked what a run has built: ab123.us1.dbt.com.")
_CLOUD_TOKEN = typer.Option(None, help="File with a token of dbt Cloud that may read runs.")
_CONNECTION = typer.Option(None, help="Connection that reads gs://; where dbt parse believes models are built.")
_DATASET = typer.Option(None, help="Dataset of dbt's target, if dbt parse must run and it is not the connection's.")
_VARIABLES = typer.Option(None, help="Variables for dbt parse, as a JSON object.")
_REFRESH = typer.Option(None, help="Read it anew so often, while tidemill serve runs: 15m, 1h, 1d.")


class Format(enum.StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    MARKDOWN = "markdown"


@app.command(epilog="Example: tidemill dbt add shop --git https://github.com/people/shop.git --token-file token")
def add(
    name: str = typer.Argument(help="A unique name for the project."),
    folder: str = _FOLDER,
    git: str = _GIT,
    manifest: str = _MANIFEST,
    catalog: str = _CATALOG,
    branch: str = _BRANCH,
    subfolder: str = _SUBFOLDER,
    token_file: str = _TOKEN,
    ssh_key_file: str = _SSH_KEY,
    host_key: str = _HOST_KEY,
    webhook_secret_file: str = _WEBHOOK,
    cloud_host: str = _CLOUD_HOST,
    cloud_token_file: str = _CLOUD_TOKEN,
    connection: str = _CONNECTION,
    dataset: str = _DATASET,
    variables: str = _VARIABLES,
    refresh: str = _REFRESH,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Save a dbt project: a folder, a Git repository, or a manifest.json. It is read first."""
    fields = _fields(locals())
    with session.app() as opened:
        made = opened.dbt.add({**fields, "name": name}, by=session.user())
    _saved(made, as_json, "saved")


@app.command(epilog="Example: tidemill dbt edit shop --branch main --refresh 1h")
def edit(
    name: str = _NAME,
    rename: str = typer.Option(None, help="A new name."),
    folder: str = _FOLDER,
    git: str = _GIT,
    manifest: str = _MANIFEST,
    catalog: str = _CATALOG,
    branch: str = _BRANCH,
    subfolder: str = _SUBFOLDER,
    token_file: str = _TOKEN,
    ssh_key_file: str = _SSH_KEY,
    host_key: str = _HOST_KEY,
    webhook_secret_file: str = _WEBHOOK,
    cloud_host: str = _CLOUD_HOST,
    cloud_token_file: str = _CLOUD_TOKEN,
    connection: str = _CONNECTION,
    dataset: str = _DATASET,
    variables: str = _VARIABLES,
    refresh: str = typer.Option(None, help="Read it anew so often: 15m, 1h, 1d; or never."),
    no_cloud: bool = typer.Option(False, "--no-cloud", help="Listen to dbt Cloud no more, and forget its secrets."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change a dbt project. What is not named stays as it is; it is read anew if it is elsewhere now."""
    never = refresh == "never"
    fields = _fields({**locals(), "refresh": None if never else refresh})
    fields |= dict.fromkeys(_OF_CLOUD) if no_cloud else {}
    fields |= ({"name": rename} if rename is not None else {}) | ({"refresh": None} if never else {})
    with session.app() as opened:
        changed = opened.dbt.edit(name, fields)
    _saved(changed, as_json, "changed")


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a project, by the options of that name; nothing of what is not."""
    from tidemill.cli import secret
    from tidemill.errors import ConfigError
    from tidemill.schedules import calendar

    found = {name: given[name] for name in _PLAIN} | {name: _absolute(given[name]) for name in _PATHS}
    for field in _SECRETS:
        if file := given[f"{field}_file"]:
            found[field] = secret.named(file, option=f"--{field.replace('_', '-')}-file")
    if given["refresh"]:
        found["refresh"] = calendar.parse_seconds(given["refresh"]) // 60
    if given["variables"] is not None:
        try:
            found["variables"] = json.loads(given["variables"])
        except (ValueError, RecursionError) as error:
            raise ConfigError("dbt_variables", f"--variables is no JSON: {error}.", hint="Give an object.") from None
    return {name: value for name, value in found.items() if value is not None}


def _absolute(place: str | None) -> str | None:
    """A path as it is from anywhere: a server reads it, too."""
    return str(Path(place).expanduser().absolute()) if place and "://" not in place else place


def _saved(view: ProjectView, as_json: bool, what: str) -> None:
    if as_json:
        output.print_json(view)
        return
    output.done(f"The dbt project {view.name} is {what}: {output.number(view.models, 'model')} of {view.project}.")
    output.say(f"Its models: tidemill dbt models {view.name}")


@app.command("list", epilog="Example: tidemill dbt list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List dbt projects."""
    with session.app() as opened:
        found = opened.dbt.find()
    if as_json:
        output.print_json(found)
        return
    rows = [(p.name, _place(p), p.models, p.used_by, p.read_at, p.error["message"] if p.error else "") for p in found]
    columns = ("NAME", "PLACE", "MODELS", "USED BY", "READ", "ERROR")
    output.print_table(columns, rows, empty="No dbt projects. Add one: tidemill dbt add --help")


def _place(view: ProjectView) -> str:
    return str(view.spec.get("folder") or view.spec.get("git") or view.spec.get("manifest"))


@app.command(epilog="Example: tidemill dbt show shop")
def show(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show one dbt project. Its secrets are never shown."""
    with session.app() as opened:
        found = opened.dbt.get(name)
    if as_json:
        output.print_json(found)
        return
    fields: dict[str, Any] = {"name": found.name, "connection": found.connection, **found.spec, "secret": found.secrets}
    fields |= {"dbt project": found.project, "written by": f"dbt {found.dbt_version}", "models": found.models}
    fields |= {"commit": found.revision or None, "read": found.read_at, "read anew": found.next_at}
    fields |= {"used by": found.used_by, "made": f"{output.text(found.made_at)} by {found.made_by}"}
    output.print_fields({label: value for label, value in fields.items() if value is not None})
    if found.error:
        output.note(f"It could not be read the last time: {found.error['message']} {found.error['hint']}")


@app.command(epilog="Example: tidemill dbt models shop")
def models(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """List the models of a dbt project that can be source models, with what it says of their keys."""
    with session.app() as opened:
        found = opened.dbt.models(name)
    if as_json:
        output.print_json([_listed(model) for model in found])
        return
    rows = [
        (m.name, m.materialized, ", ".join(m.keys[0]) if m.keys else "", str(m.relation), _short(m.description))
        for m in found
    ]
    output.print_table(("MODEL", "BUILT AS", "KEY", "TABLE", "DESCRIPTION"), rows, empty="It has no models.")
    output.say(f"Make one a source model: tidemill model add NAME --connection NAME --dbt {name}/MODEL")


def _short(text: str) -> str:
    """The beginning of its first line."""
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"


def _listed(model: Model) -> dict[str, Any]:
    columns = [vars(column) for column in model.columns.values()]
    about = {"name": model.name, "unique_id": model.unique_id, "materialized": model.materialized}
    return {
        **about,
        "table": str(model.relation),
        "keys": model.keys,
        "description": model.description,
        "columns": columns,
    }


@app.command(epilog="Example: tidemill dbt refresh shop")
def refresh(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Read a dbt project anew. Syncs whose model has changed so that they would break are paused, with the reason."""
    with session.app() as opened:
        found = opened.dbt.refresh(name)
    if as_json:
        output.print_json(found)
        return
    _changes(found.changes)
    output.done(f"{found.project.name} is read anew: {output.number(found.project.models, 'model')}.")
    if found.paused:
        output.note(f"Paused: {', '.join(found.paused)}. See tidemill sync show {found.paused[0]}")


def _changes(found: Sequence[Change]) -> None:
    rows = [(c.weight.value, " ".join((c.message, c.hint)).strip(), ", ".join(c.syncs)) for c in found]
    if rows:
        output.print_table(("", "CHANGE", "SYNCS"), rows, empty="")


@app.command(epilog="Example: tidemill dbt check shop --manifest target/manifest.json --format github")
def check(
    name: str = _NAME,
    manifest: str = typer.Option("target/manifest.json", help="Manifest of the changed project."),
    catalog: str = typer.Option(
        None, help="Its catalog, if there is one: what columns there are, whoever describes them."
    ),
    format_: Format = typer.Option(
        Format.TEXT, "--format", help="For people, programs, GitHub's annotations, comments."
    ),
    subfolder: str = typer.Option("", help="Where in the repository the project is, for annotations."),
    server: str = typer.Option(
        None, help="A server of Tidemill to ask what is in use, if it is not this installation."
    ),
    token_file: str = typer.Option(
        None, help="With --server: a file with a token that may dbt:check. Default: $TIDEMILL_TOKEN."
    ),
    in_use: str = typer.Option(None, help="A file that tidemill dbt in-use wrote, instead of asking anybody."),
) -> None:
    """Say what would become of syncs if the project changed into that manifest. Nothing is changed.

    Ends with code 1 if a sync would break: a model in use is removed, renamed or disabled, a column that is delivered
    is gone or of another type, the key is not unique any more, the table is where the connection may not read.
    """
    text, beside = files.read(manifest, _PARSE), files.read(catalog, _PARSE) if catalog else None
    if server is not None or in_use is not None:
        found = _checked_elsewhere(name, text, beside, manifest, server, token_file, in_use)
    else:
        with session.app() as opened:
            found = opened.dbt.check(name, text, beside, what=manifest)
    _report(found, format_, subfolder)
    if found.breaking:
        raise typer.Exit(BREAKS)


def _checked_elsewhere(
    name: str,
    text: bytes,
    catalog: bytes | None,
    what: str,
    server: str | None,
    token_file: str | None,
    file: str | None,
) -> Report:
    """Without an installation here."""
    from tidemill.cli import secret
    from tidemill.dbt.service import Server, read_in_use

    if file is not None:
        return read_in_use(files.read(file), what=file).check(text, catalog, what=what)
    token = secret.secret(token_file, "Token of the API", "TIDEMILL_TOKEN", option="--token-file")
    asked = Server(server or "", token.get_secret_value() if token else "", name)
    return asked.in_use().check(text, catalog, what=what, readable=asked.readable)


@app.command("in-use", epilog="Example: tidemill dbt in-use shop > in-use.json")
def in_use_(name: str = _NAME) -> None:
    """Write what of a dbt project is in use: tidemill dbt check --in-use FILE compares with it, where no server is."""
    with session.app() as opened:
        found = opened.dbt.in_use(name)
    typer.echo(found.text().decode())


def _report(found: Report, format_: Format, subfolder: str) -> None:
    if format_ is Format.TEXT:
        _changes(found.changes)
        (output.note if found.breaking else output.done)(found.verdict)
        return
    written = {
        Format.JSON: found.as_json,
        Format.GITHUB: lambda: found.as_github(subfolder),
        Format.MARKDOWN: found.as_markdown,
    }[format_]()
    typer.echo(written)


@app.command(epilog="Example: tidemill dbt runs shop")
def runs(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """List the last runs of dbt Cloud that a webhook told of, with the syncs that they triggered."""
    with session.app() as opened:
        found = opened.dbt_models.cloud_runs(name, 100)
    if as_json:
        output.print_json([_told(run) for run in found])
        return
    rows = [(run.told_at, run.run, run.job, run.status, _triggered(run), _noted(run)) for run in found]
    empty = f"No webhook has told of a run yet. Give its secret: tidemill dbt edit {name} --webhook-secret-file FILE"
    output.print_table(("TOLD", "RUN", "JOB", "STATUS", "SYNCS", "NOTE"), rows, empty=empty)


def _told(run: CloudRun) -> dict[str, Any]:
    about = {name: getattr(run, name) for name in ("told_at", "account", "run", "job", "status", "syncs", "note")}
    return {**about, "is_done": run.next_at is None}


def _triggered(run: CloudRun) -> str:
    return ", ".join(f"{one['sync']} (run {one['number']})" for one in run.syncs if one["number"])


def _noted(run: CloudRun) -> str:
    """Why something was not done."""
    kept = [f"{one['sync']}: {one['reason']}" for one in run.syncs if not one["number"]]
    waits = ["It is seen to within a minute."] if run.next_at is not None and not run.note else []
    return " ".join([*([run.note] if run.note else []), *waits, *kept])


@app.command(epilog="Example: tidemill dbt delete shop --yes")
def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Delete a dbt project. Refused while source models are made of it."""
    with session.app() as opened:
        found = opened.dbt.get(name)
        if not yes and not found.used_by:
            asking.confirm(f"Delete the dbt project {found.name}?")
        opened.dbt.delete(name)
    output.done(f"The dbt project {found.name} is deleted.")
