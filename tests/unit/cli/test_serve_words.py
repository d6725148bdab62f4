"""What `tidemill serve` says of the web app: an address that can be opened, the first account, a warning."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tidemill.app import App
from tidemill.cli import serve


def said(capsys: pytest.CaptureFixture[str], host: str, *, address: str | None = None, behind: str = "") -> str:
    users = SimpleNamespace(any=lambda: False, setup_token=lambda: "tmu_token")
    app = cast("App", SimpleNamespace(settings=SimpleNamespace(web_address=address), users=users))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve._tell_web(app, "http", host, listener, behind)
        port = listener.getsockname()[1]
    return " ".join(capsys.readouterr().err.split()).replace(f":{port}", ":PORT")


def test_in_a_container_the_address_can_be_opened_and_the_log_has_the_token(capsys: Any) -> None:
    told = said(capsys, "0.0.0.0")  # noqa: S104 - as in a container
    assert "http://localhost:PORT/set-up?token=tmu_token" in told
    assert "Passwords go over the network as they are" in told


@pytest.mark.parametrize(
    "given", [{"behind": "10.0.0.2"}, {"address": "https://tidemill.example.com"}], ids=lambda given: next(iter(given))
)
def test_with_tls_before_it_nothing_is_warned_of(given: dict[str, str], capsys: Any) -> None:
    assert "Passwords" not in said(capsys, "0.0.0.0", **given)  # noqa: S104
    assert "Passwords" not in said(capsys, "127.0.0.1")


def test_all_of_a_machines_addresses_are_told_from_one() -> None:
    assert all(map(serve._is_all, ("0.0.0.0", "::")))  # noqa: S104
    assert not any(map(serve._is_all, ("127.0.0.1", "::1", "10.0.0.1", "localhost", "tidemill.example.com")))
