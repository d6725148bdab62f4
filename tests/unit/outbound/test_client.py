"""What servers answer is read within bounds, and as it was meant."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.receivers import Web

from tidemill.errors import ConfigError, UnavailableError
from tidemill.outbound import bodies
from tidemill.outbound.client import Answer, Http
from tidemill.outbound.guard import Guard


def asked(web: Web, most_bytes: int = 1_000_000) -> Answer:
    with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http:
        return http.request("POST", web.url(), body=b"x", most_bytes=most_bytes)


def test_a_packed_answer_is_unpacked(web: Web) -> None:
    text = b'{"errors":[]}' * 20_000
    web.answers = [(200, {"Content-Encoding": "gzip"}, gzip.compress(text))]
    assert asked(web).body == text


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_an_answer_that_is_not_packed_is_read_as_it_is(web: Web, encoding: str) -> None:
    web.answers = [(200, {"Content-Encoding": encoding}, b"plain")]
    assert asked(web).body == b"plain"


def test_an_answer_that_unpacks_to_much_is_not_held(web: Web) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    web.answers = [(200, {"Content-Encoding": "gzip"}, bomb)]
    tracemalloc.start()
    try:
        with pytest.raises(UnavailableError) as caught:
            asked(web)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code == "answer_too_long"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "br", "gzip, identity, gzip"])
def test_an_answer_that_is_packed_in_a_way_that_was_not_asked_for_is_not_unpacked(web: Web, encoding: str) -> None:
    web.answers = [(200, {"Content-Encoding": encoding}, gzip.compress(gzip.compress(bytes(1_000))))]
    with pytest.raises(UnavailableError) as caught:
        asked(web)
    assert caught.value.code == "answer_packed"
    assert web.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"cut off" * 100)[:-12]], ids=["other", "cut"])
def test_an_answer_that_is_damaged_is_not_believed(web: Web, body: bytes) -> None:
    web.answers = [(200, {"Content-Encoding": "gzip"}, body)]
    with pytest.raises(UnavailableError) as caught:
        asked(web)
    assert caught.value.code == "answer_damaged"


@given(st.binary(max_size=300_000), st.integers(1, 70_000))
def test_unpacking_gives_what_was_packed_in_small_pieces(text: bytes, size: int) -> None:
    packed = zlib.compress(text, wbits=31) + b"behind its end"
    found = list(bodies.unpacked([packed[at : at + size] for at in range(0, len(packed), size)], "gzip", "host"))
    assert b"".join(found) == text
    assert max(map(len, found)) <= 65_536


def test_an_empty_body_is_empty_whatever_it_is_called() -> None:
    assert list(bodies.unpacked([], "gzip", "host")) == []


def read(body: bytes, status: int = 200) -> Any:
    return Answer(status, {}, body).json()


def test_json_is_read_though_a_text_in_it_is_no_utf_8() -> None:
    found = read('{"errors":[{"index":0,"reason":"Plan ungültig"}]}'.encode("latin-1"))
    assert found["errors"][0]["index"] == 0
    assert found["errors"][0]["reason"].startswith("Plan ung")


def test_json_is_read_though_a_number_in_it_has_no_end() -> None:
    found = read(b'{"errors":[{"index":0,"cost":%s}],"n":12345678901234567890}' % (b"9" * 5_000))
    assert found["errors"][0] == {"index": 0, "cost": float("inf")}
    assert found["n"] == 12345678901234567890


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_is_read_in_each_encoding_that_it_may_have(encoding: str) -> None:
    assert read('{"a":"ü"}'.encode(encoding)) == {"a": "ü"}


@pytest.mark.parametrize("body", [b"", b"ok", b"<html>", b"{", b"\xff\xfe"])
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert read(body) is None


def test_a_good_answer_that_is_nested_too_deep_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(UnavailableError) as caught:
        read(b"[" * 100_000)
    assert caught.value.code == "answer_nested"
    assert read(b"[" * 100_000, status=400) is None, "its status says what it is"


@pytest.mark.parametrize("token", ["", " ", "two\nlines", "cut off\r", "five €", "nul\0", "ümlaut"])
def test_a_token_that_no_header_can_hold_is_named_and_nothing_is_sent(web: Web, token: str) -> None:
    for value in (f"Bearer {token}", token):
        with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http, pytest.raises(ConfigError) as caught:
            http.request("POST", web.url(), headers={"Authorization": value}, body=b"x")
        assert caught.value.code == "header"
        assert "Authorization" in caught.value.message
        assert not token.strip() or token not in caught.value.message + caught.value.hint
    assert not web.requests


def test_a_token_with_spaces_inside_is_sent_as_it_is(web: Web) -> None:
    with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http:
        assert http.request("POST", web.url(), headers={"Authorization": "Bearer a b\tc~!"}, body=b"x").good
    assert web.requests[0].headers["authorization"] == "Bearer a b\tc~!"
