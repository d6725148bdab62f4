"""Requests reach servers of the internet, and of others those that are allowed by name."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.receivers import Web

from tidemill.errors import ConfigError, UnavailableError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # the metadata service of clouds
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - it is refused
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",  # 127.0.0.1 behind NAT64
    "2002:7f00:1::",  # 127.0.0.1 by 6to4
    "168.63.129.16",  # a service of Azure that its machines see
    "64:ff9b::a83f:8110",  # the same behind NAT64
    "192.0.0.192",  # the metadata service of Oracle's cloud
    "fec0::1",  # of a site, as it was before fd00::/8
    "64:ff9b:1::7f00:1",  # 127.0.0.1 behind the NAT64 of a site
    "::127.0.0.1",
    "::169.254.169.254",
    "::ffff:0:127.0.0.1",
    "5f00::1",  # of routers
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_internet_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="not of the internet") as caught:
        Guard().addresses(address, 443)
    assert caught.value.code == "address_private"
    assert f"TIDEMILL_OUTBOUND_ALLOW={address}" in caught.value.hint


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_an_address_of_the_internet_is_reached(address: str) -> None:
    assert Guard().addresses(address, 443) == [address]


def test_what_the_installation_names_is_reached() -> None:
    assert Guard(["10.0.0.0/8"]).addresses("10.1.2.3", 80) == ["10.1.2.3"]
    assert Guard(["10.1.2.3"]).addresses("10.1.2.3", 80) == ["10.1.2.3"]
    assert "127.0.0.1" in Guard(["LocalHost"]).addresses("localhost", 80)
    with pytest.raises(ConfigError):
        Guard(["10.0.0.0/8"]).addresses("192.168.0.1", 80)


@given(st.ip_addresses(v=4))
def test_private_is_private_in_each_way_to_write_it(address: Any) -> None:
    written = [str(address), f"::ffff:{address}"]
    verdicts = set()
    for text in written:
        try:
            Guard().addresses(text, 80)
            verdicts.add(True)
        except ConfigError:
            verdicts.add(False)
    assert len(verdicts) == 1


@contextlib.contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> Iterator[None]:
    """Any name is one of these, the next each time."""
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host == "rebound.example":
            return real(addresses.pop(0), port, *args, **more)
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    yield


def test_a_name_that_becomes_private_between_looking_and_connecting_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, web: Web
) -> None:
    http = Http(Guard())
    private = pytest.raises(ConfigError, match="not of the internet")
    with contextlib.closing(http), resolving(monkeypatch, ["127.0.0.1", "127.0.0.1"]), private:
        http.request("POST", f"http://rebound.example:{web.port}/", body=b"x")
    assert not web.requests


def test_a_redirection_is_not_followed(web: Web) -> None:
    web.answers = [(302, {"Location": "http://169.254.169.254/latest"}, b"")]
    with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http:
        answer = http.request("POST", web.url(), body=b"x")
    assert answer.status == 302
    assert len(web.requests) == 1


def test_an_answer_that_is_too_long_is_not_read_further(web: Web) -> None:
    web.answers = [(200, {}, b"x" * 100_000)]
    with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http, pytest.raises(UnavailableError) as caught:
        http.request("POST", web.url(), body=b"x", most_bytes=1_000)
    assert caught.value.code == "answer_too_long"


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with contextlib.closing(Http(Guard(["127.0.0.1"]))) as http, pytest.raises(UnavailableError) as caught:
            http.request("POST", f"http://127.0.0.1:{port}/", body=b"")
    assert caught.value.code == "server_refused"
    assert f"127.0.0.1, port {port}" in caught.value.message


@pytest.mark.parametrize(
    "url", ["", "no address", "ftp://example.com", "https://", "http://[::1", "file:///etc/passwd"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with contextlib.closing(Http(Guard())) as http, pytest.raises(ConfigError) as caught:
        http.request("POST", url)
    assert caught.value.code == "url"


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(Http(Guard(["127.0.0.1"]))) as http:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        held: list[socket.socket] = []

        def drip() -> None:
            found, _ = listener.accept()
            held.append(found)
            with contextlib.suppress(OSError):
                found.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while True:
                    found.sendall(b"x")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(UnavailableError) as caught:
            http.request("GET", address, whole_seconds=0.3)
        assert caught.value.code == "server_timeout"
        held[0].close()
        thread.join()
