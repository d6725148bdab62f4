"""Splits JSON that spans lines, or arrays of it, into its elements, with bounded memory.

The text is a sequence of documents. An array at the outermost level gives each of its elements, anything else is an
element itself. Only brackets and strings are looked at: whether an element is JSON is told when it is parsed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

BLOCK = 1024 * 1024
#: How much of an element is kept that is too large.
KEPT = 1000
#: All up to the next bracket outside of a string; it stops before a string that does not end in the buffer.
_RUN = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
#: An element that is neither object nor array.
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\s,{}\[\]]++|.', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*+")
_QUOTE, _OPENING = ord('"'), b"{["


@dataclasses.dataclass(frozen=True)
class Element:
    """One element. `line`: where it begins, from 1. `fault`: "too_large" or "cut_off"; `data` is then its beginning."""

    line: int
    data: bytes
    fault: str = ""


class Splitter:
    """Splits what `read(size)` gives, after `head`, which was read before.

    An element longer than `max_bytes` is not held.
    """

    def __init__(self, head: bytes, read: Callable[[int], bytes], max_bytes: int) -> None:
        self._buffer, self._read, self._max = head, read, max_bytes
        self._at = 0  # what is before it in the buffer is done with
        self._line = 1

    def __iter__(self) -> Iterator[Element]:
        """Yield the elements in order."""
        inside = False
        while self._go_to_next():
            first = self._buffer[self._at : self._at + 1]
            if first == (b"]" if inside else b"["):
                inside = not inside
                self._pass(self._at + 1)
                continue
            line = self._line
            data, fault = self._nested() if first in {b"{", b"["} else self._scalar()
            yield Element(line, data, fault)

    def _pass(self, end: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Read on, after dropping what is done with: positions then count from 0."""
        block = self._read(BLOCK)
        self._buffer = self._buffer[self._at :] + block
        self._at = 0
        return bool(block)

    def _go_to_next(self) -> bool:
        while True:
            self._pass(_end(_BETWEEN, self._buffer, self._at))
            if self._at < len(self._buffer):
                return True
            if not self._more():
                return False

    def _nested(self) -> tuple[bytes, str]:
        depth, here = 0, self._at
        while True:
            here = _end(_RUN, self._buffer, here)
            if here < len(self._buffer) and self._buffer[here] != _QUOTE:
                depth += 1 if self._buffer[here] in _OPENING else -1
                here += 1
                if depth == 0:
                    return self._taken(here)
            elif len(self._buffer) - self._at > self._max:
                return self._skip(depth, here)
            else:
                here -= self._at
                if not self._more():
                    return self._buffer[self._at : self._at + self._max], self._cut_off()

    def _taken(self, end: int) -> tuple[bytes, str]:
        data = self._buffer[self._at : end]
        self._pass(end)
        return (data[:KEPT], "too_large") if len(data) > self._max else (data, "")

    def _cut_off(self) -> str:
        self._pass(len(self._buffer))
        return "cut_off"

    def _skip(self, depth: int, here: int) -> tuple[bytes, str]:
        """Pass over the rest of an element without holding it."""
        kept, in_string = self._buffer[self._at : self._at + KEPT], False
        while depth:
            here = _end(_STRING_REST if in_string else _RUN, self._buffer, here)
            byte = self._buffer[here] if here < len(self._buffer) else None
            if byte == _QUOTE:
                in_string = not in_string
            elif byte is None or in_string:  # in a string: a backslash whose second half is not here yet
                self._pass(here)
                if not self._more():
                    self._cut_off()
                    break
                here = -1
            else:
                depth += 1 if byte in _OPENING else -1
            here += 1
        self._pass(here if depth == 0 else len(self._buffer))
        return kept, "too_large"

    def _scalar(self) -> tuple[bytes, str]:
        while True:
            end = _end(_SCALAR, self._buffer, self._at)
            is_open = self._buffer[self._at] == _QUOTE and end == self._at + 1
            if (end < len(self._buffer) and not is_open) or len(self._buffer) - self._at > self._max:
                return self._taken(end)
            if not self._more():  # positions count anew: what is left is this element
                return (self._buffer, self._cut_off()) if is_open else self._taken(len(self._buffer))


def _end(pattern: re.Pattern[bytes], buffer: bytes, start: int) -> int:
    match = pattern.match(buffer, start)
    return match.end() if match else start
