"""The web app as a process: ``python -m tidemill.web.process ARGUMENTS``, which the server keeps beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from tidemill.api import child
from tidemill.settings import Settings, current

if TYPE_CHECKING:
    import uvicorn

#: How long requests are waited for that have begun, when it is to stop.
_STOP_SECONDS = 5
_LOOKS_EVERY_SECONDS = 0.02
#: Most bytes of a message over a websocket: what a page sends is what somebody typed, or a small file.
_MESSAGE_BYTES = 4_000_000
#: Open pages have one each, and a few more while they load.
_CONNECTIONS = 1_000


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What the process is told. `listener`: the number of a socket that it inherits; `proxies`: addresses that are
    believed about who asks; `certificate`, `key`: files, if it is to speak TLS itself."""

    listener: int
    proxies: str = ""
    certificate: str | None = None
    key: str | None = None

    def text(self) -> str:
        """As one word."""
        return json.dumps(dataclasses.asdict(self))


def main() -> None:
    """Entry point of the process."""
    child.enter()
    arguments = Arguments(**json.loads(sys.argv[1]))
    settings = current()
    # NiceGUI would look for a folder where the server was begun.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(settings.home_path / "web"))
    with child.told(), contextlib.ExitStack() as closing:
        server = _server(arguments, settings, closing)
        listener = socket.socket(fileno=arguments.listener)
        thread = threading.Thread(target=child.vital(server.run), args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(_LOOKS_EVERY_SECONDS)
        child.ready()
        server.should_exit = True
        thread.join(2 * _STOP_SECONDS)
    os._exit(0)  # threads that wait for a service of others do not hold it up


def _server(arguments: Arguments, settings: Settings, closing: contextlib.ExitStack) -> uvicorn.Server:
    import uvicorn

    from tidemill.app import App
    from tidemill.foundation import STARTING_SECONDS
    from tidemill.web.application import application
    from tidemill.web.protocol import Protocol, Quiet

    app = closing.enter_context(App(settings.with_threads(1), patience=STARTING_SECONDS))
    config = uvicorn.Config(
        application(app),
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        proxy_headers=bool(arguments.proxies),
        forwarded_allow_ips=arguments.proxies or None,
        ssl_certfile=arguments.certificate,
        ssl_keyfile=arguments.key,
        log_level="warning",
    )
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(Quiet())
    return uvicorn.Server(config)


if __name__ == "__main__":
    main()
