"""Reads files record by record, with bounded memory: plain, gzip or zip; JSON lines, one JSON document, CSV, Parquet.

Which it is, is told by the first bytes, not by the name.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from tidemill.errors import ConfigError, RowError
from tidemill.events import documents, tables

BLOCK = 4 * 1024 * 1024
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


class Record(NamedTuple):
    """One JSON document of a file, or why there is none. `line`: where it begins, from 1."""

    line: int
    data: bytes
    error: RowError | None = None
    member: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """A file to load. `key` identifies its content; `name` is for people."""

    path: Path
    name: str
    size: int
    key: str


def open_source(name: str, spool: Path) -> Source:
    """The file of that name; `-` is standard input, kept in `spool` so that it can be read twice.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        path = _spooled(spool) if name == "-" else Path(name).expanduser()
        if path.is_dir():
            raise ConfigError("file_is_folder", f"{name} is a folder.", hint=f"Give its files: {name}/*")
        if path.exists() and not path.is_file():
            raise ConfigError(
                "file_is_pipe",
                f"{name} is no file that can be read twice.",
                hint="Use -: COMMAND | tidemill events load -",
            )
        digest = hashlib.blake2b(digest_size=16)
        size = 0
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise ConfigError(
            "file_unreadable", f"{name} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from None
    if size == 0:
        raise ConfigError("file_empty", f"{name} is empty.", hint="Nothing was loaded.")
    return Source(path, "standard input" if name == "-" else name, size, digest.hexdigest())


def _spooled(spool: Path) -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=spool, prefix="stdin-", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
    return Path(file.name)


class Reader:
    """The records of a file, in order. `position` tells how many of its bytes were read, for a progress bar."""

    def __init__(self, source: Source, max_bytes: int) -> None:
        """`max_bytes`: a longer record is not held, but reported."""
        self._source = source
        self._max = max_bytes
        self._file: IO[bytes] | None = None
        self._share = 0.0
        self.rows: str | None = None  #: csv or parquet, if it is one of these

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        try:
            return max(self._file.tell() if self._file else 0, int(self._share * self._source.size))
        except ValueError:
            return self._source.size

    def __iter__(self) -> Generator[Record, None, None]:
        """Yield each record. A file that breaks off yields what it holds and then raises ConfigError."""
        with self._source.path.open("rb") as file:
            self._file = file
            start = file.read(4)
            file.seek(0)
            if start == b"PAR1":
                self.rows = "parquet"
                for row in tables.parquet_rows(self._source.path, self._progress):
                    yield Record(*row)
            elif start == b"PK\x03\x04":
                yield from self._zip(file)
            else:
                yield from self._unpacked(file, start, "")

    def _progress(self, share: float) -> None:
        self._share = share

    def _zip(self, file: IO[bytes]) -> Iterator[Record]:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in sorted(archive.infolist(), key=lambda item: item.filename):
                    if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
                        with archive.open(member) as inner:
                            start = cast(zipfile.ZipExtFile, inner).peek(4)[:4]
                            yield from self._unpacked(inner, start, member.filename)
        except (*_BROKEN, NotImplementedError, RuntimeError) as error:
            raise self._broken(error) from None

    def _unpacked(self, file: IO[bytes], start: bytes, member: str) -> Iterator[Record]:
        try:
            if start[:2] == b"\x1f\x8b":
                with gzip.open(file) as inner:
                    yield from self._text(_Stream(inner), member)
            else:
                yield from self._text(_Stream(file), member)
        except _BROKEN as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> ConfigError:
        return ConfigError(
            "file_broken",
            f"{self._source.name} is damaged or cut off, {self.position:,} of {self._source.size:,} bytes in: {error}",
            hint=tables.AGAIN,
        )

    def _text(self, stream: _Stream, member: str) -> Iterator[Record]:
        head = stream.read(BLOCK)
        self._check_kind(head, member)
        head = head.removeprefix(b"\xef\xbb\xbf")
        if _is_document(head):
            for element in documents.Splitter(head, stream.read, self._max):
                yield self._element(element, member)
        elif head.lstrip()[:1] not in {b"{", b"["} and tables.looks_like_csv(head):
            self.rows = "csv"
            stream.unread(head)
            for line, data, error in tables.csv_rows(stream.read, self._max):
                yield Record(line, data, error, member)
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

    def _lines(self, head: bytes, file: _Stream, member: str) -> Iterator[Record]:
        line, rest, skipping = 0, head, False
        while True:
            *lines, rest = rest.split(b"\n")
            for text in lines:
                line += 1
                if skipping:
                    skipping = False
                    yield self._too_long(line, text, member)
                elif len(text) > self._max:
                    yield self._too_long(line, text, member)
                elif text := text.strip():
                    yield Record(line, text, member=member)
            if len(rest) > self._max:
                rest, skipping = rest[:1000], True
            block = file.read(BLOCK)
            if not block:
                break
            rest = rest[:1000] + block if skipping and b"\n" not in block else rest + block
        if skipping:
            yield self._too_long(line + 1, rest, member)
        elif rest := rest.strip():
            yield Record(line + 1, rest, member=member)

    def _too_long(self, line: int, text: bytes, member: str) -> Record:
        error = RowError("event_too_large", f"The event has more than {self._max:,} bytes.")
        return Record(line, text[:1000], error, member)


class _Stream:
    """Reads blocks; what could be read before an error is given first, and the error raised afterwards."""

    def __init__(self, file: Any) -> None:
        """`file` has `read1`."""
        self._file = file
        self._error: Exception | None = None
        self._before = b""

    def unread(self, data: bytes) -> None:
        """Give this first."""
        self._before = data + self._before

    def read(self, size: int) -> bytes:
        """As many bytes, or less at the end."""
        parts, self._before = [self._before], b""
        left = size - len(parts[0])
        while left > 0 and self._error is None:
            try:
                part = self._file.read1(left)
            except _BROKEN as error:
                self._error = error
                break
            if not part:
                break
            parts.append(part)
            left -= len(part)
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
