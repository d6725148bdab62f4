"""`tidemill export-config`, `plan`, `apply`: what the installation is set up to do, as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tidemill.cli import asking, configuration_view, output, session

if TYPE_CHECKING:
    from tidemill.configuration.service import Applied, Configuration, Plan, Step, Text

#: With --check: something would change.
WOULD_CHANGE = 1
_FILE = typer.Argument(help="The configuration: a file, a folder of .yaml files, or - for standard input.")
_PRUNE = typer.Option(
    False, "--prune", help="Delete what the configuration does not have, of the sections that it has."
)
_STANDARD_INPUT = "standard input"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: tidemill export-config --out tidemill.yaml")(export_config)
    app.command(epilog="Example: tidemill plan tidemill.yaml --check")(plan)
    app.command(epilog="Example: tidemill apply tidemill.yaml --yes")(apply)


def export_config(
    out: Path = typer.Option(None, help="A file to write it to. Default: standard output."),
    force: bool = typer.Option(False, "--force", help="Also if there is such a file, which is lost."),
    schema: bool = typer.Option(False, "--schema", help="The JSON Schema of such files instead, for editors."),
) -> None:
    """Write what the installation is set up to do, as YAML: connections, exports, models, syncs and the like.

    Secrets are not written: in their place stand names of variables that plan and apply read.
    """
    import json

    from tidemill.configuration import service

    if schema:
        text = json.dumps(service.schema(), indent=2) + "\n"
    else:
        with session.app() as opened:
            text = service.Configuration(opened).text()
    if out is None:
        sys.stdout.write(text)
        return
    _write(out, text, force=force)
    output.done(f"{out} is written.")


def _write(out: Path, text: str, *, force: bool) -> None:
    from tidemill import atomic
    from tidemill.errors import ConflictError

    try:
        with atomic.writing(out, mode=0o644, new=not force) as file:
            file.write(text.encode("utf-8"))
    except FileExistsError:
        raise ConflictError(
            "file_exists", f"There is a file {out} already.", hint="Choose another name, or add --force."
        ) from None


def plan(
    file: str = _FILE,
    prune: bool = _PRUNE,
    check: bool = typer.Option(False, "--check", help="End with code 1 if something would change."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Say what would be made, changed and deleted so that the installation is as a file says. Nothing is changed."""
    from tidemill.configuration.service import Configuration

    texts = _texts(file)
    with session.app() as opened:
        found = Configuration(opened).plan(texts, prune=prune)
    if as_json:
        output.print_json(found.described())
    else:
        configuration_view.print_plan(found)
    if check and found.steps:
        raise typer.Exit(WOULD_CHANGE)


def apply(
    file: str = _FILE,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    prune: bool = _PRUNE,
    test: bool = typer.Option(True, "--test/--no-test", help="Test credentials before they are saved."),
    resend: bool = typer.Option(False, "--resend", help="Where a mapping changes: send all rows again, mapped anew."),
    leave: bool = typer.Option(False, "--leave", help="Where a mapping changes: leave what was sent as it is."),
    only: str = typer.Option(
        None, "--plan", metavar="ID", help="Only if the plan is the one that plan --json has told."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Make, change and delete what must be so that the installation is as a file says, after showing it and asking.

    It stops at the first that fails, and says what was done and what was not; applied again, it goes on there.
    """
    from tidemill.configuration.service import Configuration

    if resend and leave:
        raise typer.BadParameter("Give --resend, or --leave.")
    texts = _texts(file)
    with session.app() as opened:
        configuration = Configuration(opened)
        shown = configuration.plan(texts, prune=prune)
        _assert_planned(shown.id, only)
        if not as_json or not yes:  # who is asked sees what about
            configuration_view.print_plan(shown, aside=True)
        if shown.steps and not yes:
            asking.confirm("Apply this?", err=True)
            now = configuration.plan(texts, prune=prune)
            configuration.assert_same(shown, now)
        reset = "resend" if resend else "leave" if leave else None
        applied = _applied(configuration, shown, test=test, reset=reset, quiet=as_json)
    if as_json:
        output.print_json(applied.described())
    elif shown.steps:
        configuration_view.say_applied(applied)
    if applied.error is not None:
        output.print_error(applied.error)
        raise typer.Exit(applied.error.exit_code)


def _applied(configuration: Configuration, plan: Plan, *, test: bool, reset: str | None, quiet: bool) -> Applied:
    """Do it, and say each step as it is done."""
    from tidemill.configuration.service import Telling

    done: list[Step] = []

    def is_done(step: Step) -> None:
        done.append(step)
        if not quiet:
            configuration_view.say_done(step)

    telling = Telling(done=is_done) if quiet else Telling(tested=configuration_view.say_tested, done=is_done)
    try:
        return configuration.apply(plan, by=session.user(), test=test, reset=reset, telling=telling)
    except KeyboardInterrupt:
        output.say(f"{len(done)} of {output.number(len(plan.steps), 'step')} done. Apply it again to go on.")
        raise


def _assert_planned(found: str, wanted: str | None) -> None:
    from tidemill.errors import ConflictError

    if wanted is not None and wanted != found:
        raise ConflictError(
            "plan_outdated",
            f"The plan is another one now: {found}, and not {wanted}.",
            hint="The file or the installation has changed since. Look at a new plan.",
        )


def _texts(given: str) -> list[Text]:
    """The files that were named, as they are now."""
    from tidemill.configuration import reading
    from tidemill.configuration.service import Text
    from tidemill.errors import ConfigError

    if given == "-":
        if sys.stdin.isatty():
            output.say("Write the configuration, then press Ctrl-D:")
        return [Text(_STANDARD_INPUT, sys.stdin.read(), Path.cwd())]
    place = Path(given).expanduser()
    files = reading.folder_files(place) if place.is_dir() else [place]
    if not files:
        raise ConfigError("file_missing", f"The folder {given} has no .yaml files.", hint="Check the path.")
    try:
        return list(reading.texts([(str(path), path) for path in files]))
    except OSError as error:
        raise ConfigError(
            "file_unreadable", f"{error.filename} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("file_unreadable", f"{given} is no text in UTF-8.", hint="Check the path.") from None
