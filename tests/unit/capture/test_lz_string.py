"""What lz-string packed is unpacked as it does it, and nothing else takes long."""

from __future__ import annotations

import base64
import contextlib

import hypothesis
import pytest
from hypothesis import strategies as st

from tidemill.capture import bodies, lz_string
from tidemill.capture.bodies import Room, TooLarge, Undecodable


def packed(text: str) -> bytes:
    """As `compressToBase64` of lz-string packs it, but that it does not look for what it has met: each part is one
    character, new or known."""
    units = text.encode("utf-16-le", "surrogatepass")
    known: dict[int, int] = {}
    bits, width, until_wider, codes = "", 2, 1, 3

    def put(value: int, size: int) -> str:
        return f"{value:0{size}b}"[::-1]

    for number in range(0, len(units), 2):
        unit = int.from_bytes(units[number : number + 2], "little")
        if unit in known:
            bits += put(known[unit], width)
        else:
            bits += put(0, width) + put(unit, 8) if unit < 256 else put(1, width) + put(unit, 16)
            known[unit], codes, until_wider = codes, codes + 1, until_wider - 1
            if until_wider == 0:
                until_wider, width = 1 << width, width + 1
        if number:
            codes, until_wider = codes + 1, until_wider - 1
            if until_wider == 0:
                until_wider, width = 1 << width, width + 1
    bits += put(2, width)
    bits += "0" * (-len(bits) % 8)
    return base64.b64encode(int(bits, 2).to_bytes(len(bits) // 8))


def unpacked(body: bytes, most: int = 1_000_000, room: int = 100_000_000) -> bytes:
    with Room(room).share() as share:
        return bodies.plain(body, most, share, lz64=True)


@pytest.mark.parametrize(
    ("text", "body"),
    [  # made by lz-string 1.5.0
        ("", b"Q==="),
        ("a", b"IZA="),
        ("a" * 24, b"IY18aQ=="),
        (
            '{"event":"x","properties":{"café":"+/="}}',
            b"N4IgpgbmB2AuIC4QA8QBoQAcBOB7TY2sAlmAM6KgDGAhgGYCXiIA1APQC8IAvt0A",
        ),
        ("🦀 Zoë 漢字", b"nwbgDdgEBaD2DXaET2h1bSA="),
        ("\0ÿĀ\uffff", b"AAf8AICP//Q="),
    ],
)
def test_what_lz_string_packed_is_unpacked(text: str, body: bytes) -> None:
    assert lz_string.decompressed(body, lambda *_: None) == text.encode()


@hypothesis.given(st.text(max_size=300))
def test_any_text_comes_back(text: str) -> None:
    assert lz_string.decompressed(packed(text), lambda *_: None) == text.encode()


def test_half_an_emoji_is_replaced() -> None:
    assert lz_string.decompressed(packed("a\ud83eb"), lambda *_: None) == "a\ufffdb".encode()


@hypothesis.given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_refused(body: bytes) -> None:
    for given in (body, base64.b64encode(body)):
        with contextlib.suppress(Undecodable, TooLarge):
            assert isinstance(unpacked(given), bytes)


def test_what_breaks_off_or_says_nothing_is_refused() -> None:
    for body in (b"N4IgpgbmB2AuIC4Q", b"NoIgpghg", b"N!"):
        with pytest.raises(Undecodable, match="lz64"):
            unpacked(body)


def bomb(codes: int) -> bytes:
    """Each part is the one before and a character more."""
    bits, width, until_wider, known = f"{0:02b}" + f"{97:08b}"[::-1], 3, 4, 4
    for _ in range(codes):
        bits += f"{known:0{width}b}"[::-1]
        known, until_wider = known + 1, until_wider - 1
        if until_wider == 0:
            until_wider, width = 1 << width, width + 1
    bits += f"{2:0{width}b}"[::-1]
    bits += "0" * (-len(bits) % 8)
    return base64.b64encode(int(bits, 2).to_bytes(len(bits) // 8))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    assert unpacked(bomb(100)) == b"a" * (101 * 102 // 2)
    large = bomb(30_000)  # half a gigabyte
    with pytest.raises(TooLarge):
        unpacked(large)
    with pytest.raises(TooLarge):
        unpacked(large, most=500_000_000, room=1_000_000)
    with pytest.raises(TooLarge):
        unpacked(packed("漢" * 600), most=1_000)  # by its bytes


def test_a_form_says_itself_how_its_data_is_packed() -> None:
    data = packed('{"event":"x"}').decode().replace("+", " ")
    with Room(1_000_000).share() as share:
        found = bodies.plain(f"data={data}&compression=lz64".encode(), 1_000_000, share)
    assert found == b'{"event":"x"}'
