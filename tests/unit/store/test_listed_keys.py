"""Keys of rows as they are listed: each can be told from every other, and is found again."""

from __future__ import annotations

import itertools

from tidemill.store.sync_rejects import key_of, listed


def test_each_key_is_listed_as_a_text_that_is_its_own() -> None:
    keys = {"".join(some) for size in range(6) for some in itertools.product("\\0\0x", repeat=size)}
    texts = {listed(key): key for key in keys}
    assert len(texts) == len(keys)
    assert not any("\0" in text for text in texts)
    assert all(key_of(text) == key for text, key in texts.items())


def test_a_key_that_can_be_kept_is_listed_as_it_is() -> None:
    assert listed("C:\\new\\1") == "C:\\new\\1"
    assert listed("x\0y") == "x\\0y"
