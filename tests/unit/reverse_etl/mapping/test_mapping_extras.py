"""What Segment's language lacks: @hash, @date, @number, @lookup."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tidemill.errors import RowError
from tidemill.reverse_etl import mapping


def made(name: str, value: Any, **options: Any) -> Any:
    part = {name: {"value": {"@path": "$.v"}, **options}}
    return mapping.compile({"field": part}).apply({"v": value}).get("field", "left out")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


MD5_OF_A = "0cc175b9c0f1b6a831c399e269772661"
SHA256_OF_A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("a", {}, SHA256_OF_A),
        ("a", {"algorithm": "md5"}, MD5_OF_A),
        ("a", {"encoding": "base64"}, "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="),
        (" A ", {"normalize": "email"}, SHA256_OF_A),
        (" A ", {}, sha256(" A ")),
        (7, {}, sha256("7")),
        (7.0, {}, sha256("7")),
        (True, {}, sha256("true")),
        (["a", None, "A"], {"normalize": "email"}, [SHA256_OF_A, None, SHA256_OF_A]),
        (None, {}, None),
        ("", {}, ""),
        ("  ", {"normalize": "email"}, ""),
        ("ü@b.c", {"normalize": "email"}, sha256("ü@b.c")),
        (SHA256_OF_A, {"normalize": "email"}, SHA256_OF_A),  # hashed already
        (SHA256_OF_A.upper(), {}, SHA256_OF_A.upper()),
        (f" {SHA256_OF_A} ", {"normalize": "phone"}, SHA256_OF_A),
        ("ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=", {}, "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="),
        (MD5_OF_A, {"algorithm": "md5"}, MD5_OF_A),
        (MD5_OF_A, {"algorithm": "sha256"}, sha256(MD5_OF_A)),  # of another algorithm: an id, perhaps
        ("z" * 64, {}, sha256("z" * 64)),
        ("ab " * 21 + "a", {}, sha256("ab " * 21 + "a")),
    ],
)
def test_hash(value: Any, options: dict[str, Any], expected: Any) -> None:
    assert made("@hash", value, **options) == expected


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        ("+43 (664) 123-45.67", None, "+436641234567"),
        ("0043 664 1234567", None, "+436641234567"),
        ("+43 (0) 664 1234567", None, "+436641234567"),
        ("(+43) 664 1234567", "1", "+436641234567"),
        ("436641234567", None, "+436641234567"),
        ("0664/1234567", "43", "+436641234567"),
        ("664 1234567", "43", "+436641234567"),
        ("+1 415 555 0100", "43", "+14155550100"),
        ("(415) 555-0100", "1", "+14155550100"),
        ("1 (415) 555-0100", "1", "+14155550100"),
        ("06 1234 5678", "39", "+390612345678"),  # the zero belongs to the number
        (14155550100, None, "+14155550100"),
    ],
)
def test_telephone_numbers_are_normalised(value: Any, code: str | None, expected: str) -> None:
    options = {"country_code": code} if code else {}
    assert made("@hash", value, normalize="phone", **options) == sha256(expected)
    assert made("@hash", value, normalize="phone_digits", **options) == sha256(expected[1:])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0664 1234567", r"^\$\.field: @hash cannot tell the country of '0664 1234567'; country_code says which"),
        ("call me", r"^\$\.field: @hash cannot read 'call me' as a telephone number"),
        ("+12", r"cannot read"),
        ("+1234567890123456", r"cannot read"),
        ({"a": 1}, r"^\$\.field: @hash is given an object, and should be given a text"),
    ],
)
def test_what_is_no_telephone_number(value: Any, said: str) -> None:
    with pytest.raises(RowError, match=said):
        made("@hash", value, normalize="phone")


NOON = "2024-02-29T12:30:45Z"
SECONDS = 1_709_209_845


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (NOON, {}, NOON),
        ("2024-02-29 12:30:45 UTC", {}, NOON),  # as BigQuery writes it
        ("2024-02-29T13:30:45+01:00", {}, NOON),
        ("2024-02-29T12:30:45.123456789Z", {}, "2024-02-29T12:30:45.123456Z"),
        ("2024-02-29", {}, "2024-02-29T00:00:00Z"),
        (NOON, {"timezone": "Europe/Vienna"}, "2024-02-29T13:30:45+01:00"),
        ("2024-02-29T13:30:45", {"timezone": "Europe/Vienna", "format": "seconds"}, SECONDS),
        (NOON, {"timezone": "Asia/Tokyo", "format": "%d.%m.%Y %H:%M %z"}, "29.02.2024 21:30 +0900"),
        ("2024-02-29T23:30:00Z", {"timezone": "Europe/Vienna", "format": "date"}, "2024-03-01"),
        (NOON, {"format": "seconds"}, SECONDS),
        (NOON, {"format": "milliseconds"}, SECONDS * 1_000),
        (NOON, {"format": "microseconds"}, SECONDS * 1_000_000),
        ("1969-12-31T23:59:59.5Z", {"format": "seconds"}, -1),
        (SECONDS, {"parse": "seconds"}, NOON),
        (SECONDS + 0.5, {"parse": "seconds"}, "2024-02-29T12:30:45.500000Z"),
        (str(SECONDS), {"parse": "seconds"}, NOON),
        (SECONDS * 1_000, {"parse": "milliseconds"}, NOON),
        (SECONDS * 1_000_000 + 7, {"parse": "microseconds"}, "2024-02-29T12:30:45.000007Z"),
        (
            "29.02.2024 13:30:45",
            {"parse": "%d.%m.%Y %H:%M:%S", "timezone": "Europe/Vienna", "format": "seconds"},
            SECONDS,
        ),
        ("29/02/2024 +0100", {"parse": "%d/%m/%Y %z"}, "2024-02-28T23:00:00Z"),
        ([NOON, None], {"format": "date"}, ["2024-02-29", None]),
        (None, {}, None),
    ],
)
def test_date(value: Any, options: dict[str, Any], expected: Any) -> None:
    assert made("@date", value, **options) == expected


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        ("soon", {}, r"^\$\.field: @date cannot read 'soon' as iso"),
        ("", {}, r"cannot read '' as iso"),
        ("2024-02-30", {}, r"cannot read"),
        (SECONDS, {}, r"@date is given 1709209845, and should be given a text; parse: seconds reads numbers"),
        ("x", {"parse": "seconds"}, r"cannot read 'x' as seconds"),
        (1e300, {"parse": "seconds"}, r"cannot read 1e\+300 as seconds"),
        (float("nan"), {"parse": "seconds"}, r"cannot read nan as seconds"),
        (True, {"parse": "seconds"}, r"is given true, and should be given a number"),
        ("0001-01-01T00:00:00Z", {"timezone": "America/New_York"}, r"cannot read"),
        ({}, {}, r"is given an object"),
        ("2024", {"parse": "%d.%m.%Y"}, r"cannot read '2024' as %d.%m.%Y"),
    ],
)
def test_what_is_no_date(value: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError, match=said):
        made("@date", value, **options)


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("12", {}, 12),
        (" -1.50 ", {}, -1.5),
        ("1e3", {}, 1000.0),
        (".5", {}, 0.5),
        (7, {}, 7),
        (True, {}, 1),
        ("12", {"type": "float"}, 12.0),
        ("12.0", {"type": "integer"}, 12),
        ("2.5", {"type": "integer", "round": 0}, 3),  # half away from zero
        ("-2.5", {"type": "integer", "round": 0}, -3),
        (2.675, {"round": 2}, 2.68),
        ("1234567890123456789012", {}, 1234567890123456789012.0),
        ("18446744073709551615", {"type": "integer"}, 18446744073709551615),
        ("n/a", {"default": None}, None),
        ("n/a", {"default": {"@path": "$.v"}}, "n/a"),
        (None, {}, None),
        (None, {"default": 0}, 0),
        (["1", "x"], {"default": 0}, [1, 0]),
        ({}, {"default": 0}, 0),
    ],
)
def test_number(value: Any, options: dict[str, Any], expected: Any) -> None:
    found = made("@number", value, **options)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        ("n/a", {}, r"^\$\.field: @number cannot read 'n/a'"),
        ("1_000", {}, "cannot read"),
        ("1,5", {}, "cannot read"),
        ("nan", {}, "cannot read"),
        ("٣", {}, "cannot read"),
        ("", {}, "cannot read"),
        ("1e999", {}, "found a number that is too large"),
        ("9" * 500, {}, "cannot read a text of 500 characters"),
        (float("inf"), {}, "too large"),
        ("1.5", {"type": "integer"}, "found 1.5, which is not a whole number; round: 0 makes it one"),
        ("18446744073709551616", {"type": "integer"}, "more than 64 bits"),
        ([1, "x"], {}, "cannot read 'x'"),
        ({}, {}, "cannot read an object"),
    ],
)
def test_what_is_no_number(value: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError, match=said):
        made("@number", value, **options)


TABLE = {"at": "Austria", "1": "one", "true": "on", "null": "never", "path": {"@path": "$.v"}, "none": None}


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("at", {}, "Austria"),
        ("AT", {}, "left out"),
        ("AT", {"default": "?"}, "?"),
        ("AT", {"default": {"@path": "$.v"}}, "AT"),
        (1, {}, "one"),
        (1.0, {}, "one"),
        (True, {}, "on"),
        (None, {}, "left out"),
        (None, {"default": None}, None),
        ("path", {}, "path"),
        ("none", {}, None),
        ({}, {"default": "?"}, "?"),
        (["at", "xx", 1], {}, ["Austria", "one"]),
        (["at", "xx"], {"default": None}, ["Austria", None]),
    ],
)
def test_lookup(value: Any, options: dict[str, Any], expected: Any) -> None:
    assert made("@lookup", value, table=TABLE, **options) == expected


@pytest.mark.parametrize("name", ["@hash", "@date", "@number"])
def test_what_is_missing_stays_missing(name: str) -> None:
    assert mapping.compile({"field": {name: {"value": {"@path": "$.gone"}}}}).apply({}) == {}
