"""The process of a server that writes for all its others.

To parse takes Python's one interpreter lock all the time, and a commit needs it often, each time for a moment: in one
process each commit would take four times as long. And one that writes makes fewer and larger commits than many.

A message is a length, a header (msgpack) and Arrow's IPC format; an answer is a length and a header. The socket is in a
folder that only its owner may enter.
"""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import socket
import struct
import threading
import uuid
from pathlib import Path
from typing import Any

import msgspec

from tidemill.capture.keeper import Bundle, Keeper, Kept, Revoked
from tidemill.errors import UnavailableError

_log = logging.getLogger(__name__)
_LENGTHS = struct.Struct("!IQ")
#: The writer is not waited for any longer: whoever asked has been told to come again by then.
_SILENT_SECONDS = 60.0


class _Header(msgspec.Struct):
    keys: list[str] = []
    refused: list[dict[str, Any]] = []
    look: bool = False


class _Reply(msgspec.Struct):
    rows: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    revoked: list[str] = []
    unavailable: tuple[str, str, str] | None = None
    failed: bool = False


class WriterBug(Exception):  # noqa: N818 - the writer's log has it
    """The writer met an error that is a bug."""


class RemoteKeeper:
    """Keeps by the writer: one connection for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def keep(self, bundle: Bundle) -> Kept:
        """See Keeper."""
        reply = self._ask(_Header([key.hex for key in bundle.keys], list(bundle.refused)), _packed(bundle))
        return Kept(reply.rows, reply.duplicates, reply.seconds)

    def look(self) -> None:
        """See Keeper."""
        self._ask(_Header(look=True), b"")

    def close(self) -> None:
        """See Keeper."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _ask(self, header: _Header, body: bytes | memoryview) -> _Reply:
        asked = msgspec.msgpack.encode(header)
        try:
            reply = self._asked_idle(asked, body) or self._asked(self._connected(), asked, body)
        except OSError as error:
            raise UnavailableError("writer_gone", "The server's writer does not answer.", raw=str(error)) from None
        if reply.revoked:
            raise Revoked([uuid.UUID(key) for key in reply.revoked])
        if reply.unavailable is not None:
            code, message, raw = reply.unavailable
            raise UnavailableError(code, message, raw=raw)
        if reply.failed:
            raise WriterBug
        return reply

    def _asked_idle(self, message: bytes, body: bytes | memoryview) -> _Reply | None:
        """The answer on a connection that was used before; None if none is good: it may be a killed writer's. To ask
        another one the same is safe."""
        while True:
            try:
                return self._asked(self._idle.get_nowait(), message, body)
            except queue.Empty:
                return None
            except TimeoutError:
                raise
            except OSError:
                continue

    def _asked(self, connection: socket.socket, message: bytes, body: bytes | memoryview) -> _Reply:
        try:
            _send(connection, message, body)
            reply = msgspec.msgpack.decode(_received(connection)[0], type=_Reply)
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)
        return reply

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_SILENT_SECONDS)
        try:
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection


class Writer:
    """Answers at a socket, by a keeper."""

    def __init__(self, path: Path, keeper: Keeper) -> None:
        self._keeper = keeper
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._working = 0
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()

    def run(self) -> None:
        """Take connections, each in a thread, until `stop`."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def stop(self) -> None:
        """Take no more, and end what has begun."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            while self._working:
                self._changed.wait()
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            with self._changed:
                self._connections.add(connection)
            while True:
                header, body = _received(connection)
                with self._at_work():
                    reply = self._answer(msgspec.msgpack.decode(header, type=_Header), body)
                    _send(connection, msgspec.msgpack.encode(reply), b"")
        with self._changed:
            self._connections.discard(connection)

    @contextlib.contextmanager
    def _at_work(self) -> Any:
        with self._changed:
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _answer(self, header: _Header, body: bytes | memoryview) -> _Reply:
        try:
            if header.look:
                self._keeper.look()
                return _Reply()
            keys = frozenset(uuid.UUID(key) for key in header.keys)
            kept = self._keeper.keep(Bundle(keys, _unpacked(body), header.refused))
        except Revoked as error:
            return _Reply(revoked=[key.hex for key in error.keys])
        except UnavailableError as error:
            return _Reply(unavailable=(error.code, error.message, error.raw))
        except Exception:  # noqa: BLE001 - told to who asked; the log says more
            _log.exception("events could not be kept")
            return _Reply(failed=True)
        return _Reply(kept.rows, kept.duplicates, kept.seconds)


def _packed(bundle: Bundle) -> bytes | memoryview:
    import pyarrow as pa

    if not bundle.tables:
        return b""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, bundle.tables[0].schema) as writer:
        for table in bundle.tables:
            writer.write_batch(table)
    return out.getbuffer()


def _unpacked(body: bytes | memoryview) -> list[Any]:
    import pyarrow as pa

    return list(pa.ipc.open_stream(pa.py_buffer(body))) if len(body) else []


def _send(connection: socket.socket, header: bytes, body: bytes | memoryview) -> None:
    connection.sendall(_LENGTHS.pack(len(header), len(body)) + header)
    if len(body):
        connection.sendall(body)


def _received(connection: socket.socket) -> tuple[memoryview, memoryview]:
    """Header and body. Raises OSError at the end of the connection."""
    header, body = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size))
    return _exactly(connection, header), _exactly(connection, body)


def _exactly(connection: socket.socket, count: int) -> memoryview:
    found = memoryview(bytearray(count))
    have = 0
    while have < count:
        got = connection.recv_into(found[have:])
        if not got:
            raise ConnectionError("the connection has ended")
        have += got
    return found
