"""`tidemill serve`: takes events from SDKs, moves data, and shows it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tidemill.api.roles import BACKGROUND, HTTP, Role
from tidemill.cli import output, session
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    import socket

    from tidemill.api.serve import Tls
    from tidemill.app import App


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: tidemill serve --host 0.0.0.0 --port 8010 --workers 2")(serve)


def serve(
    host: str = typer.Option(
        "127.0.0.1",
        help="Address to listen at; 0.0.0.0 for all of this machine: then by --tls-cert, or behind a TLS proxy.",
    ),
    port: int = typer.Option(8010, min=0, max=65535, help="Port; 0 for a free one."),
    web_host: str = typer.Option(
        "127.0.0.1", help="Address at which the web app listens: events may come from everywhere, people need not."
    ),
    web_port: int = typer.Option(8020, "--web-port", min=0, max=65535, help="Port of the web app; 0 for a free one."),
    workers: int = typer.Option(1, min=1, max=64, help="Processes."),
    behind: str = typer.Option(
        "", help="Addresses of proxies, with commas, that are believed about who asks (X-Forwarded-For)."
    ),
    tls_cert: Path | None = typer.Option(None, help="Certificate for TLS, PEM; with --tls-key."),
    tls_key: Path | None = typer.Option(None, help="Private key of the certificate, PEM."),
    role: list[Role] = typer.Option(
        list(Role), help="Do this part alone; may be repeated. Other processes, or machines, do the rest."
    ),
) -> None:
    """Do all that is to be done by itself, until it is stopped (Ctrl-C): take events from the SDKs of PostHog, Segment,
    RudderStack and Amplitude (capture), run exports when they are due (scheduler, worker), append what is new to the
    tables of streaming exports (worker), answer programs that use the HTTP API (api), show all that to people in a
    browser (web), and tell how it stands.

    First, make a key for the SDKs: tidemill key create --team 1. An event is acknowledged when it is durable. A program
    that uses the API needs a token: tidemill token create --help. Who opens the web app first makes the first account,
    with the token that is printed here.

    If others than this machine can reach the server, let it speak TLS (--tls-cert, --tls-key), or let a proxy with TLS
    stand before it (--behind): else keys, passwords and events can be read on their way.

    GET /health answers 200 while the server lives; /ready, while it can keep events, else 503; /metrics tells
    Prometheus what was taken and how far streams are, if asked from this machine or with TIDEMILL_METRICS_TOKEN.
    """
    import signal
    import sys

    from tidemill import tracing
    from tidemill.api import serve as serving
    from tidemill.api import spares
    from tidemill.foundation import STARTING_SECONDS

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until it serves: nothing is begun yet
    tracing.assert_usable()
    tls = _tls(tls_cert, tls_key)
    spares.prepare(serving.beside(set(role), session.settings()))
    listener = serving.bind(host, port) if HTTP.intersection(role) else None
    web = serving.bind(web_host, web_port, "--web-port") if Role.WEB in role else None
    with session.app(patience=STARTING_SECONDS) as opened:
        scheme = "https" if tls else "http"
        if listener is not None:
            what = "Taking events at" if Role.CAPTURE in role else "Answering /api/v1, /health, /ready and /metrics at"
            output.done(f"{what} {_address(scheme, host, listener)}")
            if Role.CAPTURE in role and not opened.keys.find():
                output.note("There is no key yet. Make one: tidemill key create --team 1")
        if web is not None:
            _tell_web(opened, scheme, web_host, web, behind)
        if others := sorted({*role} & BACKGROUND):
            output.done(f"At work as {' and '.join(others)}.")
        serving.run(opened.settings, listener, workers, behind, set(role), web=web, tls=tls)


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    """The files for TLS, if there are any, looked at."""
    from tidemill.api.serve import Tls

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "tls_half", "A certificate and its key belong together.", hint="Give --tls-cert and --tls-key."
        )
    found = Tls(certificate, key)
    found.assert_usable()
    return found


def _address(scheme: str, host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listener.getsockname()[1]}"


def _tell_web(app: App, scheme: str, host: str, listener: socket.socket, behind: str) -> None:
    """Where the web app is; how the first account is made, if there is none; and that passwords can be read on their
    way, if others than this machine reach it without TLS."""
    address = app.settings.web_address or _address(scheme, "localhost" if _is_all(host) else host, listener)
    output.done(f"The web app is at {address}")
    if not app.users.any():
        output.note(f"There is no account yet. Make the first one: {address}/set-up?token={app.users.setup_token()}")
    if _is_all(host) and not behind and not address.startswith("https"):
        output.note("Passwords go over the network as they are: put a proxy with TLS before it, or give --tls-cert.")


def _is_all(host: str) -> bool:
    """Whether it stands for all addresses of a machine (0.0.0.0, ::): nothing can be opened at it."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return False
