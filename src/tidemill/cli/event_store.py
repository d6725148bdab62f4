"""`tidemill events store`: where the event store's files lie, and the key of a bucket."""

from __future__ import annotations

from typing import Any

import typer

from tidemill.cli import asking, output, session, steps
from tidemill.cli import secret as secrets

app = typer.Typer(no_args_is_help=True, help="Where the event store's files lie (TIDEMILL_EVENT_DATA): look, test it.")


@app.command(epilog="Example: tidemill events store show")
def show(as_json: bool = output.JSON_OPTION) -> None:
    """Show where the files lie, and with which access key they are asked for. The secret is never shown."""
    with session.app() as opened:
        view = opened.event_data.show()
    if as_json:
        output.print_json(view)
        return
    fields: dict[str, Any] = {"place": view.place}
    if view.endpoint is not None:
        fields |= {"endpoint": view.endpoint, "region": view.region, "buckets in paths": view.path_style}
        fields |= {"access key": view.access_key or "none: tidemill events store set --help", "origin": view.origin}
    if view.given_at is not None:
        fields |= {"given on": view.given_at, "given by": view.given_by}
    output.print_fields(fields)


@app.command("set", epilog="Example: tidemill events store set --key-id AKIA… --secret-file secret.txt")
def set_(
    key_id: str = typer.Option(None, help="Id of the access key; of Google Cloud Storage, of an HMAC key."),
    secret_file: str = typer.Option(None, help="A file with its secret; - for standard input. Else you are asked."),
    test: bool = typer.Option(True, "--test/--no-test", help="Test it before it is saved."),
) -> None:
    """Give the access key of the bucket that TIDEMILL_EVENT_DATA names. It is encrypted, and all machines use it.

    Without one, each machine uses its own: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or its role.
    """
    with session.app() as opened:
        opened.event_data.bucket()
        name = str(key_id or typer.prompt("Id of the access key", err=True)).strip()
        given = secrets.secret(secret_file, "Its secret", option="--secret-file")
        secret = given.get_secret_value() if given else ""
        if test and not steps.show(opened.event_data.test_key(name, secret), aside=True):
            output.say("Not saved. Correct it and try again, or save it untested with --no-test.")
            raise typer.Exit(3)
        opened.event_data.keep(name, secret, by=session.user())
    output.done(f"The access key {name} is kept, encrypted. All machines of this database use it within a minute.")


@app.command(epilog="Example: tidemill events store test --json")
def test(as_json: bool = output.JSON_OPTION) -> None:
    """Test the place of event data step by step: is it there, may we list, write, read and delete? Nothing is left."""
    with session.app() as opened:
        good = steps.show(opened.event_data.test(), as_json=as_json)
    if not good:
        raise typer.Exit(3)


@app.command(epilog="Example: tidemill events store forget")
def forget(yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Forget the access key that was given: each machine uses its own again."""
    with session.app() as opened:
        if not yes:
            asking.confirm("Forget the access key of the event data?")
        known = opened.event_data.forget()
    output.done("It is forgotten." if known else "There was none.")
