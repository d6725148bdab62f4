"""What is said of other people's servers holds no secret."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.outbound import network

URL = "https://user%40acme:p%C3%A4ss-word@hooks.example.com:8443/services/T0/SECRETPATH?key=SECRETKEY&v=1"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Cannot POST /services/T0/SECRETPATH", "Cannot POST ********"),
        ("no route services/T0/SECRETPATH here", "no route services/T0/******** here"),
        ("unknown hook SECRETPATH.", "unknown hook ********."),
        ("key SECRETKEY is not known", "key ******** is not known"),
        ("?key=SECRETKEY&v=1 is wrong", "?******** is wrong"),
        ("päss-word of user@acme", "******** of ********"),
        ("p%C3%A4ss-word of user%40acme", "******** of ********"),
        (f"GET {URL}", "GET ********"),
        ("Cannot POST /services/T0/SEC", "Cannot POST ********"),
        ("hooks.example.com answers v1 on 8443", "hooks.example.com answers v1 on 8443"),
    ],
)
def test_parts_of_a_secret_address_are_blotted_out(said: str, left: str) -> None:
    assert network.scrubbed(said, [URL]) == left
    assert "SEC" not in network.without(ConfigError("x", said), [URL]).message


def test_an_address_without_a_secret_part_leaves_texts_as_they_are() -> None:
    for url in ("https://example.com", "https://example.com/", "https://[::1", "http://example.com/v1"):
        assert network.scrubbed("Cannot POST / on /v1: v1", [url]) == "Cannot POST / on /v1: v1"


def test_an_empty_secret_blots_nothing_out() -> None:
    assert network.scrubbed("a text", ["", "secret"]) == "a text"


@given(st.text(min_size=5, max_size=30))
def test_a_secret_is_blotted_out_as_json_and_addresses_quote_it(secret: str) -> None:
    for form in (secret, json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe="", errors="replace")):
        assert network.scrubbed(f"\\x01{form}\\x02", [secret]) == "\\x01********\\x02"


@given(st.text("ab", min_size=5, max_size=12), st.integers(4, 12), st.text("ab", max_size=6))
def test_a_secret_that_was_cut_off_is_blotted_out(secret: str, size: int, before: str) -> None:
    found = network.scrubbed(f"{before} {secret[:size]}", [secret])
    assert found.endswith("********")
    assert secret[:size] not in found.removeprefix(before)
