"""A usual record is read in a quicker way: that must give what the thorough way gives, or nothing."""

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tidemill.errors import RowError
from tidemill.events import files, opening, parse
from tidemill.events.blocks import Liner
from tidemill.events.formats import posthog_quick
from tidemill.events.formats.event import Event
from tidemill.events.formats.generic import Mapping
from tidemill.events.formats.posthog import PostHog
from tidemill.events.opening import BLOCK
from tidemill.events.parse import Batch, Parser, columns_of, row_of, to_arrow

PAYLOADS = Path(__file__).parent.parent.parent / "data" / "payloads"
USUAL = {
    "uuid": "0190-a",
    "event": "$pageview",
    "distinct_id": "u1",
    "timestamp": "2026-01-02T03:04:05.678901Z",
    "properties": {"$ip": "127.0.0.1", "$set": {"a": 1}, "$set_once": {"b": "ü"}, "list": [[1], {"c": []}]},
}
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=[]), max_size=8),
    st.sampled_from(["", " ", "\0", "\ud800", "2026-01-01", "20260101", "10000-01-01", "9999-12-31T23:59:59-10:00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$set", "", "ü"]), inner),
    max_leaves=5,
)
PROPERTIES = st.dictionaries(
    st.sampled_from(["$set", "$set_once", "$ip", "distinct_id", "properties", "x"]), VALUES, max_size=4
)
OTHER_FIELDS = [
    *("ip", "team_id", "$set", "set", "$set_once", "set_once", "$distinct_id", "offset", "sent_at", "elements"),
    *("elements_chain", "batch", "api_key", "token", "$token", "created_at", "person_id"),
]
#: Records that are near to the usual one: fields are missing, changed, or there are others.
RECORDS = st.tuples(
    st.dictionaries(
        st.sampled_from([*USUAL, *OTHER_FIELDS]),
        VALUES | PROPERTIES,
        max_size=2,
    ),
    PROPERTIES,
    st.sets(st.sampled_from(list(USUAL)), max_size=1),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)


def compare(record: bytes) -> bool:
    """Whether it was read quickly; fails if the thorough way would have given something else."""
    quick, unusual = PostHog().quick([record])
    if unusual:
        return False
    quick.pop("team_id")
    assert to_arrow(quick, 1, 7).equals(thoroughly([record]))
    return True


def encoded(given: tuple[Any, ...]) -> bytes:
    """One of RECORDS as the text of a line."""
    changed, properties, without, ascii_only, separators = given
    record = {**USUAL, "properties": {**USUAL["properties"], **properties}, **changed}  # type: ignore[dict-item]
    for field in without:
        del record[field]
    text = json.dumps(record, ensure_ascii=ascii_only, separators=separators)
    return text.encode("utf-8", "surrogatepass") if ascii_only else text.encode("utf-8", "replace")


def thoroughly(records: list[bytes]) -> pa.RecordBatch:
    """The events of records that can be taken, of team 7."""
    rows = []
    for record in records:
        try:
            parsed = PostHog().parse(record, 0)
        except RowError:
            continue
        for event in parsed:
            assert isinstance(event, Event)
            event.team_id = 7
            rows.append(row_of(event))
    return to_arrow(columns_of(rows), len(rows), 7)


@given(RECORDS)
@settings(max_examples=600)
@example(({"ip": ""}, {"$ip": "1.2.3.4"}, set(), True, (",", ":")))
def test_the_quick_way_gives_what_the_thorough_one_gives(given: tuple[Any, ...]) -> None:
    compare(encoded(given))


@given(st.lists(RECORDS.map(encoded) | st.just(json.dumps(USUAL).encode()), min_size=1, max_size=4))
@settings(max_examples=300)
def test_lines_at_once_give_what_the_thorough_way_gives(records: list[bytes]) -> None:
    lines = Liner().lines(b"\n".join(records) + b"\n")
    assert lines is not None
    quick = PostHog().quick_lines(lines)
    if quick is not None:
        quick.pop("team_id")
        assert to_arrow(quick, len(records), 7).equals(thoroughly(records))


def test_usual_lines_are_read_at_once() -> None:
    records = [json.dumps({**USUAL, "uuid": f"{n}", "properties": {"text": 'a "b"\n'}}).encode() for n in range(3)]
    lines = Liner().lines(b"\n".join(records) + b"\n")
    assert lines is not None
    quick = PostHog().quick_lines(lines)
    assert quick is not None
    assert quick["uuid"] == ["0", "1", "2"]


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
PIECES = [json.dumps(USUAL).encode(), b'{"event":"e","properties":', b"{", b"}", b"\n", b"\n", b"\n", b"\r", b" ", b","]
PIECES += [b"[" * 501, b"]" * 501, b"\xff", b'"', b'{"a":']


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12))
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([PIECES[0], b"\n", b'{"a":', b"\n", b"{", b"}", b"}", PIECES[0], b"\n"])
@example([PIECES[0], PIECES[0], b"\n", b"\n"])
@example([PIECES[1], PIECES[0], PIECES[3]])
@example([b'{"event":"e","properties":', b"\n", b"{", b"}", b"}", b"\n", PIECES[0], PIECES[0], b"\n"])
def test_lines_at_once_or_one_by_one_is_all_the_same(tmp_path: Path, pieces: list[bytes]) -> None:
    path = tmp_path / "file"
    path.write_bytes(json.dumps(USUAL).encode() + b"\n" + b"".join(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "dt", Mock(datetime=Mock(now=lambda _: NOON), UTC=dt.UTC))  # of events without a time
        at_once = parsed(path)
        patch.setattr(Liner, "lines", lambda *_: None)
        one_by_one = parsed(path)
    assert [table.to_pylist() for table in whole(at_once)] == [table.to_pylist() for table in whole(one_by_one)]
    assert at_once.refused == one_by_one.refused
    assert at_once.last_ordinal == one_by_one.last_ordinal


def whole(batch: Batch) -> list[pa.Table]:
    return [pa.Table.from_batches(batch.tables)] if batch.tables else []


MOMENTS = st.one_of(
    st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes().map(str),
    st.from_regex(
        r"(0000|0001|1969|2026|9999)-(02-29|12-31|13-01|6-1)([T t][0-2]\d(:\d\d){0,2}([.,]\d{1,10})?)?"
        r"(Z|z| UTC|[+-]\d\d(:?\d\d)?)?",
        fullmatch=True,
    ),
)


@given(MOMENTS)
@settings(max_examples=600)
@example("2026-01-02T03:04:05.1234567Z")
@example("2016-12-31T23:59:60Z")
@example("0001-01-01T00:00:00+10:00")
@example("9999-12-31T23:59:59.999999-00:01")
@example("2026-01-02T24:00:00Z")
def test_times_are_read_alike(moment: str) -> None:
    compare(json.dumps({**USUAL, "timestamp": moment}).encode())


@given(st.lists(st.sampled_from([*range(12)]), max_size=60))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_usual_and_unusual_records_stay_in_order(tmp_path: Path, kinds: list[int]) -> None:
    unusual = [
        b"{no",
        b'{"event": "e"}',
        b'{"event": "e", "distinct_id": 5, "uuid": "5"}',
        b'{"uuid":"x"',
        b'"event":"y"}',
    ]
    records = [
        unusual[kind] if kind < len(unusual) else json.dumps({**USUAL, "uuid": f"{number}"}).encode()
        for number, kind in enumerate(kinds)
    ]
    (tmp_path / "file").write_bytes(b"\n".join([json.dumps(USUAL).encode(), *records]))
    batch = parsed(tmp_path / "file")
    table = pa.Table.from_batches(batch.tables)
    expected = [json.dumps(USUAL).encode(), *(record for record in records if record not in unusual[:2] + unusual[3:])]
    assert table.select(["uuid", "properties"]).equals(
        pa.Table.from_batches([thoroughly(expected)]).select(["uuid", "properties"])
    )
    assert batch.rows + len(batch.refused) == len(records) + 1


def test_each_event_is_of_the_team_that_it_names_unless_the_load_names_one(tmp_path: Path) -> None:
    teams = [3, None, 4, None]
    lines = [json.dumps({**USUAL, "team_id": team}) for team in teams] + ['{"event":"odd","uuid":"u","distinct_id":7}']
    (tmp_path / "file").write_text("\n".join(lines))
    for named, expected in ((False, [3, 1, 4, 1, 1]), (True, [1, 1, 1, 1, 1])):
        batch = parsed(tmp_path / "file", team_given=named)
        assert pa.Table.from_batches(batch.tables)["team_id"].to_pylist() == expected


def test_usual_records_are_read_quickly() -> None:
    for separators in ((",", ":"), (", ", ": ")):
        assert compare(json.dumps(USUAL, separators=separators).encode())
        assert compare(json.dumps(USUAL, ensure_ascii=False, separators=separators).encode() + b"\r")
    for more in (
        {"api_key": "phc_1", "offset": 20, "type": "capture", "library": "posthog-python"},
        {"$set": {"beside": 1}, "$set_once": {}, "team_id": 3},
        {"created_at": "2026-01-02", "person_id": "p", "elements_chain": "a:b", "set": None, "set_once": {"x": 1}},
        {"properties": {"distinct_id": "u2", "token": "phc_1"}, "distinct_id": None},
    ):
        assert compare(json.dumps({**USUAL, **more}).encode()), more
    large = {**USUAL, "properties": {**USUAL["properties"], "many": [{"n": number} for number in range(200)]}}  # type: ignore[dict-item]
    assert compare(json.dumps(large).encode())


@pytest.mark.parametrize("levels", [499, 500, 501, 900])
@pytest.mark.parametrize("kind", ["[]", "{}"])
@pytest.mark.parametrize("padding", [0, 900, 5000])
def test_it_does_not_take_what_is_nested_too_deep(levels: int, kind: str, padding: int) -> None:
    opening, closing = ("[", "]") if kind == "[]" else ('{"":', "}")
    deep = opening * (levels - 2) + "1" + closing * (levels - 2)  # within the record and its properties
    plain = json.dumps({**USUAL, "properties": {"pad": "x" * padding, "deep": 0}})
    record = plain.replace('"deep": 0', f'"deep": {deep}').encode()
    _, unusual = PostHog().quick([record])
    if levels > 500:
        assert unusual
        with pytest.raises(RowError, match="500 levels"):
            PostHog().parse(record, 0)
    elif not unusual:
        assert compare(record)


@pytest.mark.parametrize("kind", ["[]", "{}"])
@pytest.mark.parametrize("place", ["properties", "$set"])
def test_a_body_of_many_lists_is_usual_unless_one_is_nested_too_deep(kind: str, place: str) -> None:
    opening, closing = ("[", "]") if kind == "[]" else ('{"":', "}")
    many = json.dumps({**USUAL, "properties": {"lists": [["a"]] * 20}})
    for levels, taken in ((500, True), (501, False)):
        deep = opening * (levels - 2) + "1" + closing * (levels - 2)
        one = json.dumps({**USUAL, place: {"deep": 0}}).replace('"deep": 0', f'"deep": {deep}')
        body = f'{{"batch": [{", ".join([many] * 100 + [one])}]}}'
        assert (posthog_quick.body(body.encode()) is not None) == taken


def test_numbers_that_no_float_holds_stay_in_the_properties() -> None:
    for name in ("$ip", "distinct_id", "other"):
        plain = json.dumps({**USUAL, "properties": {name: 0}})
        record = plain.replace(f'"{name}": 0', f'"{name}": 1e999').encode()
        compare(record)
        (event,) = PostHog().parse(record, 0)
        assert isinstance(event, Event)
        assert "1e999" in event.properties


def test_a_block_with_a_byte_that_is_no_utf8_loses_only_that_record(tmp_path: Path) -> None:
    good = json.dumps(USUAL, ensure_ascii=False).encode()
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc3"):
        lines = [good, good.replace("ü".encode(), bad), good]
        (tmp_path / "file").write_bytes(b"\n".join(lines))
        batch = parsed(tmp_path / "file")
        assert (batch.rows, [refused.code for refused in batch.refused]) == (2, ["invalid_utf8"])


def test_characters_that_lie_across_two_blocks(tmp_path: Path) -> None:
    for shift in range(4):
        first = (
            b" " * shift + json.dumps({**USUAL, "properties": {"x": "€" * (BLOCK // 3)}}, ensure_ascii=False).encode()
        )
        (tmp_path / "file").write_bytes(first + b"\n" + first)
        batch = parsed(tmp_path / "file")
        assert (batch.rows, batch.refused) == (2, [])
        assert all(json.loads(text.as_py())["x"] == "€" * (BLOCK // 3) for text in batch.tables[0]["properties"])


def parsed(path: Path, *, team_given: bool = False) -> Batch:
    source = opening.open_source(str(path), path.parent)
    parser, batch, before = Parser(source, "posthog", Mapping(), 1, team_given=team_given), Batch(1000, 2**30), 0
    for block in files.Reader(source, 20_000_000):
        index = 0
        while index < len(block):
            index = parser.fill(batch, block, index, before, None)
        before += len(block)
    return batch


def test_real_requests_alike() -> None:
    for path in sorted(PAYLOADS.glob("posthog*")):
        reader = files.Reader(opening.open_source(str(path), Path()), 20_000_000)
        for record in itertools.chain.from_iterable(reader):
            if record.error is None:
                compare(record.data)
