"""`tidemill notify add`: new channels. Secrets come from a file, standard input, the environment or a prompt."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, session
from tidemill.cli import secret as secrets
from tidemill.documents import page

if TYPE_CHECKING:
    from pydantic import SecretStr

app = typer.Typer(no_args_is_help=True, help="Add a channel: e-mail, a signed webhook, or Slack.")

#: The variable that a secret may be given in.
VARIABLE = "TIDEMILL_NOTIFY_SECRET"
CAUSES = "Only of this: failed, paused, overdue, missing, rejects, stream or deviation. May be repeated. Default: all."
EXPORTS = "Only of this export, and of what else is named. May be repeated. Default: all, also those that come."
SYNCS = "Only of this sync, and of what else is named. May be repeated. Default: all, also those that come."
_FROM = f"A file, or - for standard input. Default: ${VARIABLE}"
OF_MAIL = "Of e-mail: a file with the password, or - for standard input."
OF_WEBHOOKS = "Of webhooks: a file with the key by which they are signed, or - for standard input."
_CAUSE, _EXPORT, _SYNC = (typer.Option([], help=said) for said in (CAUSES, EXPORTS, SYNCS))
#: What goes there stays on this machine.
_HERE = ("http://127.", "http://localhost", "http://[::1]")
_NAME = typer.Argument(help="A unique name for the channel.")


@app.command(
    epilog="Example: tidemill notify add email ops --to ana@example.com --from tidemill@example.com "
    "--host smtp.example.com --user tidemill"
)
def email(
    name: str = _NAME,
    to: list[str] = typer.Option(..., help="Who gets it. May be repeated."),
    sender: str = typer.Option(..., "--from", help="Who it is from."),
    host: str = typer.Option(..., help="The SMTP server."),
    port: int = typer.Option(None, help="Its port. Default: 587; with --security tls 465, with none 25."),
    security: str = typer.Option("starttls", help="starttls, tls (from the beginning), or none."),
    user: str = typer.Option(None, help="Who signs in. Default: nobody does."),
    password: str = typer.Option(None, help=f"Where the password of the user is. {_FROM}, or it is asked for."),
    cause: list[str] = _CAUSE,
    export: list[str] = _EXPORT,
    sync: list[str] = _SYNC,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Tell people by e-mail, through an SMTP server."""
    chosen = port if port is not None else {"tls": 465, "none": 25}.get(security, 587)

    def fields() -> dict[str, Any]:
        found: dict[str, Any] = {"to": to, "sender": sender, "host": host, "port": chosen, "security": security}
        if user is not None or password is not None:
            asking = f"Password of {user} at {host}"
            found |= {"user": user, "password": secrets.secret(password, asking, VARIABLE, option="--password")}
        return found

    _add("email", name, fields, (cause, export, sync), as_json=as_json)


@app.command(epilog="Example: tidemill notify add webhook pager --url https://example.com/tidemill")
def webhook(
    name: str = _NAME,
    url: str = typer.Option(
        ..., help="Where it goes. If it holds a secret: a file with it, or - for standard input; it is never shown."
    ),
    key: str = typer.Option(None, help=f"Where the key is by which it is signed. {_FROM}, or one is made and shown."),
    cause: list[str] = _CAUSE,
    export: list[str] = _EXPORT,
    sync: list[str] = _SYNC,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Tell a program by HTTP requests, signed by the rules of Standard Webhooks."""
    _add(
        "webhook",
        name,
        lambda: {"url": address(url), "key": secrets.secret(key, variable=VARIABLE, option="--key")},
        (cause, export, sync),
        as_json=as_json,
    )


@app.command(epilog="Example: tidemill notify add slack team --url slack-url.txt")
def slack(
    name: str = _NAME,
    url: str = typer.Option(None, help=f"Where the address of the incoming webhook is. {_FROM}, or it is asked for."),
    cause: list[str] = _CAUSE,
    export: list[str] = _EXPORT,
    sync: list[str] = _SYNC,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Tell a channel of Slack, by an incoming webhook, or of what takes the same."""
    assert_hidden(url)
    asking = "Address of Slack's incoming webhook"
    _add(
        "slack",
        name,
        lambda: {"url": secrets.secret(url, asking, VARIABLE, option="--url")},
        (cause, export, sync),
        as_json=as_json,
    )


def _add(
    kind: str,
    name: str,
    fields: Callable[[], dict[str, Any]],
    only: tuple[list[str], list[str], list[str]],
    *,
    as_json: bool,
) -> None:
    """`only`: causes, exports and syncs of which it is told."""
    causes, exports, syncs = only
    with session.app() as opened:
        opened.notify.assert_free(name)  # before somebody is asked
        made, key = opened.notify.add(
            kind, name, fields(), causes=causes, exports=exports, syncs=syncs, by=session.user()
        )
    if as_json:
        output.print_json({**vars(made), **({"key": key} if key else {})})
        return
    output.done(
        f"The channel {made.name} is added: {made.kind}, to {made.to}. Try it: tidemill notify test {made.name}"
    )
    if key is not None:
        where = "is shown this once" if sys.stdout.isatty() else "went to standard output, and is not shown again"
        output.say(f"The key by which it is signed {where}. How it is checked: {page('howto/notifications.md')}")
        sys.stdout.write(f"{key}\n")
    if made.to.startswith("http://") and not made.to.startswith(_HERE):
        output.note("What is sent there goes over the network as it is: https would be better.")
    output.note("Messages are sent by tidemill serve.")


def address(given: str | None) -> SecretStr | None:
    """An address that was typed; or that is in a file, or in standard input."""
    from pydantic import SecretStr

    return SecretStr(given) if given is not None and "://" in given else secrets.named(given, option="--url")


def assert_hidden(url: str | None) -> None:
    """Raise ConfigError if a secret address was typed."""
    from tidemill.errors import ConfigError

    if url is not None and "://" in url:
        raise ConfigError(
            "secret_typed",
            "The address of an incoming webhook is a secret, and others can see what is typed in a command.",
            hint="Put it into a file and name that, or give - and paste it; or leave --url out, and it is asked for.",
        )
