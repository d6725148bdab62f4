"""`tidemill install-service`: a systemd unit for the server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import typer

from tidemill.api.roles import Role
from tidemill.cli import output, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("install-service", epilog="Example: tidemill install-service --host 0.0.0.0 --port 8010")(install)


def install(
    host: str = typer.Option("127.0.0.1", help="As of tidemill serve."),
    port: int = typer.Option(8010, min=1, max=65535, help="As of tidemill serve."),
    web_host: str = typer.Option("127.0.0.1", help="As of tidemill serve."),
    web_port: int = typer.Option(8020, "--web-port", min=1, max=65535, help="As of tidemill serve."),
    role: list[Role] = typer.Option(list(Role), help="As of tidemill serve."),
    user: str = typer.Option(None, help="Who the server runs as; a unit of the system. Default: you."),
    show: bool = typer.Option(False, "--print", help="Print the unit, and write nothing."),
) -> None:
    """Have systemd run tidemill serve: from the start of the machine on, and again if it ends.

    As root the unit is the system's, else your own (systemctl --user). The TIDEMILL_… variables that are set now go
    into a file that you alone can read, tidemill.env in the home directory, from which the server takes them; one that
    is there already stays.
    """
    from tidemill.api import unit
    from tidemill.errors import ConfigError
    from tidemill.settings import private_file, private_folder

    with session.app() as opened:
        settings = opened.settings
    home, system = settings.home_path, os.getuid() == 0
    words = ["--host", host, "--port", str(port), "--web-host", web_host, "--web-port", str(web_port)]
    words += [] if set(role) == set(Role) else [word for one in role for word in ("--role", one.value)]
    kept = home / "tidemill.env"
    text = unit.text(home, kept, words, settings.stop_seconds, user, system=system)
    if show:
        typer.echo(text, nl=False)
        return
    if user is not None and not system:
        raise ConfigError("service_user", "Only root makes a unit for somebody else.", hint="Leave --user out.")
    if shutil.which("systemctl") is None:
        raise ConfigError(
            "no_systemd",
            "There is no systemd here.",
            hint="Print the unit (--print) for another machine; or have what starts programs here run tidemill serve.",
        )
    folder = Path("/etc/systemd/system") if system else Path.home() / ".config" / "systemd" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        with private_file(private_folder(home) / kept.name) as file:
            file.write(unit.kept(os.environ))
    (folder / unit.NAME).write_text(text)
    output.done(f"The unit {folder / unit.NAME} is written; its settings are in {kept}.")
    words_of = "systemctl" if system else "systemctl --user"
    output.say(f"Begin: {words_of} daemon-reload && {words_of} enable --now tidemill")
    if not system:
        output.note("So that it runs while you are not logged in: loginctl enable-linger")
