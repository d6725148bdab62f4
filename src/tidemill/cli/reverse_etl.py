"""`tidemill reverse-etl`: which connections rows may be read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import typer

from tidemill.cli import asking, egress, output, session, steps

if TYPE_CHECKING:
    from tidemill.reverse_etl.service import SourceView

app = typer.Typer(
    no_args_is_help=True,
    help="Sources of reverse ETL: connections whose rows are delivered to other tools. What is delivered is a model: "
    "tidemill model --help",
)

Access = Literal["full", "limited", "read-only"]
_ACCESS = (
    "full: Tidemill makes its state dataset; limited: you make it, and grant it; read-only: there is none, "
    "and what was delivered is remembered in this installation."
)
_STATE = "Dataset in which it is remembered what was delivered."


@app.command(
    epilog="Example: tidemill reverse-etl enable warehouse\n\n"
    "With an existing dataset: tidemill reverse-etl enable warehouse --access limited --state-dataset "
    "__segment_reverse_etl"
)
def enable(
    connection: str = typer.Argument(help="Name of the connection."),
    access: Access = typer.Option(None, help=f"How much it may do. {_ACCESS} Default: full."),
    state_dataset: str = typer.Option(None, help=f"{_STATE} Default: __tidemill_reverse_etl."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a connection a source, after testing it step by step; or change how it is one.

    The test makes the state dataset if access is full and it is not there. Nothing else is left behind.
    """
    with session.app() as opened:
        sources = opened.reverse_etl.sources
        fields = {"access": access, "state_dataset": state_dataset}
        if not steps.show(sources.enable(connection, fields, by=session.user()), aside=as_json):
            output.say("It is no source with that. Correct what failed, and try again.")
            raise typer.Exit(3)
        made = sources.get(connection)
    if as_json:
        output.print_json(made)
        return
    where = f"; its state is in {made.state_dataset}" if made.state_dataset else "; its state is kept here"
    output.done(f"{made.connection} is a source, with access {made.access}{where}.")
    if not made.models:
        output.say(f"Say what rows there are: tidemill model add NAME --connection {made.connection} --table … --key …")


@app.command(epilog="Example: tidemill reverse-etl test warehouse")
def test(connection: str = typer.Argument(help="Name of the connection."), as_json: bool = output.JSON_OPTION) -> None:
    """Test a source step by step. Nothing is left behind."""
    with session.app() as opened:
        good = steps.show(opened.reverse_etl.sources.test(connection), as_json=as_json)
    if not good:
        raise typer.Exit(3)


@app.command("list", epilog="Example: tidemill reverse-etl list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List the sources, with their models."""
    with session.app() as opened:
        found = opened.reverse_etl.sources.find()
    if as_json:
        output.print_json(found)
        return
    columns = ("CONNECTION", "PROJECT", "LOCATION", "ACCESS", "STATE", "MODELS")
    rows = [(s.connection, s.project, s.location, s.access, s.state_dataset or "here", s.models) for s in found]
    output.print_table(columns, rows, empty="No sources. Make one of a connection: tidemill reverse-etl enable --help")


@app.command(epilog="Example: tidemill reverse-etl show warehouse")
def show(connection: str = typer.Argument(help="Name of the connection."), as_json: bool = output.JSON_OPTION) -> None:
    """Show one source."""
    with session.app() as opened:
        found = opened.reverse_etl.sources.get(connection)
    if as_json:
        output.print_json(found)
        return
    output.print_fields(_fields(found))


def _fields(found: SourceView) -> dict[str, object]:
    return {
        "connection": found.connection,
        "data": f"{found.project}.{found.dataset}",
        "location": found.location,
        "access": found.access,
        "state dataset": found.state_dataset or "none: state is kept in this installation",
        "account": found.account,
        "models": found.models,
        "enabled on": found.made_at,
        "enabled by": found.made_by,
    }


@app.command(epilog="Example: tidemill reverse-etl disable warehouse --yes")
def disable(
    connection: str = typer.Argument(help="Name of the connection."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Have a connection be no source any more. Refused while models use it. Its state dataset stays."""
    with session.app() as opened:
        sources = opened.reverse_etl.sources
        found = sources.get(connection)
        if not yes and not found.models:
            asking.confirm(f"Have {found.connection} be no source any more?")
        sources.disable(connection)
    output.done(f"{found.connection} is no source any more. The connection stays.")
    if found.state_dataset:
        output.note(
            f"The dataset {found.project}.{found.state_dataset} stays. If nobody else needs it, in BigQuery: "
            f"DROP SCHEMA `{found.project}.{found.state_dataset}` CASCADE;"
        )


@app.command(
    epilog="Example: tidemill reverse-etl grants --service-account tidemill@my-project.iam.gserviceaccount.com "
    "--location EU"
)
def grants(
    project: str = typer.Option(None, help="Project of the data. Default: the service account's."),
    service_account: str = typer.Option(None, help="E-mail of the service account."),
    access: Access = typer.Option("limited", help=f"How much it may do. {_ACCESS}"),
    state_dataset: str = typer.Option(None, help=f"{_STATE} Default: __tidemill_reverse_etl."),
    location: str = typer.Option(None, help="Where the data is, such as EU: the state dataset must be there, too."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Print the commands and statements that give a service account what a source needs. Nothing is granted by this."""
    from tidemill.reverse_etl.service import SourceService  # heavy; no installation is needed for this

    found = SourceService.grants(project, service_account, access, state_dataset, location)
    if as_json:
        output.print_json(found)
        return
    for statement in found.statements:
        output.out.print(statement, markup=False)
    if access == "limited":
        output.say("# The first two in a shell, the others in BigQuery, by somebody who may grant.")
        if not location:
            output.note("Say --location: without it BigQuery makes the dataset in its default location, often the US.")
    for command in found.faster:
        output.say("# Not needed, but large results are read faster with it:")
        output.err.print(f"# {command}", markup=False)
    egress.allow_list()
