"""Reads files record by record, with bounded memory: plain, gzip or zip; JSON lines, one JSON document, CSV, Parquet.

Which it is, is told by the first bytes, not by the name.
"""

from __future__ import annotations

import gzip
import lzma
import os
import sys
import threading
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import IO, Any, cast

import msgspec

from tidemill.errors import ConfigError, RowError
from tidemill.events import documents, tables
from tidemill.events.blocks import Block, Liner, Record
from tidemill.events.opening import BLOCK, Seen, Source, content_key

_BLOCK_RECORDS = 1000
#: How much is kept of a line that is too long.
_KEPT = 1000
#: What reading raises when a packed file is damaged or cut off.
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_PROBE, _PROBE_LINES = 1024 * 1024, 20
_UTF16 = "Convert it: iconv -f UTF-16 -t UTF-8 FILE"
#: Beginnings of files that are not read: what it is, what to do.
_FOREIGN = (
    (b"\xff\xfe", "UTF-16", _UTF16),
    (b"\xfe\xff", "UTF-16", _UTF16),
    (b"BZh", "bzip2", "Unpack it: bunzip2 -c FILE | tidemill events load -"),
    (b"\xfd7zXZ", "xz", "Unpack it: xz -dc FILE | tidemill events load -"),
    (b"\x28\xb5\x2f\xfd", "zstd", "Unpack it: zstd -dc FILE | tidemill events load -"),
    (b"PAR1", "Parquet", "A Parquet file is read only if it is not packed: unpack the archive and load its files."),
    (b"SQLite format 3", "SQLite", "Export its table: sqlite3 -json FILE 'SELECT …' | tidemill events load -"),
)


class Reader:
    """The records of a file, in order. `position` tells how many of its bytes were read, for a progress bar."""

    def __init__(self, source: Source, max_bytes: int) -> None:
        """`max_bytes`: a longer record is not held, but reported."""
        self._source = source
        self._seen = source.seen
        self._looking = threading.Lock()
        self._max = max_bytes
        self._liner = Liner()
        self._file: IO[bytes] | None = None
        self.position = 0  #: bytes of the file read so far; another thread than the one that reads may look
        self.rows: str | None = None  #: csv or parquet, if it is one of these

    def __iter__(self) -> Generator[Block, None, None]:
        """Yield all records. A file that breaks off yields what it holds and then raises ConfigError."""
        with self._source.path.open("rb") as file:
            self._file = file
            try:
                self.assert_same()
                for block in self._blocks(file):
                    self.position = max(self.position, file.tell())
                    yield block
                self.assert_same()
            except ConfigError:
                self.assert_same()  # what came before the damage is handed over, too
                raise
            finally:
                with self._looking:
                    self._file = None
        self.position = self._source.size

    def assert_same(self) -> None:
        """Raise ConfigError if what was read so far may not be what the file's key was made of.

        A file that has only grown is what it was, up to where it ended then.
        """
        with self._looking:
            if self._file is None:
                return
            now = Seen.of(os.fstat(self._file.fileno()))
            grown = now.inode == self._seen.inode and now.size >= self._source.size
            if now != self._seen and not (grown and content_key(self._file, self._source.size) == self._source.key):
                raise ConfigError(
                    "file_changed",
                    f"{self._source.name} was replaced, or written to, while it was read.",
                    hint="Load it again when nobody writes to it. What was added before is not added twice.",
                )
            self._seen = now

    def _blocks(self, file: IO[bytes]) -> Iterator[Block]:
        start = file.read(4)
        file.seek(0)
        if start == b"PAR1":
            self.rows = "parquet"
            rows = tables.parquet_rows(file, self._progress)
            yield from _grouped(Record(*row) for row in rows)
        elif start == b"PK\x03\x04":
            yield from self._zip(file)
        else:
            yield from self._unpacked(file, start, "")

    def _progress(self, share: float) -> None:
        self.position = int(share * self._source.size)

    def _zip(self, file: IO[bytes]) -> Iterator[Block]:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in sorted(archive.infolist(), key=lambda item: item.filename):
                    if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
                        with archive.open(member) as inner:
                            start = cast(zipfile.ZipExtFile, inner).peek(4)[:4]
                            yield from self._unpacked(inner, start, member.filename)
        except (*_BROKEN, NotImplementedError, RuntimeError) as error:  # what zipfile raises for methods and passwords
            raise self._broken(error) from None

    def _unpacked(self, file: IO[bytes], start: bytes, member: str) -> Iterator[Block]:
        try:
            if start[:2] == b"\x1f\x8b":
                with gzip.open(file) as inner:
                    yield from self._text(_Stream(inner), member)
            else:
                yield from self._text(_Stream(file, None if member else self._source.size), member)
        except _BROKEN as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> ConfigError:
        position = self._file.tell() if self._file else 0
        return ConfigError(
            "file_broken",
            f"{self._source.name} is damaged or cut off, {position:,} of {self._source.size:,} bytes in: {error}",
            hint=tables.AGAIN,
        )

    def _text(self, stream: _Stream, member: str) -> Iterator[Block]:
        head = stream.read(BLOCK)
        self._check_kind(head, member)
        head = head.removeprefix(b"\xef\xbb\xbf")
        if _is_document(head):
            elements = documents.Splitter(head, stream.read, self._max)
            yield from _grouped(self._element(element, member) for element in elements)
        elif head.lstrip()[:1] not in {b"{", b"["} and tables.looks_like_csv(head):
            self.rows = "csv"
            stream.unread(head)
            yield from _grouped(Record(*row, member) for row in tables.csv_rows(stream.read, self._max))
        else:
            yield from self._lines(head, stream, member)

    def _check_kind(self, head: bytes, member: str) -> None:
        name = f"{self._source.name}, {member}" if member else self._source.name
        for magic, kind, command in _FOREIGN:
            if head.startswith(magic):
                raise ConfigError(f"file_{kind.lower().replace('-', '')}", f"{name} is {kind}.", hint=command)

    def _element(self, element: documents.Element, member: str) -> Record:
        if element.fault == "too_large":
            return self._too_long(element.line, element.data, member)
        error = RowError("json_invalid", "The file ends in the middle of it.") if element.fault else None
        return Record(element.line, element.data, error, member)

    def _lines(self, head: bytes, file: _Stream, member: str) -> Iterator[Block]:
        line, rest, skipping, more = 1, b"", False, head
        while more:
            end = more.rfind(b"\n") + 1
            if end:
                text, rest = b"".join((rest, memoryview(more)[:end])), more[end:]
                block, count = self._block(text, line, member, first_too_long=skipping)
                yield block
                line, skipping = line + count, False
            elif not skipping:
                rest += more
            if len(rest) > self._max:
                rest, skipping = rest[:_KEPT], True
            more = file.read(BLOCK)
        if rest:
            yield self._block(rest + b"\n", line, member, first_too_long=skipping)[0]

    def _block(self, text: bytes, line: int, member: str, *, first_too_long: bool) -> tuple[Block, int]:
        """A block of lines, without those that are empty, and how many there were. `text` ends with a newline."""
        utf8 = _is_utf8(text)
        lines = self._liner.lines(text) if utf8 and not first_too_long and len(text) <= self._max else None
        if lines is not None:
            count = len(lines.ends)
            return Block((), range(line, line + count), member=member, utf8=True, lines=lines), count
        texts = text.split(b"\n")[:-1]
        numbers: list[int] | range = range(line, line + len(texts))
        stripped = [text.strip() for text in texts]
        if first_too_long:
            stripped[0] = texts[0]
        if not all(stripped):
            numbers = [number for number, text in zip(numbers, stripped, strict=True) if text]
            stripped = [text for text in stripped if text]
        errors = {}
        if first_too_long or max(map(len, stripped), default=0) > self._max:
            for index, record in enumerate(stripped):
                if len(record) > self._max or (first_too_long and index == 0):
                    errors[index] = self._too_long_error()
                    stripped[index] = record[:_KEPT]
        return Block(stripped, numbers, errors=errors, member=member, utf8=utf8), len(texts)

    def _too_long(self, line: int, text: bytes, member: str) -> Record:
        return Record(line, text[:_KEPT], self._too_long_error(), member)

    def _too_long_error(self) -> RowError:
        return RowError("event_too_large", f"The event has more than {self._max:,} bytes.")


def _grouped(records: Iterable[Record]) -> Iterator[Block]:
    """Records in blocks; those before an error come first."""
    group: list[Record] = []
    size = 0
    try:
        for record in records:
            group.append(record)
            size += len(record.data)
            if len(group) >= _BLOCK_RECORDS or size >= BLOCK:
                yield _block_of(group)
                group, size = [], 0
    except Exception:
        yield _block_of(group)
        raise
    yield _block_of(group)


def _block_of(records: list[Record]) -> Block:
    return Block(
        [record.data for record in records],
        [record.line for record in records],
        errors={index: record.error for index, record in enumerate(records) if record.error is not None},
        member=records[-1].member if records else "",
    )


def _is_utf8(text: bytes) -> bool:
    """Whether it is UTF-8: by Arrow, which is 20 times as fast as Python and makes no copy."""
    import pyarrow as pa  # 50 ms

    offsets = (0).to_bytes(8, sys.byteorder) + len(text).to_bytes(8, sys.byteorder)
    array = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    try:
        array.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


class _Stream:
    """Reads blocks; what could be read before an error is given first, and the error raised afterwards."""

    def __init__(self, file: Any, size: int | None = None) -> None:
        """`file` has `read1`; `size`: where it ends, if not at its end."""
        self._file, self._left = file, size
        self._error: Exception | None = None
        self._before = b""

    def unread(self, data: bytes) -> None:
        """Give this first."""
        self._before = data + self._before

    def read(self, size: int) -> bytes:
        """As many bytes, or less at the end."""
        parts, self._before = [self._before] if self._before else [], b""  # what is one part is not copied
        left = size - sum(map(len, parts))
        while left > 0 and self._error is None:
            try:
                part = self._file.read1(left if self._left is None else min(left, self._left))
            except _BROKEN as error:
                self._error = error
                break
            if not part:
                break
            parts.append(part)
            left -= len(part)
            if self._left is not None:
                self._left -= len(part)
        if self._error is not None and not any(parts):
            raise self._error
        return b"".join(parts)


def _is_document(head: bytes) -> bool:
    """Whether this is one JSON document, or several that span lines; else each line is one."""
    head = head.lstrip()
    first, end, rest = head.partition(b"\n")
    if first[:1] == b"[":
        return not (_is_json(first) and rest.strip())
    if first[:1] != b"{" or not end or _is_json(first):
        return False
    whole = next(iter(documents.Splitter(head, lambda _: b"", len(head))))
    if not whole.fault and _is_json(whole.data):
        return True
    # The first one is bad, or longer than what was read: the next lines tell, if one of them is a document.
    if any(_is_json(line) and line[:1] == b"{" for line in rest[:_PROBE].split(b"\n")[:_PROBE_LINES]):
        return False
    return first.count(b"{") != first.count(b"}")


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
