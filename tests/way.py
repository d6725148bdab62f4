"""Passes on what is said between two addresses: ``python -m tests.way FROM TO``, each tcp:PORT or unix:PATH.

Told to stop for a while (SIGSTOP), it is a network that has fallen silent; killed, one that refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def _connected(to: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, place = to.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(place)
    return await asyncio.open_connection("127.0.0.1", int(place))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(origin: str, to: str) -> None:
    """Listen at the one, and connect with the other."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await _connected(to)
        except OSError:
            writer.transport.abort()
            return
        both = [asyncio.create_task(_pass_on(reader, back)), asyncio.create_task(_pass_on(there, writer))]
        await asyncio.wait(both)
        for end in (back, writer):
            end.close()

    kind, _, place = origin.partition(":")
    if kind == "unix":
        server = await asyncio.start_unix_server(accept, place)
    else:
        server = await asyncio.start_server(accept, "127.0.0.1", int(place))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
