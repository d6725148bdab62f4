"""Records of a file, a block at a time: how reading hands them to parsing."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tidemill.errors import RowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Places = npt.NDArray[np.int64]

_NEWLINE, _OPEN, _CLOSE = ord("\n"), ord("{"), ord("}")
#: [ and { are the same but for one bit.
_BRACKET, _EITHER = ord("["), 0xFF - (ord("{") - ord("["))


class Record(NamedTuple):
    """One JSON document of a file, or why there is none. `line`: where it begins, from 1."""

    line: int
    data: bytes
    error: RowError | None = None
    member: str = ""


class Lines(NamedTuple):
    """UTF-8 text in which each line is one record, from its first byte, a {, to its last, a }.

    `ends`: where the newline after each of them is; `most_brackets`: how many [ and { the record with most of them has.
    """

    text: bytes
    ends: Places
    most_brackets: int


class Block:
    """Records that follow each other. Those that are lines of a text are taken apart only when that is asked for."""

    def __init__(
        self,
        texts: Sequence[bytes],
        numbers: Sequence[int],
        *,
        errors: Mapping[int, RowError] | None = None,
        member: str = "",
        utf8: bool = False,
        lines: Lines | None = None,
    ) -> None:
        """`numbers`: where each record begins, as a line; `errors` tells by their index which are none.

        `utf8`: all are, for sure; `lines`: what they are as lines: `texts` is then empty.
        """
        self._texts, self._numbers = texts, numbers
        self.errors, self.member, self.utf8, self.lines = errors or {}, member, utf8, lines

    def __len__(self) -> int:
        return len(self._numbers)

    @functools.cached_property
    def texts(self) -> Sequence[bytes]:
        """The records, each by itself."""
        return self._texts if self.lines is None else self.lines.text.split(b"\n")[:-1]

    def record(self, index: int) -> Record:
        """One of them."""
        return Record(self._numbers[index], self.texts[index], self.errors.get(index), self.member)

    def __iter__(self) -> Iterator[Record]:
        return map(self.record, range(len(self)))


class Liner:
    """Finds lines. It keeps its memory: the system would take longer to give it anew for each text than this takes."""

    def __init__(self) -> None:
        import numpy as np  # 0.1 s

        self._bits, self._flags = np.empty(0, np.uint8), np.empty(0, np.bool_)

    def lines(self, text: bytes) -> Lines | None:
        """The text (UTF-8, with a newline at its end) as Lines, or None if it has a line that is something else.

        No JSON document goes on over a line that ends with a } and another that begins with a {; so as many documents
        as there are lines are one on each.
        """
        import numpy as np  # 0.1 s

        data = np.frombuffer(text, np.uint8)
        if len(data) > len(self._bits):
            self._bits, self._flags = np.empty(2 * len(data), np.uint8), np.empty(2 * len(data), np.bool_)
        bits, flags = self._bits[: len(data)], self._flags[: len(data)]
        ends = np.flatnonzero(np.equal(data, _NEWLINE, out=flags))
        if data[0] != _OPEN or not ((data[ends - 1] == _CLOSE).all() and (data[ends[:-1] + 1] == _OPEN).all()):
            return None
        brackets = np.flatnonzero(np.equal(np.bitwise_and(data, _EITHER, out=bits), _BRACKET, out=flags))
        most = np.diff(np.searchsorted(brackets, ends), prepend=0).max()
        return Lines(text, ends, int(most))
