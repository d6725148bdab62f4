"""`tidemill destination`: accounts of tools that rows are delivered to."""

from __future__ import annotations

import typer

from tidemill.cli import asking, destination_options, output, session

app = typer.Typer(no_args_is_help=True, help="Tools that rows are delivered to, and the credentials for them.")
app.add_typer(destination_options.adding, name="add")
app.add_typer(destination_options.editing, name="edit")

_NAME = typer.Argument(help="Name of the destination.")


@app.command(epilog="Example: tidemill destination kinds")
def kinds(as_json: bool = output.JSON_OPTION) -> None:
    """List the tools that rows can be delivered to."""
    from tidemill.destinations import registry

    found = registry.everything().values()
    if as_json:
        said = [{"name": d.name, "title": d.title, "actions": [a.name for a in d.actions]} for d in found]
        output.print_json(said)
        return
    rows = [(d.name, d.title, ", ".join(action.name for action in d.actions), d.description) for d in found]
    output.print_table(("KIND", "TOOL", "ACTIONS", "DESCRIPTION"), rows, empty="")


@app.command("show-kind", epilog="Example: tidemill destination show-kind webhook")
def show_kind(
    kind: str = typer.Argument(help="The tool; see tidemill destination kinds."),
    schema: bool = typer.Option(False, "--schema", help="As JSON Schema: settings, and rows of each action."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show a tool: the settings of an account, its pace, and what can be done with rows: modes, limits, fields."""
    from tidemill import documents
    from tidemill.destinations import described, registry, schemas

    found = registry.get(kind)
    if schema:
        output.print_json(schemas.described(found))
        return
    if as_json:
        output.print_json(destination_options.described(found))
        return
    ours = documents.page(f"reference/destinations/{found.name}.md")
    output.say(f"{found.title}: {found.description}\nMore: {ours}\nIts own documentation: {found.page}\n")
    accounts = [(one.name, one.kind, one.left_out, one.description) for one in described.settings(found)]
    output.print_table(("SETTING", "KIND", "LEFT OUT", "DESCRIPTION"), accounts, empty="No settings.")
    output.say(f"Pace of an account: {described.pace(found)}.")
    for action in found.actions:
        modes, limits = described.modes(action), described.limits(action.limits)
        output.say(f"\n{action.name}: {action.description}\n  modes: {modes}\n  limits: {limits}")
        rows = [
            (field.name, described.kind(field), described.needed(action, field), field.description)
            for field in action.fields
        ]
        other = "Any names." if action.more else ""
        output.print_table(("FIELD", "KIND", "REQUIRED", "DESCRIPTION"), rows, empty=other)
        if rows and other:
            output.say("and any other names.")


@app.command("list", epilog="Example: tidemill destination list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List destinations."""
    with session.app() as opened:
        found = opened.reverse_etl.destinations.find()
    if as_json:
        output.print_json(found)
        return
    rows = [(d.name, d.title, d.account, d.syncs, d.made_at, d.made_by) for d in found]
    columns = ("NAME", "TOOL", "ACCOUNT", "SYNCS", "MADE ON", "MADE BY")
    output.print_table(columns, rows, empty="No destinations. Make one: tidemill destination add --help")


@app.command(epilog="Example: tidemill destination show hook")
def show(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show one destination. Its secrets are never shown."""
    with session.app() as opened:
        found = opened.reverse_etl.destinations.get(name)
    if as_json:
        output.print_json(found)
        return
    shown = {name: value for name, value in found.settings.items() if name not in found.secrets}
    fields = {"name": found.name, "tool": found.title, "account": found.account, **shown}
    made = f"{output.text(found.made_at)} by {found.made_by}"
    output.print_fields({**fields, "secret": found.secrets, "syncs": found.syncs, "made": made})


@app.command(epilog="Example: tidemill destination test hook")
def test(name: str = _NAME) -> None:
    """Ask the tool whether the credential is good. Nothing is delivered."""
    with session.app() as opened:
        said = opened.reverse_etl.destinations.test_saved(name)
    output.done(said)


@app.command(epilog="Example: tidemill destination delete hook --yes")
def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Delete a destination and its secrets. Refused while syncs deliver to it."""
    with session.app() as opened:
        found = opened.reverse_etl.destinations.get(name)
        if not yes and not found.syncs:
            asking.confirm(f"Delete the destination {name}?")
        opened.reverse_etl.destinations.delete(name)
    output.done(f"Destination {name} is deleted.")


@app.command(epilog="Example: tidemill destination new acme")
def new(name: str = typer.Argument(help="Its name: small letters, digits and _.")) -> None:
    """For who writes one: the folder of a new destination, in a checkout, with a test that fails until it is done."""
    from pathlib import Path

    from tidemill.destinations import scaffold

    for path in scaffold.write(Path.cwd(), name):
        output.say(f"  {path.relative_to(Path.cwd())}")
    output.done(f"Fill them in until this passes: pytest tests/contract -k {name}")
