"""`tidemill serve`: takes events from SDKs, and moves streams."""

from __future__ import annotations

import typer

from tidemill.api.roles import HTTP, Role
from tidemill.cli import output, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: tidemill serve --host 0.0.0.0 --port 8010 --workers 2")(serve)


def serve(
    host: str = typer.Option(
        "127.0.0.1",
        help="Address to listen at; 0.0.0.0 for all of this machine, by plain HTTP: put a TLS proxy before it.",
    ),
    port: int = typer.Option(8010, min=0, max=65535, help="Port; 0 for a free one."),
    workers: int = typer.Option(1, min=1, max=64, help="Processes."),
    behind: str = typer.Option(
        "", help="Addresses of proxies, with commas, that are believed about who asks (X-Forwarded-For)."
    ),
    role: list[Role] = typer.Option(
        list(Role), help="Do this part alone; may be repeated. Other processes, or machines, do the rest."
    ),
) -> None:
    """Do all that is to be done by itself, until it is stopped (Ctrl-C): take events from the SDKs of PostHog, Segment,
    RudderStack and Amplitude (capture), run exports when they are due (scheduler, worker), append what is new to the
    tables of streaming exports (worker), answer programs that use the HTTP API (api), and tell how all that stands.

    First, make a key for the SDKs: tidemill key create --team 1. An event is acknowledged when it is durable. A program
    that uses the API needs a token: tidemill token create --help.

    The server speaks plain HTTP. If others than this machine can reach it, let a proxy with TLS stand before it
    (--behind), or keys and events can be read on their way.

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
    spares.prepare(serving.beside(set(role), session.settings()))
    listener = serving.bind(host, port) if HTTP.intersection(role) else None
    with session.app(patience=STARTING_SECONDS) as opened:
        if listener is not None:
            shown = f"[{host}]" if ":" in host else host
            what = "Taking events at" if Role.CAPTURE in role else "Answering /api/v1, /health, /ready and /metrics at"
            output.done(f"{what} http://{shown}:{listener.getsockname()[1]}")
            if Role.CAPTURE in role and not opened.keys.find():
                output.note("There is no key yet. Make one: tidemill key create --team 1")
        if others := [one for one in role if one not in HTTP]:
            output.done(f"At work as {' and '.join(sorted(set(others)))}.")
        serving.run(opened.settings, listener, workers, behind, set(role))
