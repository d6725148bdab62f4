"""Requests and answers that are shown: unpacked, but not further than they are shown."""

from __future__ import annotations

import gzip
import io
import tracemalloc

from tidemill.outbound.client import Seen
from tidemill.reverse_etl.trials import _told


def seen(answer: bytes) -> Seen:
    return Seen("POST", "https://there.example/v1", {}, b"", 200, answer)


def test_a_packed_answer_is_read() -> None:
    assert _told(seen(gzip.compress(b'{"good": true}')), ())["answer"] == '{"good": true}'


def test_of_an_answer_that_stands_for_hundreds_of_megabytes_the_beginning_is_unpacked() -> None:
    packed = io.BytesIO()
    with gzip.open(packed, "wb", 1) as out:
        for _ in range(100):
            out.write("é".encode() * 1_000_000)
    tracemalloc.start()
    told = _told(seen(packed.getvalue()), ())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(told["answer"]) == {"é"}
    assert most < 5_000_000


def test_one_that_breaks_off_is_no_text() -> None:
    assert _told(seen(gzip.compress(b"a text of some length")[:-9]), ())["answer"] is None
