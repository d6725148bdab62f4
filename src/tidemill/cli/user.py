"""`tidemill user`: people who use the web app."""

from __future__ import annotations

import typer

from tidemill.access.roles import Role
from tidemill.cli import asking, output, secret, session, shown_once

app = typer.Typer(no_args_is_help=True, help="People who use the web app: make, list, change and delete accounts.")
_NAME = typer.Argument(help="Name of the user.")
_PASSWORD = typer.Option(
    None,
    "--password-file",
    help="File that holds the password, or - for standard input. Default: you are asked for it.",
)


@app.command(epilog="Example: tidemill user create anna --role editor")
def create(
    name: str = typer.Argument(help="Name, by which they sign in."),
    role: Role = typer.Option(
        Role.VIEWER, help="admin: connections, secrets, users and all else; editor: exports, syncs, imports; viewer."
    ),
    password_file: str = _PASSWORD,
) -> None:
    """Make an account."""
    password = _password(password_file)
    with session.app() as opened:
        made = opened.users.create(name, role=role, password=password, by=session.user())
    output.done(f"{made.name} can sign in, as {made.role}.")


@app.command("list", epilog="Example: tidemill user list --json")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List the users."""
    with session.app() as opened:
        found = opened.users.find()
    if as_json:
        output.print_json(found)
        return
    rows = [
        (u.name, u.role, u.sign_in, _state(u.disabled, u.locked_until), u.last_seen_at, u.created_at) for u in found
    ]
    columns = ("NAME", "ROLE", "SIGNS IN BY", "STATE", "SEEN", "MADE")
    output.print_table(columns, rows, empty="There are no users. The first one: tidemill user setup")


@app.command(epilog="Example: tidemill user edit anna --role admin")
def edit(
    name: str = _NAME,
    role: Role = typer.Option(None, help="Another role."),
    rename: str = typer.Option(None, help="Another name."),
    disable: bool = typer.Option(None, "--disable/--enable", help="Whether they cannot sign in any more."),
) -> None:
    """Change an account. Who is disabled is signed out at once."""
    with session.app() as opened:
        changed = opened.users.edit(name, role=role, disabled=disable, rename=rename)
    state = "cannot sign in" if changed.disabled else "can sign in"
    output.done(f"{changed.name} is {changed.role}, and {state}.")


@app.command(epilog="Example: tidemill user set-password anna")
def set_password(name: str = _NAME, password_file: str = _PASSWORD) -> None:
    """Give a user another password. They are signed out everywhere."""
    password = _password(password_file)
    with session.app() as opened:
        opened.users.set_password(name, password)
    output.done(f"{name} has another password, and is signed out everywhere.")


@app.command(epilog="Example: tidemill user unlock anna")
def unlock(name: str = _NAME) -> None:
    """Let somebody try again at once, who was locked out after too many wrong passwords."""
    with session.app() as opened:
        opened.users.unlock(name)
    output.done(f"{name} can try again.")


@app.command(epilog="Example: tidemill user delete anna")
def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", help="Do not ask.")) -> None:
    """Delete an account. What they did stays in the audit log."""
    with session.app() as opened:
        found = opened.users.get(name)
        if not yes:
            asking.confirm(f"Delete the account of {found.name} ({found.role})? They are signed out at once.")
        opened.users.delete(name)
    output.done(f"The account of {found.name} is deleted.")


@app.command(epilog="Example: tidemill user setup")
def setup() -> None:
    """Show a text by which the first visitor of the web app makes the first account, an administrator."""
    from tidemill.errors import ConflictError

    with session.app() as opened:
        if opened.users.any():
            raise ConflictError(
                "users_exist",
                "There are users already, so nobody makes a first account.",
                hint="An administrator makes others; or: tidemill user create NAME --role admin",
            )
        token = opened.users.setup_token()
    shown_once.show("The first visitor with this text makes the first account, within a day.", token)


def _password(source: str | None) -> str:
    found = secret.secret(source, "Password", option="--password-file")
    return found.get_secret_value() if found is not None else ""


def _state(disabled: bool, locked_until: object) -> str:
    return "disabled" if disabled else "locked" if locked_until else "good"
