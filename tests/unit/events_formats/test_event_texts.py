"""JSON texts stay as they came, and nothing passes that a strict reader would refuse."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemill.errors import RowError
from tidemill.events.formats import text
from tidemill.events.formats.event import Event
from tidemill.events.formats.posthog import PostHog

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)


def parsed(record: bytes) -> Event:
    (event,) = PostHog().parse(record, 0)
    assert isinstance(event, Event)
    return event


def refused(constant: str) -> None:
    raise ValueError(constant)


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_any_object_survives_as_its_text(properties: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    properties = json.loads(json.dumps(properties).replace("$", "S").replace('"distinct_id"', '"d"'))
    given_text = json.dumps(properties, indent=indent, ensure_ascii=ascii_only)
    event = parsed(f'{{"event":"e","distinct_id":"d","properties":{given_text}}}'.encode())
    assert event.properties == given_text


@given(OBJECTS)
def test_an_object_in_a_text_is_taken_out_of_it(properties: dict[str, Any]) -> None:
    inner = json.dumps(properties)
    event = parsed(json.dumps({"event": "e", "distinct_id": "d", "properties": inner}).encode())
    assert event.properties == inner


@given(st.binary(max_size=20), st.data())
def test_what_passes_is_json_for_a_strict_reader(noise: bytes, data: st.DataObject) -> None:
    record = b'{"event":"e","distinct_id":"d","properties":{"a":["x\\n\\u00e9",-1.5e3,true,null],"b":{"c":0}}}'
    at = data.draw(st.integers(0, len(record)))
    cut = data.draw(st.integers(0, 4))
    spoiled = record[:at] + noise + record[at + cut :]
    try:
        events = PostHog().parse(spoiled, 0)
    except RowError:
        return
    for event in events:
        if isinstance(event, Event):
            assert isinstance(json.loads(event.properties, parse_constant=refused), dict)
            event.properties.encode()


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "tru",
        "[1,]",
        '{"b":1,}',
        "'x'",
        '"\x01"',
        '"\\q"',
        '"\\u12"',
        "1/*c*/",
    ],
)
def test_what_is_not_json_is_refused(value: str) -> None:
    with pytest.raises(RowError) as caught:
        PostHog().parse(f'{{"event":"e","distinct_id":"d","properties":{{"a":{{"c":{value}}}}}}}'.encode(), 0)
    assert caught.value.code == "json_invalid"


@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_what_is_not_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(RowError) as caught:
        PostHog().parse(b'{"event":"e","distinct_id":"d","properties":{"a":"' + raw + b'"}}', 0)
    assert caught.value.code == "invalid_utf8"


@given(st.text('\\ud8dcDC90aAfF"x', max_size=30))
@example("\\ud83d\\ude00")
@example("\\ud83d\\\\ude00")
@example("\\ud83d\\ud83d\\ude00")
def test_half_of_a_surrogate_pair_is_replaced_and_nothing_else(inside: str) -> None:
    source = f'{{"a":"{inside}"}}'
    try:
        wanted = json.loads(source)
    except ValueError:
        return
    mended = text.mend(source.encode())
    clean = {
        name: "".join("\ufffd" if "\ud800" <= mark <= "\udfff" else mark for mark in value)
        for name, value in wanted.items()
    }
    assert json.loads(mended) == clean
    text.fields(mended)
    if wanted == clean:
        assert mended == source.encode()


def test_names_and_ids_hold_no_nul_and_no_half_pairs() -> None:
    event = parsed(b'{"event":"a\\u0000","distinct_id":"b\\u0000\\ud800","uuid":"\\ud83d","ip":"1\\u0000"}')
    assert (event.event, event.distinct_id, event.uuid, event.ip) == ("a\ufffd", "b\ufffd\ufffd", "\ufffd", "1\ufffd")


@pytest.mark.parametrize("levels", [501, 600, 100_000])
@pytest.mark.parametrize("shape", [("[", "]"), ('{"a":', "}")])
def test_too_many_levels_are_told_without_a_crash(levels: int, shape: tuple[str, str]) -> None:
    opening, closing = shape
    deep = opening * levels + "1" + closing * levels
    for record in (deep, f'{{"event":"e","distinct_id":"d","properties":{{"a":{deep}}}}}'):
        with pytest.raises(RowError) as caught:
            text.fields(record.encode())
        assert caught.value.code == "json_too_deep"


def test_five_hundred_levels_pass() -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert text.json_object(text.fields(f'{{"p":{json.dumps(deep)}}}'.encode())["p"], "p") == deep
    assert text.fields(deep.encode())


def test_brackets_in_strings_are_no_levels() -> None:
    record = json.dumps({"event": "e", "distinct_id": "d", "properties": {"a": '[{\\"' * 2000}})
    assert parsed(record.encode()).event == "e"


def test_a_string_without_an_end_takes_no_time() -> None:
    with pytest.raises(RowError):  # would run for hours if each quote began a search to the end
        text.fields(b"[" * 501 + b'"' + b'\\"' * 500_000)
