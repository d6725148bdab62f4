"""`tidemill destination add KIND` and `edit`: the options of each tool, made of its settings."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click
import typer
from typer.core import TyperGroup

from tidemill.cli import output, session
from tidemill.cli import secret as secrets

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tidemill.destinations.port import Destination, Settings


class _Kinds(TyperGroup):
    """A command for each tool. They are made when they are asked for."""

    make: Callable[[str], click.Command]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The tools."""
        from tidemill.destinations import registry

        return sorted(registry.everything())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a tool."""
        from tidemill.destinations import registry

        return type(self).make(cmd_name) if cmd_name in registry.everything() else None


def _add(kind: str) -> click.Command:
    from tidemill.destinations import registry

    destination = registry.get(kind)

    def add(name: str, test: bool, as_json: bool, **given: Any) -> None:
        with session.app() as opened:
            destinations = opened.reverse_etl.destinations
            destinations.assert_free(name)
            settings = destinations.make(kind, _values(destination.settings, given, asks=True))
            if test:
                said = destinations.test(kind, settings)
                if not as_json:
                    output.done(said)
            made = destinations.add(kind, name, settings, by=session.user())
        _told(made, as_json)

    return click.Command(
        kind,
        callback=add,
        params=[_argument(), *_options(destination.settings), _TEST, _json()],
        help=f"{destination.title}: {destination.description}",
        epilog=f"Its own documentation: {destination.page}",
    )


def _edit(kind: str) -> click.Command:
    from tidemill.destinations import registry

    destination = registry.get(kind)

    def edit(name: str, rename: str | None, test: bool, as_json: bool, **given: Any) -> None:
        with session.app() as opened:
            destinations = opened.reverse_etl.destinations
            settings = destinations.changed(name, _values(destination.settings, given, asks=False))
            if test:
                destinations.test(kind, settings)
            made = destinations.save(name, settings, rename=rename)
        _told(made, as_json)

    options = _options(destination.settings, new=False)
    rename = click.Option(["--rename"], help="A new name.")
    return click.Command(
        kind,
        callback=edit,
        params=[_argument(), rename, *options, _TEST, _json()],
        help=f"Change a {destination.title}.",
    )


class _Adding(_Kinds):
    make = staticmethod(_add)


class _Editing(_Kinds):
    make = staticmethod(_edit)


adding = typer.Typer(cls=_Adding, no_args_is_help=True, help="Save an account of a tool, after testing it.")
editing = typer.Typer(cls=_Editing, no_args_is_help=True, help="Change an account of a tool.")


@adding.callback()
def _adds() -> None:
    """Save an account of a tool, after testing it."""


@editing.callback()
def _edits() -> None:
    """Change an account of a tool."""


_TEST = click.Option(["--test/--no-test"], default=True, help="Test the credential before it is saved.")


def _argument() -> click.Argument:
    return click.Argument(["name"])


def _json() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print JSON to standard output and nothing else.")


def _options(settings: type[Settings], *, new: bool = True) -> list[click.Option]:
    """One for each setting. A secret is given in a file, by standard input, in the environment, or when it is asked
    for."""
    from tidemill.reverse_etl.accounts import secret_field

    found = []
    for name, field in settings.model_fields.items():
        words = [f"--{name.replace('_', '-')}", name]
        said = field.description or ""
        if secret_field(settings, name):
            said = f"{said} A file with it, or - for standard input; or ${_variable(name)}."
            found.append(click.Option(words, help=said))
            continue
        default = f" Default: {field.default}." if new and not field.is_required() and field.default is not None else ""
        found.append(
            click.Option(words, help=f"{said}{default}", type=_type(field), required=new and field.is_required())
        )
    return found


def _type(field: FieldInfo) -> Any:
    kind = _plain(field.annotation)
    if typing.get_origin(kind) is Literal:
        return click.Choice([str(choice) for choice in typing.get_args(kind)])
    return {int: click.INT, float: click.FLOAT, bool: click.BOOL}.get(kind, click.STRING)


def _plain(kind: Any) -> Any:
    """Of `X | None`: X."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        others = [one for one in typing.get_args(kind) if one is not type(None)]
        return _plain(others[0])
    return _plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def _variable(name: str) -> str:
    return f"TIDEMILL_DESTINATION_{name.upper()}"


def _values(settings: type[Settings], given: dict[str, Any], *, asks: bool) -> dict[str, Any]:
    from tidemill.reverse_etl.accounts import secret_field

    found: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        value = given.get(name)
        if secret_field(settings, name):
            asking = f"{field.description}" if asks and field.is_required() else None
            variable = _variable(name)
            said = value is not None or variable in os.environ or asking is not None
            value = secrets.secret(value, asking, variable) if said else None
        if value is not None:
            found[name] = value
    return found


def _told(made: Any, as_json: bool) -> None:
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
