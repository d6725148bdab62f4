"""An S3 server on loopback: moto's, behind a gate that knows keys and permissions, and can be told to fail.

Of moto's own, everybody may do anything. Its objects stay while it is stopped and started again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

KEY, SECRET, REGION = "AKIATEST", "s3cr3t-of-the-bucket", "eu-central-1"
_SIGNED = re.compile(r"Credential=([^/,]+)/")
_names = itertools.count()


@dataclasses.dataclass
class Fault:
    """What is answered to requests that this is about, so many times: a status and a code; or nothing, if it is 0.

    `late`: the request is done before.
    """

    method: str = ".*"
    path: str = ".*"
    status: int = 503
    code: str = "SlowDown"
    times: int = 1_000_000
    late: bool = False
    fired: int = 0

    def meets(self, method: str, path: str) -> bool:
        return self.fired < self.times and bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class S3Server:
    """The server. `keys`: of each key the methods that it may use."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._moto = DomainDispatcherApplication(create_backend_app)
        self.keys = {KEY: "GET|HEAD|PUT|POST|DELETE"}
        self.wrong_secrets: set[str] = set()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.skew = dt.timedelta(0)
        self.delay: Callable[[str], float] = lambda _: 0.0
        self.watch: Callable[[str, str], None] = lambda *_: None  # is told of each request before it is done
        self.port = 0
        self._server: Any = None
        self._guard = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_request(self, *_: object) -> None:
                return None

        self._server = make_server("127.0.0.1", self.port, self._answer, True, request_handler=Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Nobody answers from now on."""
        self._server.shutdown()
        self._server.server_close()

    def bucket(self) -> str:
        """A new bucket."""
        name = f"bucket-{next(_names)}"
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def client(self) -> Any:
        """Amazon's client, with all permissions."""
        import botocore.config
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

    def names(self, bucket: str) -> list[str]:
        """Of the objects in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if environ.get("QUERY_STRING"):
            path += "?" + environ["QUERY_STRING"]
        self.watch(method, path)
        with self._guard:
            self.requests.append((method, path))
            fault = next((one for one in self.faults if one.meets(method, path)), None)
            if fault is not None:
                fault.fired += 1
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault is not None and not fault.late:
            return _refused(environ, start, fault.status, fault.code)
        if problem := self._problem(method, environ):
            return _refused(environ, start, 403, problem)
        if (seconds := self.delay(method)) > 0:
            threading.Event().wait(seconds)
        if fault is not None:
            list(self._moto(_again(environ, body), lambda *_: None))
            return _refused(environ, start, fault.status, fault.code)
        found: Iterable[bytes] = self._moto(_again(environ, body), start)
        return found

    def _problem(self, method: str, environ: dict[str, Any]) -> str | None:
        """Why it is refused, as S3 calls it."""
        found = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found is None:
            return "AccessDenied"
        if found[1] not in self.keys:
            return "InvalidAccessKeyId"
        if found[1] in self.wrong_secrets:
            return "SignatureDoesNotMatch"
        said = dt.datetime.strptime(environ["HTTP_X_AMZ_DATE"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        if abs(dt.datetime.now(dt.UTC) + self.skew - said) > dt.timedelta(minutes=15):
            return "RequestTimeTooSkewed"
        if method == "POST" and "delete" in parse_qs(environ["QUERY_STRING"], keep_blank_values=True):
            method = "DELETE"
        return None if re.fullmatch(self.keys[found[1]], method) else "AccessDenied"


def _again(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    import io

    return {**environ, "wsgi.input": io.BytesIO(body)}


def _refused(environ: dict[str, Any], start: Callable[..., Any], status: int, code: str) -> Iterable[bytes]:
    if not status:
        environ["werkzeug.socket"].close()
        raise ConnectionError
    said = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>"
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else said.encode()
    start(f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """One server for the tests of a module."""
    server = S3Server()
    server.start()
    yield server
    server.stop()
