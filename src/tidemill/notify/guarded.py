"""Connections of channels, to what the guard of addresses allows: each to an address that was looked at."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

    from tidemill.outbound.guard import Guard


def session(guard: Guard) -> requests.Session:
    """A session of HTTP that reaches what is allowed. A proxy of the environment is where the installation says, and
    connects in its place: what it is asked for is looked at before."""
    import requests  # 60 ms, and memory

    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, _adapter(guard))
    return made


def _adapter(guard: Guard) -> Any:
    from requests.adapters import HTTPAdapter
    from requests.utils import select_proxy
    from urllib3 import connection, connectionpool, exceptions

    class Looking(connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            name, failed = self._dns_host, None
            for address in guard.addresses(name, self.port):
                self._dns_host = address  # it is for this look-up alone: TLS and the header Host have the name
                try:
                    return super()._new_conn()
                except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError) as error:
                    failed = failed or error
                finally:
                    self._dns_host = name
            raise failed or exceptions.NewConnectionError(self, f"{name} has no address")

    class LookingTls(connection.HTTPSConnection, Looking):
        """TLS is begun after that."""

    class Plain(connectionpool.HTTPConnectionPool):
        ConnectionCls = Looking

    class Tls(connectionpool.HTTPSConnectionPool):
        ConnectionCls = LookingTls

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *given: Any, **named: Any) -> None:
            super().init_poolmanager(*given, **named)
            self.poolmanager.pool_classes_by_scheme = {"http": Plain, "https": Tls}

        def send(self, request: Any, *given: Any, **named: Any) -> Any:
            found = urllib.parse.urlsplit(request.url)
            if select_proxy(request.url, named.get("proxies")) and found.hostname:
                with contextlib.suppress(OSError):  # the proxy may know names that this machine does not
                    guard.addresses(found.hostname, found.port or 443)
            return super().send(request, *given, **named)

    return Adapter()


def mail_server(guard: Guard, host: str, port: int, wait: float, tls: ssl.SSLContext | None) -> smtplib.SMTP:
    """A session of SMTP; with TLS from its first byte, if `tls` is given.

    Raises
    ------
    ConfigError
        The server may not be reached.
    """

    class Looking(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            failed: OSError | None = None
            for address in guard.addresses(host, port):
                try:
                    return socket.create_connection((address, port), timeout)
                except OSError as error:
                    failed = failed or error
            raise failed or OSError(f"{host} has no address")

    class LookingTls(smtplib.SMTP_SSL, Looking):
        """TLS is begun after that."""

    if tls is not None:
        return LookingTls(host, port, timeout=wait, context=tls)
    return Looking(host, port, timeout=wait)
