"""A rejected event as a line of a file: what is JSON stays as it is, what is none comes as a text to be mended."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.exports import rejects

EVENT = {
    "uuid": "u1",
    "event": 'sign "up"',
    "distinct_id": "d",
    "timestamp": dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    "team_id": 3,
    "ip": None,
    "properties": "{}",
    "set": None,
    "set_once": '{"a": 1}',
    "elements": None,
}


def test_a_line_holds_all_but_the_uuid_which_is_known() -> None:
    assert json.loads(rejects._line(dict(EVENT))) == {
        "event": 'sign "up"',
        "distinct_id": "d",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "team_id": 3,
        "properties": {},
        "$set_once": {"a": 1},
        "rejected_uuid": "u1",
    }


@pytest.mark.parametrize("text", ['{"a":\n 1e400}', '{"a": 12345678901234567890123, "a": 2}', '["\\ud83d"]'])
def test_json_is_kept_to_the_letter(text: str) -> None:
    line = rejects._line({**EVENT, "properties": text})
    assert f'"properties": {text.replace(chr(10), " ")},' in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, ""])
def test_what_is_no_json_is_a_text(text: str) -> None:
    assert json.loads(rejects._line({**EVENT, "properties": text}))["properties"] == text


@given(st.text(st.characters(codec="utf-8")))
def test_whatever_the_properties_are_it_is_one_line_of_json(text: str) -> None:
    line = rejects._line({**EVENT, "properties": text, "event": text, "distinct_id": text})
    assert len(line.split("\n")) == 1
    assert json.loads(line)["event"] == text
