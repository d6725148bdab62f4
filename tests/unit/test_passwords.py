"""Whatever fails to connect says with what it tried: no error of ours repeats a password."""

from __future__ import annotations

import pytest

from tidemill.errors import TidemillError, UnavailableError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('at "user=tm password=s3cretPW host=h"', 'at "user=tm password=******** host=h"'),
        ("password='s3 cret\\'PW' host=h", "password=******** host=h"),
        ("PASSWORD = s3cretPW", "PASSWORD = ********"),
        ("postgresql://tm:s3cretPW@h:5432/db?x=1", "postgresql://tm:********@h:5432/db?x=1"),
        ('postgresql://tm:hunt"er2@127.0.0.1:5499/t1', "postgresql://tm:********@127.0.0.1:5499/t1"),
        ("postgresql://tm:hunt'er2@h/db", "postgresql://tm:********@h/db"),
        ("postgresql://tm:p@ss@h/db", "postgresql://tm:********@h/db"),
        ("'postgresql://tm:s3cretPW@h/db', and 'x@y'", "'postgresql://tm:********@h/db', and 'x@y'"),
        ("postgresql://tm@h/db and http://127.0.0.1:80/a@b", "postgresql://tm@h/db and http://127.0.0.1:80/a@b"),
        ("password authentication failed for user", "password authentication failed for user"),
    ],
)
def test_passwords_are_blotted_out(text: str, shown: str) -> None:
    error = UnavailableError("x", text, raw=text)
    assert (error.message, error.raw, str(error), error.args[0]) == (shown, shown, f"{shown} [x]", shown)
    assert isinstance(error, TidemillError)
