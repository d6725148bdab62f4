"""A gRPC server that costs next to nothing: HTTP/2 on loopback, of which it reads what Google's clients in Python send.

A message is not put together: its first bytes and its size are enough for an answer. The server of grpcio copies each
message three times, and would take more of the machine than the client that is measured.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
import threading
from collections.abc import Callable, Iterator

#: So much of a message's beginning is kept.
HEAD = 65_536
_BUFFER = 1 << 20
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_MOST = 2**31 - 1
#: When so much has come, the client is allowed as much again.
_REFILL = 1 << 26

Answer = Callable[[bytes, int], bytes]


class Refused(Exception):  # noqa: N818 - as in the embedded BigQuery
    """The call ends with this code of gRPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass
class _Call:
    """A call that is at work: the message of which some has come."""

    answer: Answer
    prefix: bytearray = dataclasses.field(default_factory=bytearray)
    head: bytearray = dataclasses.field(default_factory=bytearray)
    size: int = 0
    left: int = 0
    come: int = 0
    answered: bool = False

    def take(self, piece: memoryview) -> Iterator[bytes]:
        """The answers to the messages that end in the piece."""
        self.come += len(piece)
        while piece:
            if len(self.prefix) < 5:
                missing = 5 - len(self.prefix)
                self.prefix += piece[:missing]
                piece = piece[missing:]
                if len(self.prefix) < 5:
                    return
                self.size = self.left = int.from_bytes(self.prefix[1:])
            taken = piece[: self.left]
            if len(self.head) < HEAD:
                self.head += taken[: HEAD - len(self.head)]
            self.left -= len(taken)
            piece = piece[len(taken) :]
            if not self.left:
                yield self.answer(bytes(self.head), self.size)
                self.prefix, self.head = bytearray(), bytearray()


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._room = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next bytes, as they come; each piece is good until the next is asked for: they lie in the same place."""
        while size:
            if self._start == self._end:
                self._start, self._end = 0, self._connection.recv_into(self._room)
                if not self._end:
                    raise EOFError
            piece = self._room[self._start : min(self._end, self._start + size)]
            self._start += len(piece)
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        return b"".join(bytes(piece) for piece in self.pieces(size))


class _Connection:
    """One client, in a thread of its own."""

    def __init__(self, connection: socket.socket, methods: dict[str, Callable[[], Answer]]) -> None:
        self._connection, self._methods = connection, methods
        self._reader = _Reader(connection)
        self._calls: dict[int, _Call] = {}
        self._come = 0

    def run(self) -> None:
        """Answer, until the client is gone."""
        with self._connection:
            try:
                assert self._reader.exactly(len(_PREFACE)) == _PREFACE
                # Paths are to come as text (no table of headers), and frames as large as the client likes.
                settings = struct.pack("!HIHIHI", 1, 0, 4, _MOST, 5, 2**24 - 1)
                self._send(_frame(_SETTINGS, 0, 0, settings) + _window(0, _MOST - 65_535))
                while True:
                    self._frame()
            except (EOFError, ConnectionError):
                return

    def _frame(self) -> None:
        head = self._reader.exactly(9)
        size, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
        number = int.from_bytes(head[5:]) & _MOST
        if kind == _DATA:
            assert not flags & _PADDED
            self._data(number, size)
        else:
            content = self._reader.exactly(size)
            if kind == _HEADERS:
                assert flags & _END_HEADERS
                self._begin(number, content)
            elif kind == _SETTINGS and not flags & _ACK:
                self._send(_frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                self._send(_frame(_PING, _ACK, 0, content))
            elif kind == _RESET:
                self._calls.pop(number, None)
            elif kind == _GO_AWAY:
                raise EOFError
        if kind in {_DATA, _HEADERS} and flags & _END_STREAM and number in self._calls:
            self._end(number, 0, "")

    def _begin(self, number: int, headers: bytes) -> None:
        name = next((name for name in self._methods if name.encode() in headers), None)
        if name is None:
            self._calls[number] = _Call(lambda _head, _size: b"")
            self._end(number, 12, "there is no such method")
        else:
            self._calls[number] = _Call(self._methods[name]())

    def _data(self, number: int, size: int) -> None:
        for piece in self._reader.pieces(size):
            self._come += len(piece)
            call = self._calls.get(number)
            if call is None:
                continue
            try:
                for message in call.take(piece):
                    self._answer(number, call, message)
            except Refused as refused:
                self._end(number, refused.code, str(refused))
                continue
            if call.come >= _REFILL:
                self._send(_window(number, call.come))
                call.come = 0
        if self._come >= _REFILL:
            self._send(_window(0, self._come))
            self._come = 0

    def _answer(self, number: int, call: _Call, message: bytes) -> None:
        frame = _frame(_DATA, 0, number, b"\0" + len(message).to_bytes(4) + message)
        self._send(frame if call.answered else _first(number) + frame)
        call.answered = True

    def _end(self, number: int, code: int, message: str) -> None:
        call = self._calls.pop(number)
        end = _header("grpc-status", str(code)) + (_header("grpc-message", message) if message else b"")
        frame = _frame(_HEADERS, _END_HEADERS | _END_STREAM, number, end)
        if code:
            frame += _frame(_RESET, 0, number, bytes(4))
        self._send(frame if call.answered else _first(number) + frame)

    def _send(self, content: bytes) -> None:
        self._connection.sendall(content)


def _frame(kind: int, flags: int, number: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3) + bytes((kind, flags)) + number.to_bytes(4) + content


def _window(number: int, more: int) -> bytes:
    return _frame(_WINDOW, 0, number, more.to_bytes(4))


def _first(number: int) -> bytes:
    """The frame with ":status: 200", which HTTP/2 has a number for."""
    return _frame(_HEADERS, _END_HEADERS, number, b"\x88" + _header("content-type", "application/grpc"))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()[:120]
    return bytes((0, len(key))) + key + bytes((len(text),)) + text


def serve(methods: dict[str, Callable[[], Answer]]) -> str:
    """Serve in the background, on a port of its own; gives its address.

    `methods`: by the path of each, what makes the function that answers the messages of one call.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_Connection(connection, methods).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"
