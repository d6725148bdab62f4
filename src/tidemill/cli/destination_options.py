"""`tidemill destination add KIND` and `edit NAME`: the options of each tool, made of its settings."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import typer
from typer.core import TyperGroup

from tidemill.cli import output, session
from tidemill.cli import secret as secrets

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tidemill.destinations.port import Destination, Settings

_NAME = typer.Argument(help="A unique name for the destination.")
_TEST = typer.Option(True, "--test/--no-test", help="Test the credential before it is saved.")
_RENAME = typer.Option(None, help="A new name.")


class _Adding(TyperGroup):
    """A command for each tool. They are made when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as it is declared
        """The tools."""
        from tidemill.destinations import registry

        return sorted(registry.everything())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of a tool. Raises NotFoundError, with those that there are."""
        from tidemill.destinations import registry

        destination = registry.get(cmd_name)

        def add(name: str, test: bool, as_json: bool, **given: Any) -> None:
            with session.app() as opened:
                found = opened.reverse_etl.destinations
                found.assert_free(name)
                settings = found.make(destination.name, _values(destination.settings, given, asks=True))
                if test:
                    said = found.test(destination.name, settings)
                    if not as_json:
                        output.done(said)
                made = found.add(destination.name, name, settings, by=session.user())
            _told(made, as_json=as_json)

        parameters = [("name", str, _NAME), *_parameters(destination.settings, new=True)]
        said = f"{destination.title}: {destination.description}"
        return _command(destination.name, destination, add, parameters, said)


class _Editing(TyperGroup):
    """A command for each destination that there is: it has the options of its tool."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The destinations."""
        if ctx.resilient_parsing or not session.exists():  # a shell completes what is typed
            return []
        with session.app() as opened:
            return [found.name for found in opened.reverse_etl.destinations.find()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of a destination. Raises NotFoundError, with those that there are."""
        from tidemill.destinations import registry

        with session.app() as opened:
            name = opened.reverse_etl.destinations.get(cmd_name).name
            destination = registry.get(opened.reverse_etl.destinations.get(cmd_name).kind)

        def edit(rename: str | None, test: bool, as_json: bool, **given: Any) -> None:
            values = _values(destination.settings, given, asks=False)
            with session.app() as opened:
                found = opened.reverse_etl.destinations
                settings = found.changed(name, values, renames=rename is not None)
                if test and values:
                    said = found.test(destination.name, settings)
                    if not as_json:
                        output.done(said)
                made = found.save(name, settings, rename=rename)
            _told(made, as_json=as_json)

        parameters = [("rename", str, _RENAME), *_parameters(destination.settings, new=False)]
        return _command(name, destination, edit, parameters, f"Change it: {destination.title}.")


adding = typer.Typer(cls=_Adding, no_args_is_help=True, help="Save an account of a tool, after testing it.")
editing = typer.Typer(
    cls=_Editing, no_args_is_help=True, help="Change a destination. Settings that are not named stay as they are."
)


@adding.callback()
def _adds() -> None:
    """Save an account of a tool, after testing it."""


@editing.callback(epilog="Example: tidemill destination edit hook --rename crm-hook")
def _edits() -> None:
    """Change a destination; --help behind its name says what can be. What is not named stays as it is."""


def _command(
    name: str,
    destination: Destination,
    function: Callable[..., None],
    parameters: list[tuple[str, Any, Any]],
    said: str,
) -> Any:
    """A command with these parameters: name, type, and what typer is told of it."""
    parameters = [*parameters, ("test", bool, _TEST), ("as_json", bool, output.JSON_OPTION)]
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [inspect.Parameter(name, kind, default=told, annotation=of) for name, of, told in parameters]
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {name: of for name, of, _ in parameters}
    made = typer.Typer(add_completion=False)
    made.command(name, help=said, epilog=f"Its own documentation: {destination.page}")(function)
    return typer.main.get_command(made)


def _parameters(settings: type[Settings], *, new: bool) -> list[tuple[str, Any, Any]]:
    """One for each setting. A secret is given in a file, by standard input, in the environment, or when it is asked."""
    from tidemill.reverse_etl.service import secret_field

    found: list[tuple[str, Any, Any]] = []
    for name, field in settings.model_fields.items():
        said = field.description or ""
        if secret_field(settings, name):
            said = f"{said} A file with it, or - for standard input; or ${_variable(name)}."
            found.append((name, str, typer.Option(None, help=said)))
            continue
        if new and not field.is_required() and field.default is not None:
            said = f"{said} Default: {field.default}."
        required = new and field.is_required()
        found.append((name, _type(field), typer.Option(... if required else None, help=said)))
    return found


def _type(field: FieldInfo) -> Any:
    kind = _plain(field.annotation)
    if typing.get_origin(kind) is Literal:
        return kind
    return kind if kind in {int, float, bool} else str


def _plain(kind: Any) -> Any:
    """Of `X | None`: X."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        others = [one for one in typing.get_args(kind) if one is not type(None)]
        return _plain(others[0])
    return _plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return f"TIDEMILL_DESTINATION_{name.upper()}"


def _values(settings: type[Settings], given: dict[str, Any], *, asks: bool) -> dict[str, Any]:
    from tidemill.reverse_etl.service import secret_field

    found: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        value = given.get(name)
        if secret_field(settings, name):
            asking = str(field.description).rstrip(".") if asks and field.is_required() else None
            variable = _variable(name)
            said = value is not None or variable in os.environ or asking is not None
            value = secrets.secret(value, asking, variable, option=_option(name)) if said else None
        if value is not None:
            found[name] = value
    return found


def _told(made: Any, *, as_json: bool) -> None:
    if as_json:
        output.print_json(made)
        return
    output.done(f"Destination {made.name} is saved: {made.title}, {made.account}.")


def described(destination: Destination) -> dict[str, Any]:
    """A tool, as data."""
    return {
        "name": destination.name,
        "title": destination.title,
        "description": destination.description,
        "settings": destination.settings.model_json_schema(),
        "pace": destination.pace(destination.settings.model_construct()),
        "actions": [
            {
                "name": action.name,
                "title": action.title,
                "description": action.description,
                "modes": action.modes,
                "limits": action.limits,
                "more": action.more,
                "fields": action.fields,
            }
            for action in destination.actions
        ],
    }
