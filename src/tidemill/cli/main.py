"""The `tidemill` command: its groups, and how errors become exit codes.

Exit codes: 0 done; 1 something failed; 2 the command, a setting or a file must be corrected; 3 access is missing;
4 the named thing does not exist; 5 something else holds the name, the table or the run; 6 rows were refused;
7 a service did not answer; 70 a bug in Tidemill; 130 cancelled; 141 the reader of the output went away.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback

import typer

from tidemill.cli import (
    audit,
    configuration,
    connection,
    copies,
    dbt,
    destination,
    egress,
    events,
    export,
    imports,
    key,
    local,
    model,
    named,
    notify,
    persons,
    reverse_etl,
    serve,
    service,
    setup,
    sync,
    token,
    user,
)
from tidemill.documents import page

VERBOSE = "--verbose"
BUG = 70
BROKEN_PIPE = 141  # as a shell says of what SIGPIPE ended

app = typer.Typer(
    name="tidemill",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Moves product data into Google BigQuery, exactly once.\n\nTry it: [bold]tidemill demo[/]",
    epilog=f"--verbose, anywhere, shows the original text of an error. Exit codes: {page('reference/exit-codes.md')}",
)
setup.register(app)
serve.register(app)
service.register(app)
copies.register(app)
egress.register(app)
configuration.register(app)
app.add_typer(local.app, name="local")
app.add_typer(connection.app, name="connection")
app.add_typer(events.app, name="events")
app.add_typer(key.app, name="key")
app.add_typer(persons.app, name="persons")
app.add_typer(model.app, name="model")
app.add_typer(export.app, name="export")
app.add_typer(destination.app, name="destination")
app.add_typer(sync.app, name="sync")
app.add_typer(imports.app, name="import")
app.add_typer(reverse_etl.app, name="reverse-etl")
app.add_typer(dbt.app, name="dbt")
app.add_typer(notify.app, name="notify")
app.add_typer(token.app, name="token")
app.add_typer(user.app, name="user")
app.add_typer(audit.app, name="audit")


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from tidemill import __version__  # only here

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        return
    named.begin(context.invoked_subcommand)


def run(arguments: list[str] | None = None) -> None:
    """Entry point: runs the command line and ends the process with the documented exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if VERBOSE in words:
        os.environ["TIDEMILL_VERBOSE"] = "1"
    words = [word for word in words if word != VERBOSE]
    code = _run(words)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _unwritable(error)
    gc.freeze()  # or Python would look for cycles, a quarter of a second long, in what goes with the process anyway
    sys.exit(code)


def _run(words: list[str]) -> int:
    from tidemill.errors import TidemillError  # keep the module's import light

    try:
        command = typer.main.get_command(app)
        result = command.main(args=words, prog_name="tidemill", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except TidemillError as error:
        from tidemill.cli import output  # rich, only when there is something to say

        output.print_error(error, as_json="--json" in words)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\nStopped.\n")
        return 130
    except OSError as error:
        if error.filename:
            return _unusable(error, as_json="--json" in words)
        if isinstance(error, BrokenPipeError) or error.errno == errno.ENOSPC:
            return _unwritable(error)
        return _other(error)
    except Exception as error:  # noqa: BLE001 - the outermost door: everything else is a bug, and says so
        return _other(error)


def _unusable(error: OSError, *, as_json: bool) -> int:
    """A file or folder that was named cannot be written or read."""
    from tidemill.cli import output
    from tidemill.errors import ConfigError

    said = ConfigError("file_unusable", f"{error.filename}: {error.strerror}.", hint="Check the path and its rights.")
    output.print_error(said, as_json=as_json)
    return said.exit_code


def _unwritable(error: OSError) -> int:
    """The output cannot be written: its reader (head, less) has seen enough, or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain once more at exit
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    sys.stderr.write(f"Error: the output cannot be written: {error.strerror}.\n")
    return 2


def _other(error: Exception) -> int:
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):  # the parser's own errors: a wrong option, a missing argument
        show()
        return code
    traceback.print_exc()
    sys.stderr.write("\nThis is a bug in Tidemill. Nothing is half-done: running the command again is safe.\n")
    sys.stderr.write("Please report it with the lines above (they hold no secrets).\n")
    return BUG
