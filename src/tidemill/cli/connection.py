"""`tidemill connection`: named BigQuery datasets and the credentials for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import typer

from tidemill.cli import connection_set_up, connection_use, egress, output, session, steps, texts

if TYPE_CHECKING:
    from tidemill.connections.service import Connection

app = typer.Typer(no_args_is_help=True, help="BigQuery projects and datasets, and the credentials for them.")

Use = Literal["batch", "streaming"]
_FOR = typer.Option("batch", "--for", help="What it must be good for. A streaming export needs five permissions.")


def _auth(key: str | None, adc: bool, impersonate: str | None) -> dict[str, Any] | None:
    """The credential as the user gave it; None if none was given."""
    from tidemill.errors import ConfigError

    if key is not None and adc:
        raise ConfigError("credential_twice", "Both --key and --adc are given.", hint="Choose one of them.")
    fields: dict[str, Any] = {}
    if key is not None:
        fields["key"] = _read_key(key)
    if adc:
        fields["adc"] = True
    if impersonate:
        fields["impersonate"] = impersonate
        fields["adc"] = key is None
    return fields or None


def _read_key(source: str) -> str:
    from tidemill.errors import ConfigError

    def refused(reason: str) -> ConfigError:
        return ConfigError(
            "key_file",
            f"The key file {source} cannot be read: {reason}.",
            hint="Give the path of the JSON key file, or -.",
        )

    if source.lstrip().startswith("{"):
        return source
    return texts.read(source, "Paste the service account key (JSON)", refused)


@app.command(
    epilog="Example: tidemill connection add warehouse --project my-project --dataset analytics --key key.json"
)
def add(
    name: str = typer.Argument(help="A unique name for the connection."),
    project: str = typer.Option(None, help="Google Cloud project id. Default: the key's project."),
    dataset: str = typer.Option(..., help="Dataset id; project:dataset is understood too."),
    key: str = typer.Option(
        None,
        help="Service account key: a file, - for standard input, or the JSON itself (others may see that).",
    ),
    adc: bool = typer.Option(False, "--adc", help="Use the Application Default Credentials of this machine."),
    impersonate: str = typer.Option(None, help="E-mail of a service account to act as."),
    location: str = typer.Option(None, help="Where to create the dataset, such as EU; else it is read from it."),
    create_dataset: bool = typer.Option(False, "--create-dataset", help="Create the dataset if it does not exist."),
    test: bool = typer.Option(True, "--test/--no-test", help="Test the connection before it is saved."),
    use: Use = _FOR,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Save a connection, after testing it."""
    with session.app() as opened:
        opened.connections.assert_free(name)
        auth = _auth(key, adc, impersonate) or {"key": _read_key("-")}
        draft = opened.connections.draft(name=name, project=project, dataset=dataset, location=location, **auth)
        for remark in draft.notes:
            output.note(remark)
        if create_dataset:
            output.done(opened.connections.create_dataset(draft, location))
        if test and not steps.show(opened.connections.test_draft(draft, use), aside=as_json):
            output.say("Not saved. Correct it and try again, or save it untested with --no-test.")
            raise typer.Exit(3)
        saved = opened.connections.add(draft, by=session.user())
        differs = opened.connections.differs(draft, saved)
        if differs and not test:  # the test has said it already
            output.note(differs)
        _saved(saved, as_json)


def _saved(connection: Connection, as_json: bool) -> None:
    if as_json:
        output.print_json(connection)
    else:
        output.done(f"Connection {connection.name} is saved: {connection.project}.{connection.dataset}.")


app.command(
    "list", epilog="Example: tidemill connection list --connected-by ana --connected-on 2026-01-01..2026-01-31"
)(connection_use.list_)


@app.command(epilog="Example: tidemill connection show warehouse")
def show(name: str = typer.Argument(help="Name of the connection."), as_json: bool = output.JSON_OPTION) -> None:
    """Show one connection: how it stands, and what it is. The key itself is never shown."""
    with session.app() as opened:
        connection = opened.connections.get(name)
        used_by, how = opened.exports.using(connection.id), opened.connection_users.standing(name)
        source = opened.reverse_etl.sources.of(name)
    if as_json:
        access = source.access if source else None
        output.print_json({**vars(connection), "status": how, "exports": used_by, "source": access})
        return
    output.print_fields(
        {
            "name": connection.name,
            "status": how.state,
            "seen": how.message,
            **({"what to do": how.hint} if how.hint else {}),
            "last tested": how.test.at if how.test else "never",
            "last used": how.succeeded_at or "never, with success",
            "project": connection.project,
            "dataset": connection.dataset,
            "location": connection.location or "not read yet; the test reads it",
            "credential": connection.credential,
            "account": connection.account,
            "connected on": connection.connected_at,
            "connected by": connection.connected_by,
            "changed on": connection.updated_at,
            **({"being deleted since": connection.deleting_at} if connection.deleting_at else {}),
            "exports": used_by,
            "source": f"of reverse ETL, with access {source.access}" if source else None,
        }
    )


@app.command(epilog="Example: tidemill connection test warehouse --for streaming")
def test(
    name: str = typer.Argument(help="Name of the connection."),
    use: Use = _FOR,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Test a connection step by step, with a test upload that leaves nothing behind."""
    with session.app() as opened:
        good = steps.show(opened.connections.test(name, use), as_json=as_json)
    if not good:
        raise typer.Exit(3)


@app.command(
    epilog="Example: tidemill connection grants --project my-project --dataset analytics "
    "--account tidemill@my-project.iam.gserviceaccount.com"
)
def grants(
    project: str = typer.Option(..., help="Google Cloud project id."),
    dataset: str = typer.Option(..., help="Dataset id."),
    account: str = typer.Option(None, help="E-mail of the service account."),
    use: Use = _FOR,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Print the commands that give a service account exactly what exports need. Nothing is granted by this."""
    from tidemill.connections.service import ConnectionService  # heavy; no installation is needed for this

    commands = ConnectionService.grants(project, dataset, account, use)
    if as_json:
        output.print_json(commands)
        return
    titles = ["Once a project", "In BigQuery, on the dataset"]
    if use == "batch":
        titles.insert(0, "On the project")
    for title, command in zip(titles, commands, strict=True):
        output.say(f"# {title}:")
        output.out.print(command, markup=False)
    egress.allow_list()


@app.command(epilog="Example: tidemill connection edit warehouse --key new-key.json")
def edit(
    name: str = typer.Argument(help="Name of the connection."),
    rename: str = typer.Option(None, help="A new name."),
    dataset: str = typer.Option(None, help="Another dataset."),
    project: str = typer.Option(None, help="Another project."),
    key: str = typer.Option(None, help="Another key: a file, - for standard input, or the JSON itself."),
    adc: bool = typer.Option(False, "--adc", help="Use the Application Default Credentials of this machine."),
    impersonate: str = typer.Option(None, help="E-mail of a service account to act as."),
    test: bool = typer.Option(True, "--test/--no-test", help="Test it before it is saved."),
    use: Use = _FOR,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change a connection. What is not named stays as it is."""
    with session.app() as opened:
        auth = _auth(key, adc, impersonate) or {}
        draft = opened.connections.changed(name, rename=rename, project=project, dataset=dataset, **auth)
        for remark in draft.notes:
            output.note(remark)
        if test and not steps.show(opened.connections.test_draft(draft, use), aside=as_json):
            output.say("Not changed. Correct it and try again, or save it untested with --no-test.")
            raise typer.Exit(3)
        saved = opened.connections.save(name, draft)
        if opened.reverse_etl.sources.of(saved.name) and (dataset or project or auth):
            output.note(f"It is a source of reverse ETL; test that, too: tidemill reverse-etl test {saved.name}")
        _saved(saved, as_json)


app.command(
    "set-up",
    epilog="Example: tidemill connection set-up --project my-project --dataset analytics --location EU --as terraform",
)(connection_set_up.set_up)
app.command(epilog="Example: tidemill connection delete warehouse --dry-run")(connection_use.delete)


@app.command(epilog="Example: tidemill connection datasets warehouse")
def datasets(name: str = typer.Argument(help="Name of the connection."), as_json: bool = output.JSON_OPTION) -> None:
    """List the datasets that the credential can see, with their locations."""
    with session.app() as opened:
        found = opened.connections.datasets(name)
    if as_json:
        output.print_json([{"dataset": dataset, "location": location} for dataset, location in found])
    else:
        output.print_table(("DATASET", "LOCATION"), found, empty="The credential can see no dataset.")
