"""Files are cut into records: lines, documents over several lines, arrays; packed, damaged, too long."""

import gzip
import io
import itertools
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.events import files, opening
from tidemill.events.blocks import Record
from tidemill.events.documents import Splitter

LARGE = 20 * 2**20
EVENTS = [
    {"event": f"e{number}", "distinct_id": "ü", "properties": {"n": number, "s": '}]\n\\"'}} for number in range(300)
]
LINES = "\n".join(json.dumps(event) for event in EVENTS).encode()


def records(path: Path, max_bytes: int = LARGE) -> list[Record]:
    reader = files.Reader(opening.open_source(str(path), path.parent / "spool"), max_bytes)
    return list(itertools.chain.from_iterable(reader))


def values(found: list[Record]) -> list[Any]:
    return [json.loads(record.data) for record in found if record.error is None]


def until_broken(path: Path) -> tuple[list[Record], ConfigError]:
    found: list[Record] = []
    with pytest.raises(ConfigError) as caught:
        for block in files.Reader(opening.open_source(str(path), path.parent), LARGE):
            found += block
    return found, caught.value


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return write


Write = Callable[[bytes], Path]
ARRAY = json.dumps(EVENTS).encode()


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        LINES + b"\n",
        LINES.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + LINES,
        b"\n \n" + LINES.replace(b"\n", b"\n\n"),
        ARRAY,
        b"\xef\xbb\xbf\n" + ARRAY + b"\n",
        json.dumps(EVENTS, indent=2).encode(),
        b"[\n" + LINES.replace(b"\n", b",\n") + b"\n]\n",
        "\n".join(json.dumps(event, indent=1) for event in EVENTS).encode(),
        b"\n".join([json.dumps(EVENTS[:150], indent=1).encode(), json.dumps(EVENTS[150:]).encode()]),
        gzip.compress(LINES, mtime=0),
        gzip.compress(LINES[:5000], mtime=0) + gzip.compress(LINES[5000:], mtime=0),
        gzip.compress(ARRAY, mtime=0),
    ],
)
def test_every_way_to_write_events_gives_each_once(file: Write, data: bytes) -> None:
    assert values(records(file(data))) == EVENTS


def test_a_line_knows_its_number(file: Write) -> None:
    assert [record.line for record in records(file(b'{"a":1}\n\n{"a":2}\n{"a":3}'))] == [1, 3, 4]
    assert [record.line for record in records(file(b'[\n{"a":\n1},\n\n{"a":2}]'))] == [2, 5]


def test_a_batch_over_several_lines_is_one_record(file: Write) -> None:
    body = {"api_key": "k", "batch": EVENTS[:3]}
    spread = b'{"api_key":"k","batch":[\n' + b",\n".join(json.dumps(event).encode() for event in EVENTS[:3]) + b"\n]}"
    assert values(records(file(json.dumps(body, indent=2).encode()))) == [body]
    assert values(records(file(spread))) == [body]


@pytest.mark.parametrize(
    "bad",
    [b'{"event":"a","prop', b'vent":"a","b":1}', b'{"event":"a{","b":}', b"# comment", b"{'event':'a'}", b"{", b'"'],
)
def test_a_bad_first_line_spoils_only_itself(file: Write, bad: bytes) -> None:
    first, *others = records(file(bad + b"\n" + LINES))
    assert first.data == bad
    assert values(others) == EVENTS


def test_an_array_that_is_cut_off_gives_what_is_whole(file: Write) -> None:
    *whole, last = records(file(json.dumps(EVENTS, indent=2).encode()[:-40]))
    assert values(whole) == EVENTS[:-1]
    assert last.error is not None
    assert last.error.code == "json_invalid"


@pytest.mark.parametrize("shape", ["line", "element", "string"])
def test_what_is_too_long_is_passed_over(file: Write, shape: str) -> None:
    large = {"line": b'{"a":[' + b'{"b":1},' * 900_000 + b"1]}", "string": b'"' + b'\\"' * 3_000_000 + b'"'}
    data = {
        "line": b'{"a":1}\n' + large["line"] + b'\n{"a":2}',
        "element": b'[{"a":1},' + large["line"] + b',{"a":2}]',
        "string": b'[{"a":1},{"x":' + large["string"] + b'},{"a":2}]',
    }[shape]
    first, second, third = records(file(data), 1000)
    assert values([first, third]) == [{"a": 1}, {"a": 2}]
    assert second.error is not None
    assert second.error.code == "event_too_large"
    assert len(second.data) <= 1000
    assert third.line == (3 if shape == "line" else 1)


def test_a_cut_gzip_gives_every_whole_line(file: Write) -> None:
    packed = gzip.compress("\n".join(json.dumps({"n": n, "r": os.urandom(20).hex()}) for n in range(9000)).encode())
    found, error = until_broken(file(packed[: len(packed) // 2]))
    assert error.code == "file_broken"
    assert 4000 < len(found) < 5000
    assert [value["n"] for value in values(found)] == list(range(len(found)))


def test_a_zip_gives_its_members_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/2.json.gz", gzip.compress(b'{"n":3}\n{"n":4}', mtime=0))
        archive.writestr("a/1.json", b'{"n":1}\n{"n":2}')
        archive.writestr("__MACOSX/a/._1.json", b"\0\1\2")
        archive.writestr("empty.json", b"")
    found = records(path)
    assert [(record.member, json.loads(record.data)["n"]) for record in found] == [
        ("a/1.json", 1),
        ("a/1.json", 2),
        ("b/2.json.gz", 3),
        ("b/2.json.gz", 4),
    ]


def test_a_damaged_zip_gives_what_comes_before(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.json", LINES)
        archive.writestr("2.json", LINES)
    data = bytearray(buffer.getvalue())
    middle = data.find(b"2.json") + 20
    data[middle : middle + 50] = b"\xff" * 50
    path = tmp_path / "damaged.zip"
    path.write_bytes(data)
    found, error = until_broken(path)
    assert values(found)[:300] == EVENTS
    assert error.code == "file_broken"
    assert str(path) in error.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('{"a":1}\n'.encode("utf-16"), "file_utf16"),
        (b"BZh91AY&SY", "file_bzip2"),
        (b"\xfd7zXZ\0\0", "file_xz"),
        (b"\x28\xb5\x2f\xfd\0\0", "file_zstd"),
        (gzip.compress(b"PAR1...", mtime=0), "file_parquet"),
        (b"PK\x03\x04broken", "file_broken"),
        (b"PAR1broken", "file_broken"),
        (b"", "file_empty"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(file: Write, data: bytes, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        records(file(data))
    assert caught.value.code == code
    assert caught.value.hint


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, code in ((tmp_path, "file_is_folder"), (pipe, "file_is_pipe"), (tmp_path / "no", "file_unreadable")):
        with pytest.raises(ConfigError) as caught:
            opening.open_source(str(path), tmp_path)
        assert caught.value.code == code


def test_the_position_reaches_the_end(file: Write) -> None:
    for data in (LINES, gzip.compress(LINES, mtime=0), ARRAY):
        source = opening.open_source(str(file(data)), Path())
        reader = files.Reader(source, LARGE)
        assert reader.position == 0
        assert sum(len(block.texts) for block in reader) == len(EVENTS)
        assert reader.position == source.size == len(data)


def test_equal_content_has_an_equal_key(tmp_path: Path) -> None:
    for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(data)
    keys = [opening.open_source(str(tmp_path / name), tmp_path).key for name in "abc"]
    assert keys[0] == keys[1] != keys[2]


ELEMENTS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(ELEMENTS, max_size=6), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 7), st.integers(0, 9)
)
def test_elements_are_found_however_the_text_is_cut(
    elements: list[Any], indent: int | None, ascii_only: bool, size: int, head: int
) -> None:
    data = json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode()
    rest = io.BytesIO(data[head:])
    found = list(Splitter(data[:head], lambda _: rest.read(size), LARGE))
    assert [json.loads(element.data) for element in found] == elements
    assert not any(element.fault for element in found)
    lines = data.split(b"\n")
    assert all(element.data.split(b"\n")[0] in lines[element.line - 1] for element in found)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), ELEMENTS, max_size=4), max_size=5),
    st.integers(1, 7),
    st.integers(2, 40),
)
def test_longer_elements_are_told_and_the_others_are_found(elements: list[Any], size: int, limit: int) -> None:
    rest = io.BytesIO(json.dumps(elements).encode())
    found = list(Splitter(b"", lambda _: rest.read(size), limit))
    assert [element.fault for element in found] == [
        "too_large" if len(json.dumps(element)) > limit else "" for element in elements
    ]
    assert [json.loads(element.data) for element in found if not element.fault] == [
        element for element in elements if len(json.dumps(element)) <= limit
    ]


@given(st.binary(max_size=60) | st.text('{}[]",\\ \na1', max_size=40).map(str.encode), st.integers(1, 7))
def test_of_any_text_nothing_is_lost(data: bytes, size: int) -> None:
    def told(text: bytes) -> bytes:
        return bytes(byte for byte in text if byte not in b"[], \t\n\r\x0b\x0c")

    rest = io.BytesIO(data)
    found = list(Splitter(b"", lambda _: rest.read(size), LARGE))
    assert told(b"".join(element.data for element in found)) == told(data)
