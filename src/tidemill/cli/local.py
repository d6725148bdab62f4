"""`tidemill local`: the embedded BigQuery, to try things and to test without a Google project."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.bigquery.local.service import LocalBigQuery

app = typer.Typer(no_args_is_help=True, help="The embedded BigQuery, and service account keys for it.")


def _local() -> LocalBigQuery:
    from tidemill.app import local_bigquery
    from tidemill.settings import current

    return local_bigquery(current())


@app.command(epilog="Example: tidemill local start")
def start(
    port: int = typer.Option(None, help="Port on 127.0.0.1. Default: the one it had, or a free one."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Start the embedded BigQuery in the background. Does nothing if it runs."""
    with output.err.status("Starting the embedded BigQuery"):
        state = _local().start(port=port)
    _show(state, as_json)


@app.command(epilog="Example: tidemill local stop")
def stop() -> None:
    """Stop the embedded BigQuery. Its data stays."""
    _local().stop()
    output.done("The embedded BigQuery is stopped.")


@app.command(epilog="Example: tidemill local status --json")
def status(as_json: bool = output.JSON_OPTION) -> None:
    """Say whether the embedded BigQuery runs, where, and where its log is."""
    _show(_local().status(), as_json)


def _show(state: object, as_json: bool) -> None:
    if as_json:
        output.print_json(state)
    else:
        output.print_fields(
            {
                name.replace("_", " "): value if isinstance(value, bool) or value is None else str(value)
                for name, value in vars(state).items()
            }
        )


@app.command(epilog="Example: tidemill local key --deny bigquery.jobs.create --out limited.json --name limited")
def key(
    name: str = typer.Option("tidemill", help="Name of the service account; the same name gives the same key."),
    out: Path = typer.Option(None, help="Write the key to this file (readable by you only) instead of printing it."),
    allow: list[str] = typer.Option(None, help="Only these permissions. May be repeated. Default: all it may need."),
    deny: list[str] = typer.Option(None, help="All but these permissions. May be repeated."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make a service account key for the embedded BigQuery, or change its permissions."""
    from tidemill.settings import private_file

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(private_file(out)) if out else None  # before anything is changed
        made = _local().key(name, allow=allow or None, deny=deny or ())
        if file:
            file.write(json.dumps(made, indent=2) + "\n")
    if out is None or as_json:
        output.print_json(made)
    if out:
        output.done(f"Key of {made['client_email']} is in {out}.")


@app.command(epilog="Example: tidemill local dataset analytics --location EU")
def dataset(
    name: str = typer.Argument(help="Dataset id."),
    location: str = typer.Option("US", help="Its location."),
) -> None:
    """Make a dataset in the embedded BigQuery."""
    _local().create_dataset(name, location)
    output.done(f"Dataset {name} is there.")


@app.command(epilog="Example: tidemill local query 'SELECT COUNT(*) AS people FROM shop.people'")
def query(
    sql: str = typer.Argument(help="A statement, or several with semicolons between; - for standard input."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Run a statement in the embedded BigQuery, such as one that makes a table, and print its rows."""
    from tidemill.cli import texts
    from tidemill.errors import ConfigError

    def refused(reason: str) -> ConfigError:
        return ConfigError("sql_file", f"Standard input cannot be read: {reason}.", hint="Give the statement itself.")

    text = texts.read(sql, "Write the statement", refused) if sql == "-" else sql
    columns, rows = _local().query(text)
    if as_json:
        output.print_json([{name: _plain(value) for name, value in row.items()} for row in rows])
    elif columns:
        output.print_table(columns, [[_cell(row[name]) for name in columns] for row in rows], empty="No rows.")
    else:
        output.done("It is done.")


def _plain(value: Any) -> Any:
    """A value of a row as JSON has it; of what JSON does not have, the text."""
    return json.loads(json.dumps(output.plain(value), default=str))


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
