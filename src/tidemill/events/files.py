"""Reads files record by record, with bounded memory: plain, gzip or zip; JSON lines, one JSON document, CSV, Parquet.

Which it is, is told by the first bytes, not by the name.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from tidemill.errors import ConfigError, RowError

BLOCK = 4 * 1024 * 1024
#: A JSON document over several lines is held whole; a larger one must be given as JSON lines.
MAX_DOCUMENT = 256 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Record:
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
        self.rows: str | None = None  #: csv or parquet, if it is one of these

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        try:
            return self._file.tell() if self._file else 0
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
                yield from self._parquet()
            elif start[:2] == b"PK":
                yield from self._zip(file)
            else:
                yield from self._unpacked(file, start, "")

    def _zip(self, file: IO[bytes]) -> Iterator[Record]:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in sorted(archive.infolist(), key=lambda item: item.filename):
                    if not member.is_dir():
                        with archive.open(member) as inner:
                            opened = io.BufferedReader(inner)  # type: ignore[type-var]  # it is a raw reader
                            yield from self._unpacked(opened, opened.peek(4)[:4], member.filename)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise self._broken(error) from None

    def _unpacked(self, file: IO[bytes], start: bytes, member: str) -> Iterator[Record]:
        try:
            if start[:2] == b"\x1f\x8b":
                with gzip.open(file) as inner:
                    yield from self._text(inner, member)
            else:
                yield from self._text(file, member)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> ConfigError:
        return ConfigError(
            "file_broken",
            f"{self._source.name} is damaged or cut off: {error}",
            hint="What came before is loaded. Get the file again and load that: nothing is added twice.",
        )

    def _text(self, file: Any, member: str) -> Iterator[Record]:
        head = file.read(BLOCK)
        if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise ConfigError(
                "file_utf16", f"{self._source.name} is UTF-16.", hint="Convert it: iconv -f UTF-16 -t UTF-8 FILE"
            )
        head = head.removeprefix(b"\xef\xbb\xbf")
        first = head.lstrip()[:1]
        if first in {b"{", b"["}:
            whole = not _is_document(head.lstrip().split(b"\n", 1)[0]) and b"\n" in head.lstrip()
            yield from self._document(head, file, member) if whole else self._lines(head, file, member)
        elif self.rows != "csv" and first and _looks_like_csv(head):
            self.rows = "csv"
            yield from self._csv(head, file)
        else:
            yield from self._lines(head, file, member)

    def _lines(self, head: bytes, file: Any, member: str) -> Iterator[Record]:
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
        error = RowError("event_too_large", f"The line has more than {self._max:,} bytes.")
        return Record(line, text[:1000], error, member)

    def _document(self, head: bytes, file: Any, member: str) -> Iterator[Record]:
        """One JSON document over several lines: an array gives its elements, several objects each one."""
        data = head + file.read(MAX_DOCUMENT)
        if len(data) > MAX_DOCUMENT:
            raise ConfigError(
                "document_too_large",
                f"{self._source.name} is one JSON document of more than {MAX_DOCUMENT // 2**20} MB.",
                hint="Make JSON lines of it: jq -c '.[]' FILE",
            )
        position, decoder = 0, json.JSONDecoder()
        text = data.decode("utf-8", "surrogateescape")
        if text.lstrip()[:1] == "[":
            yield from self._array(data, member)
            return
        while position < len(text):
            if text[position].isspace():
                position += 1
                continue
            line = text.count("\n", 0, position) + 1
            try:
                _, end = decoder.raw_decode(text, position)
            except (ValueError, RecursionError) as error:
                rest = text[position:].encode("utf-8", "surrogateescape")
                yield Record(line, rest[:1000], RowError("json_invalid", f"This is not JSON: {error}."), member)
                return
            yield Record(line, text[position:end].encode("utf-8", "surrogateescape"), member=member)
            position = end

    def _array(self, data: bytes, member: str) -> Iterator[Record]:
        try:
            elements = msgspec.json.decode(data, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as error:
            yield Record(1, data[:1000], RowError("json_invalid", f"The document is not JSON: {error}."), member)
            return
        line, seen = 1, 0
        for element in elements:
            text = bytes(element)
            place = data.find(text, seen)
            line += data.count(b"\n", seen, place)
            seen = place
            if len(text) > self._max:
                yield self._too_long(line, text, member)
            else:
                yield Record(line, text, member=member)

    def _csv(self, head: bytes, file: Any) -> Iterator[Record]:
        import csv  # noqa: PLC0415

        csv.field_size_limit(self._max)
        text = io.TextIOWrapper(
            io.BufferedReader(_Joined(head, file)), encoding="utf-8", errors="surrogateescape", newline=""
        )
        sample = head[:65536].decode("utf-8", "replace")
        delimiter = max(",;\t|", key=sample.split("\n", 1)[0].count)
        rows = csv.reader(text, delimiter=delimiter)
        try:
            names = next(rows)
            for row in rows:
                if not row:
                    continue
                if len(row) != len(names):
                    error = RowError("csv_columns", f"The row has {len(row)} fields, the header {len(names)}.")
                    yield Record(rows.line_num, delimiter.join(row).encode("utf-8", "surrogateescape")[:1000], error)
                    continue
                fields = {name: value for name, value in zip(names, row, strict=True) if value != ""}
                yield Record(rows.line_num, json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogateescape"))
        except csv.Error as error:
            raise self._broken(error) from None

    def _parquet(self) -> Iterator[Record]:
        import pyarrow as pa  # noqa: PLC0415 - heavy
        from pyarrow import parquet  # noqa: PLC0415

        number = 0
        try:
            with parquet.ParquetFile(self._source.path) as file:
                for batch in file.iter_batches(batch_size=2_000):
                    for row in batch.to_pylist():
                        number += 1
                        data = json.dumps(row, default=_parquet_value, ensure_ascii=False)
                        yield Record(number, data.encode("utf-8", "surrogatepass"))
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None


def _parquet_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _is_document(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        # A first line that is bad JSON, but ends as an object does, is a bad line and not the start of a document.
        return line.rstrip()[-1:] in {b"}", b"]"} and line.count(b"{") == line.count(b"}")
    return True


def _looks_like_csv(head: bytes) -> bool:
    lines = head.split(b"\n", 2)
    return len(lines) > 1 and any(lines[0].count(mark) for mark in (b",", b";", b"\t", b"|")) and b"{" not in lines[0]


class _Joined(io.RawIOBase):
    """What was read already, and then the rest of the file."""

    def __init__(self, head: bytes, file: Any) -> None:
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._file.read(len(buffer))
        self._head = self._head[len(data) :] if self._head else b""
        buffer[: len(data)] = data
        return len(data)
