"""`tidemill notify`: channels by which people are told what is wrong with exports and syncs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import asking, notify_add, output, session
from tidemill.cli import secret as secrets
from tidemill.cli.notify_add import CAUSES, EXPORTS, SYNCS

if TYPE_CHECKING:
    from tidemill.notify.service import ChannelView, Tested

app = typer.Typer(
    no_args_is_help=True,
    help="Channels by which people are told what is wrong with exports and syncs, and when it is over: e-mail, "
    "webhooks, Slack.",
)
app.add_typer(notify_add.app, name="add")


@app.command("list", epilog="Example: tidemill notify list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List the channels: what each is told, whether it works, and what waits."""
    with session.app() as opened:
        found = opened.notify.find()
    if as_json:
        output.print_json(found)
        return
    columns = ("NAME", "KIND", "TO", "CAUSES", "EXPORTS", "SYNCS", "LAST SENT", "WAITING", "GIVEN UP", "STATUS")
    rows = [
        (
            *(c.name, c.kind, c.to, _all(c.causes), *_things(c), c.last_sent_at, c.waiting, c.given_up),
            "fails" if c.trouble else "works" if c.last_sent_at else "not used yet",
        )
        for c in found
    ]
    output.print_table(columns, rows, empty="No channels. Make one: tidemill notify add --help")
    for channel in found:
        if channel.trouble:
            output.note(f"{channel.name}: {channel.trouble}")
            output.note(f"{channel.name}: {channel.what_to_do} Then: tidemill notify test {channel.name}")


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "all"


def _things(channel: ChannelView) -> tuple[str, str]:
    """Exports and syncs of which it is told."""
    if not channel.exports and not channel.syncs:
        return "all", "all"
    return ", ".join(channel.exports) or "none", ", ".join(channel.syncs) or "none"


@app.command(epilog="Example: tidemill notify show ops")
def show(
    name: str = typer.Argument(help="Name of the channel."),
    limit: int = typer.Option(10, min=1, callback=output.held, help="How many messages, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show one channel, and its last messages. Its secret is never shown."""
    with session.app() as opened:
        channel, sent = opened.notify.get(name), opened.notify.messages(name, limit=limit)
    if as_json:
        output.print_json({**vars(channel), "messages": sent})
        return
    output.print_fields(_fields(channel))
    columns = ("WRITTEN", "MESSAGE", "STATUS", "SENT", "NEXT TRY", "TRIES", "ERROR")
    rows = [(m.written_at, m.title, m.status, m.sent_at, m.next_try_at, m.tries, m.error) for m in sent]
    output.print_table(columns, rows, empty="No messages yet.")


def _fields(channel: ChannelView) -> dict[str, Any]:
    settings = {name: value for name, value in channel.settings.items() if name != "to" and value is not None}
    found = {name: value for name, value in vars(channel).items() if name != "settings"}
    exports, syncs = _things(channel)
    found |= {"causes": _all(channel.causes), "exports": exports, "syncs": syncs}
    seldom = {"failing_since", "trouble", "what_to_do"}
    shown = {name: value for name, value in found.items() if value is not None or name not in seldom}
    return {name.replace("_", " "): value for name, value in {**shown, **settings}.items()}


@app.command(epilog="Example: tidemill notify test ops")
def test(
    name: str = typer.Argument(None, help="Name of the channel. Default: all of them."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Send a test message now, and say what failed, if it did, and what to do.

    If it is taken, what waits is sent at once by tidemill serve.
    """
    found = []
    with session.app() as opened:
        for tested in opened.notify.test(name):
            found.append(tested)
            if not as_json:
                told(tested)
    if as_json:
        output.print_json([_result(one) for one in found])
    codes = [one.error.exit_code for one in found if one.error]
    if codes:
        raise typer.Exit(codes[0])


def told(tested: Tested) -> None:
    """What came of a test message."""
    if tested.error is None:
        output.done(f"{tested.channel}: a test message is taken, for {tested.to}.")
        return
    output.say(f"[red]✗[/] {output.safe(tested.channel)}: no test message for {output.safe(tested.to)}.")
    output.print_error(tested.error)


def _result(tested: Tested) -> dict[str, Any]:
    error = tested.error
    said = {"code": error.code, "message": error.message, "hint": error.hint} if error else None
    return {"channel": tested.channel, "to": tested.to, "taken": error is None, "error": said}


@app.command(epilog="Example: tidemill notify edit ops --to ana@example.com --cause failed --cause paused")
def edit(
    name: str = typer.Argument(help="Name of the channel."),
    rename: str = typer.Option(None, help="A new name."),
    cause: list[str] = typer.Option(None, help=f"{CAUSES} Or: all."),
    export: list[str] = typer.Option(None, help=f"{EXPORTS} Or: all."),
    sync: list[str] = typer.Option(None, help=f"{SYNCS} Or: all."),
    to: list[str] = typer.Option(None, help="Of e-mail: who gets it. May be repeated."),
    sender: str = typer.Option(None, "--from", help="Of e-mail: who it is from."),
    host: str = typer.Option(None, help="Of e-mail: the SMTP server."),
    port: int = typer.Option(None, help="Of e-mail: its port."),
    security: str = typer.Option(None, help="Of e-mail: starttls, tls or none."),
    user: str = typer.Option(None, help="Of e-mail: who signs in."),
    password: str = typer.Option(None, help=notify_add.OF_MAIL),
    url: str = typer.Option(None, help="Of webhooks and Slack: another address, in a file, or - for standard input."),
    key: str = typer.Option(None, help=notify_add.OF_WEBHOOKS),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change a channel. What is not named stays as it is."""
    fields: dict[str, Any] = {"to": to, "sender": sender, "host": host, "port": port, "security": security}
    fields |= {"user": user, "password": secrets.named(password, option="--password")}
    fields |= {"key": secrets.named(key, option="--key"), "url": notify_add.address(url)}
    given = {field: value for field, value in fields.items() if value is not None}
    with session.app() as opened:
        if opened.notify.get(name).kind == "slack":
            notify_add.assert_hidden(url)
        chosen = {"causes": _chosen(cause), "exports": _chosen(export), "syncs": _chosen(sync)}
        changed = opened.notify.edit(name, given, rename=rename, **chosen)
    if as_json:
        output.print_json(changed)
        return
    output.done(f"The channel {changed.name} is changed. Try it: tidemill notify test {changed.name}")


def _chosen(names: list[str] | None) -> list[str] | None:
    return None if not names else [] if names == ["all"] else names


@app.command(epilog="Example: tidemill notify remove ops --yes")
def remove(
    name: str = typer.Argument(help="Name of the channel."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove a channel, with its secret and what waits to be sent by it."""
    with session.app() as opened:
        channel = opened.notify.get(name)
        if not yes:
            asking.confirm(f"Remove the channel {channel.name} ({channel.kind}, {channel.to})?")
        opened.notify.remove(name)
    output.done(f"The channel {channel.name} is removed.")
