"""Who gets messages in tests: a web server and a mail server of this machine, which do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message as Mail
from email.policy import default
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "tidemill", "s3cr3t-of-mail"


@dataclasses.dataclass
class Request:
    """What a web server was asked."""

    path: str
    headers: dict[str, str]
    body: bytes


class Web:
    """A web server. `answers`: status, headers and body of each of the next requests; then 200. `hangs`: at this path
    it says nothing until it is let go."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.hangs = ""
        self.let_go = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook") -> str:
        """An address of it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def encrypt(self, context: ssl.SSLContext) -> None:
        """From now on it speaks TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        """End."""
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(web) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - beside the handler's own self
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                web.requests.append(Request(self.path, headers, body))
                if self.path == web.hangs:
                    web.let_go.wait()
                status, more, said = web.answers.pop(0) if web.answers else (200, {}, b"ok")
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(said))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                return

        return Handler


class Post:
    """A mail server. It refuses the recipients of `refused`, with that answer each."""

    def __init__(self, **options: Any) -> None:
        self.mails: list[tuple[list[str], Mail]] = []
        self.refused: dict[str, str] = {}
        self.refuses_data = ""
        self.signed_in: list[bytes] = []
        self._controller = _Controller(self, hostname="127.0.0.1", port=0, ready_timeout=30, **options)
        self._controller.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._controller.listens_at[1]

    def close(self) -> None:
        """End, once those are gone who were there."""
        deadline = time.monotonic() + 60
        while self._controller.connections and time.monotonic() < deadline:
            time.sleep(0.005)
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - named by aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuses_data:
            return self.refuses_data
        assert isinstance(envelope.content, bytes)
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


class _Controller(Controller):
    """aiosmtpd's looks whether it runs at the port that it was given, which is none; and with its own certificate."""

    @property
    def listens_at(self) -> tuple[str, int]:
        assert isinstance(self.server, asyncio.Server)
        host, port = self.server.sockets[0].getsockname()
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """How many there are: what its loop waits for, beside the port and its own waking up."""
        return len(self.loop._selector.get_map()) - 2  # type: ignore[attr-defined]

    def _trigger_server(self) -> None:
        with socket.create_connection(self.listens_at, 30) as plain:
            if self.ssl_context is None:
                plain.recv(100)
                return
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as encrypted:
                encrypted.recv(100)


def authenticator(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    """Lets in the user with the password, and nobody else."""
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server."""
    found = Web()
    yield found
    found.close()


@pytest.fixture
def post() -> Iterator[Post]:
    """A mail server that takes all, from anybody."""
    found = Post()
    yield found
    found.close()


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Of localhost, by itself. `file`: the certificate; `context`: of a server that has it."""

    file: Path
    context: ssl.SSLContext
    _known: ClassVar[dict[str, Any]] = {}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One that nobody trusts, unless he is told to."""
    key, folder = ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("certificate")
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return Certificate(file, context)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port at which connections are taken, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


Opened = Callable[..., Post]


@pytest.fixture
def posts() -> Iterator[Opened]:
    """Mail servers of one's own: `posts(tls_context=…)`."""
    with contextlib.ExitStack() as closing:

        def opened(**options: Any) -> Post:
            found = Post(**options)
            closing.callback(found.close)
            return found

        yield opened
