"""Secrets are readable with the right key only, and a lost key is not replaced in silence."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.settings import Settings
from tidemill.store.secrets import Secrets


def with_file(home: Path) -> Secrets:
    secrets = Secrets(Settings(home=home))
    secrets.ensure()
    return secrets


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8")))
def test_what_is_encrypted_comes_back_and_is_not_seen(tmp_path: Path, text: str) -> None:
    secrets = with_file(tmp_path)
    token = secrets.encrypt(text)
    assert secrets.decrypt(token) == text
    assert len(text) < 8 or text.encode() not in token


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    threads = [threading.Thread(target=with_file, args=(home,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in home.iterdir()] == ["secret.key"]
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o077 == 0
    assert with_file(home).decrypt(with_file(home).encrypt("x")) == "x"


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    token = with_file(tmp_path).encrypt("x")
    (tmp_path / "secret.key").unlink()
    lost = Secrets(Settings(home=tmp_path))
    for call in (lambda: lost.decrypt(token), lambda: lost.encrypt("y")):
        with pytest.raises(ConfigError) as caught:
            call()
        assert caught.value.code == "secret_key_lost"
    assert not (tmp_path / "secret.key").exists()
    with pytest.raises(ConfigError) as wrong:
        with_file(tmp_path).decrypt(token)
    assert wrong.value.code == "secret_key_wrong"


def test_an_older_key_still_reads(tmp_path: Path) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    def keys(text: str) -> Secrets:
        return Secrets(Settings(home=tmp_path, secret_keys=text))

    token = keys(old).encrypt("x")
    both = keys(f"{new}, {old}")
    assert both.decrypt(token) == "x"
    assert keys(new).decrypt(both.encrypt("y")) == "y"
    with pytest.raises(ConfigError):
        keys(new).decrypt(token)
    keys(new).ensure()
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_none_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Secrets(Settings(home=tmp_path, secret_keys="HUSH")).encrypt("x")
    assert caught.value.code == "secret_key_invalid"
    assert "HUSH" not in f"{caught.value} {caught.value.hint} {caught.value.raw}"
