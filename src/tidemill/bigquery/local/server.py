"""The background process of the embedded BigQuery: ``python -m tidemill.bigquery.local.server --directory D``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from pathlib import Path

from tidemill import atomic
from tidemill.bigquery.local.service import DEFAULT_PROJECT


async def serve(directory: Path, listener: socket.socket, storage_port: int) -> None:
    """Serve until SIGTERM or SIGINT. `storage_port`: of the Storage APIs."""
    import uvicorn  # after TMPDIR is set

    from tidemill.bigquery.local.emulator import Emulator, allow_spatial
    from tidemill.bigquery.local.gate import Gate

    allow_spatial()
    emulator = Emulator(directory, DEFAULT_PROJECT)
    await emulator.start()
    port = listener.getsockname()[1]
    secret = secrets.token_urlsafe(24)
    storage = f"127.0.0.1:{storage_port}"
    gate = Gate(directory, emulator, f"http://127.0.0.1:{port}", storage, secret)
    await gate.storage.start(storage_port)
    server = uvicorn.Server(uvicorn.Config(gate, log_config=None, access_log=False, lifespan="off"))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    keeping_house = asyncio.create_task(gate.keep_house())
    gc.freeze()  # what is loaded now stays to the end: Python need not look for cycles there
    state = {"pid": os.getpid(), "port": port, "storage": storage, "secret": secret}
    atomic.write(directory / "state.json", json.dumps(state))
    await serving
    keeping_house.cancel()
    await gate.storage.stop()
    await emulator.stop()
    (directory / "state.json").unlink(missing_ok=True)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--storage-port", type=int, required=True)
    arguments = parser.parse_args()
    directory = arguments.directory
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # The emulator keeps uploads in the temporary directory, the same for every emulator of a machine.
    temporary = directory / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None
    # Named: asyncio sets TCP_NODELAY for it, and without it each answer's body would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", arguments.port))
    except OSError as error:
        sys.stderr.write(f"port {arguments.port} cannot be used: {error}\n")
        sys.exit(98)
    listener.listen(128)
    asyncio.run(serve(directory, listener, arguments.storage_port))


if __name__ == "__main__":
    main()
