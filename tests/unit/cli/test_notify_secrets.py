"""Where the command line takes the secrets of a channel from; none is quoted, whatever is wrong with it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tidemill.cli import notify_add, secret
from tidemill.errors import ConfigError


@pytest.fixture(autouse=True)
def nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is no terminal."""
    monkeypatch.delenv(notify_add.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("from stdin\n"))


def value(source: str | None, asking: str | None = "Password") -> str | None:
    found = secret.secret(source, asking, notify_add.VARIABLE)
    return found.get_secret_value() if found else None


def test_it_comes_from_a_file_standard_input_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(" of a file \r\n")
    assert value(str(tmp_path / "secret")) == " of a file "
    assert value("-") == "from stdin"
    monkeypatch.setenv(notify_add.VARIABLE, "of the environment")
    assert value(None) == value(None, None) == "of the environment"
    assert value(str(tmp_path / "secret")) == " of a file "


def test_a_key_that_nothing_is_said_of_is_made_and_what_is_not_named_stays() -> None:
    assert value(None, None) is None
    assert secret.named(None) is None


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_an_empty_one_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ConfigError, match="empty"):
        value(str(tmp_path / "secret"))


def test_where_nobody_can_be_asked_it_says_how_it_is_given() -> None:
    with pytest.raises(ConfigError) as caught:
        value(None)
    assert notify_add.VARIABLE in caught.value.hint


@pytest.mark.parametrize("typed", ["hunter2", "~nobody-of-that-name/x", "hunter2\0", "x" * 5_000, "."])
def test_one_that_was_typed_instead_of_a_file_is_not_quoted(typed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        value(typed)
    assert typed not in f"{caught.value.message} {caught.value.hint}" or typed == "."


def test_a_file_that_is_not_there_is_told_by_the_option_that_named_it() -> None:
    for typed, hint in (("nowhere.txt", "path of a file"), ("https://crm.example.com/t0ken", "An address is a secret")):
        with pytest.raises(ConfigError, match="that --url names cannot be read: No such file") as caught:
            secret.named(typed, option="--url")
        assert hint in caught.value.hint
        assert typed not in f"{caught.value.message} {caught.value.hint}"


def test_a_secret_address_that_was_typed_is_refused_and_not_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        notify_add.assert_hidden("https://hooks.slack.com/services/s3cr3t")
    assert "s3cr3t" not in f"{caught.value.message} {caught.value.hint}"
    notify_add.assert_hidden("url.txt")
    notify_add.assert_hidden(None)


def test_the_address_of_a_webhook_may_be_typed_or_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://example.com/x\n")
    for given in ("https://example.com/x", str(tmp_path / "url")):
        found = notify_add.address(given)
        assert found is not None
        assert found.get_secret_value() == "https://example.com/x"
    assert notify_add.address(None) is None
