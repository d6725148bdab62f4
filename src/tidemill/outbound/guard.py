"""Which servers may be reached: those of the internet, and of others those that the installation names.

What a user types as an address could lead to a service that only this machine can see, as a cloud's metadata. So the
addresses that a name stands for are looked at before each connection, and the connection is made to the address that
was looked at: a name that stands for another one a moment later gains nothing, and a redirection is seen like any
other.
"""

from __future__ import annotations

import contextvars
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from tidemill.errors import ConfigError

#: IPv6 within which is IPv4.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: All of IPv6 that was given out to the internet (IANA, "IPv6 Global Unicast Address Assignments"). `is_global` takes
#: more for it: fec0::/10, 5f00::/16, the NAT64 of a site (64:ff9b:1::/48), and old forms of IPv4 within IPv6.
_UNICAST = ipaddress.ip_network("2000::/3")
#: What `is_global` takes for public and leads inside all the same: services of Azure (168.63.129.16) and of Oracle's
#: cloud (192.0.0.192, in a range that is for protocols alone) that only their machines see.
_INSIDE = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Guard:
    """Says to which addresses a host may be connected."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed`: hosts, addresses or networks that may be reached though they are not of the internet."""
        named = [text.strip().lower() for text in allowed if text.strip()]
        self._hosts = {text for text in named if _network(text) is None}
        self._networks = [found for text in named if (found := _network(text)) is not None]

    def addresses(self, host: str, port: int) -> list[str]:
        """Those of a host that may be reached, in the system's order.

        Raises
        ------
        ConfigError
            It may not be reached.
        OSError
            There is no such host, or it cannot be looked up.
        """
        found = list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        good = found if host.lower().rstrip(".") in self._hosts else [text for text in found if self._reaches(text)]
        if not good:
            raise ConfigError(
                "address_private",
                f"{host} is {found[0]}, an address that is not of the internet.",
                hint=f"If that is meant, allow it: TIDEMILL_OUTBOUND_ALLOW={host} (in the server's environment, too).",
            )
        return good

    def _reaches(self, text: str) -> bool:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if any(address in network for network in self._networks):
            return True
        if not address.is_global or address.is_multicast or any(address in network for network in _INSIDE):
            return False
        return address.version == 4 or address in _UNICAST


def _plain(address: _Address) -> _Address:
    """Of an IPv6 address that stands for one of IPv4: that one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


#: Until when the request of this thread is to be over, by `time.monotonic`.
deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=float("inf"))


def _within(timeout: float | None) -> float:
    """What may be waited now. A server that sends a byte now and then is in time with each."""
    left = deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the request takes too long")
    return left if timeout is None else min(left, timeout)


class _Timed(httpcore.NetworkStream):
    """A connection that keeps to the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See httpcore."""
        return self._stream.read(max_bytes, _within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See httpcore."""
        self._stream.write(buffer, _within(timeout))

    def close(self) -> None:
        """See httpcore."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """See httpcore."""
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _within(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """See httpcore."""
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects to what the guard allows."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self._sync = guard, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first of the host's addresses that takes one."""
        failed: Exception | None = None
        for address in self._guard.addresses(host, port):
            try:
                return _Timed(self._sync.connect_tcp(address, port, _within(timeout), local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = failed or error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 - as it is declared
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """None is made."""
        raise httpcore.ConnectError(f"no connection is made to {path}")

    def sleep(self, seconds: float) -> None:
        """See httpcore."""
        self._sync.sleep(seconds)


def transport(guard: Guard, connections: int) -> httpx.HTTPTransport:
    """What httpx sends by, which reaches what the guard allows: so many connections at once."""
    made = httpx.HTTPTransport(trust_env=False)
    made._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(),
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=30.0,
        network_backend=_Backend(guard),
    )
    return made
