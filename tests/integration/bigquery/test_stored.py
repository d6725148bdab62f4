"""Objects of Google Cloud Storage, as a connection reads them: from a server that answers as Google does."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from tests import dbt_projects
from tests.capture_server import free_port
from tests.installation import CONNECTION, Installation

from tidemill.bigquery import stored
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError, UnavailableError


class Storage:
    """The JSON API of Google Cloud Storage. `objects`: bytes by bucket and name; `refuses`: the status of all answers;
    `cuts`: the connection ends in the middle of them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.refuses: int | None = None
        self.cuts = False
        self.asked: list[tuple[str, str]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.refuses is not None:
            return self.refuses, b'{"error": {"message": "no"}}'
        parts = urllib.parse.urlsplit(path)
        assert parts.query == "alt=media", "without it an object's description comes"
        _, _, _, _, bucket, kind, name = parts.path.split("/")  # /storage/v1/b/BUCKET/o/NAME
        assert (parts.path.startswith("/storage/v1/b/"), kind) == (True, "o")
        found = self.objects.get((urllib.parse.unquote(bucket), urllib.parse.unquote(name)))
        return (404, b"Not Found") if found is None else (200, found)

    def _handler(storage) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - beside the handler's own self
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                storage.asked.append((self.path, self.headers.get("Authorization", "")))
                status, body = storage.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if storage.cuts else body)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        return Handler


@pytest.fixture
def storage() -> Iterator[Storage]:
    server = Storage()
    yield server
    server.close()


@pytest.fixture
def client(local_bigquery: LocalBigQuery) -> Client:
    local_bigquery.set_faults([])
    return Client(Auth(key=json.dumps(local_bigquery.key("tidemill"))), DEFAULT_PROJECT)


@pytest.mark.parametrize("name", ["manifest.json", "prod/target/manifest.json", "ä b/100%?#&+.json"])
def test_an_object_is_read_with_the_accounts_token(name: str, storage: Storage, client: Client) -> None:
    storage.objects["artifacts", name] = content = bytes(range(256)) * 10_000
    assert stored.read(client, "artifacts", name, host=storage.url) == content
    ((_, authorization),) = storage.asked
    assert authorization.startswith("Bearer ")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (403, AccessError, "storage_denied"),
        (404, NotFoundError, "storage_object"),
        (400, UnavailableError, "storage_unavailable"),
        (301, UnavailableError, "storage_unavailable"),
    ],
)
def test_what_storage_refuses_is_told(
    status: int, kind: type[TidemillError], code: str, storage: Storage, client: Client
) -> None:
    storage.refuses = status
    with pytest.raises(kind) as caught:
        stored.read(client, "artifacts", "a/manifest.json", host=storage.url)
    assert caught.value.code == code
    assert "gs://artifacts/a/manifest.json" in caught.value.message
    if status == 403:
        assert f"gs://artifacts --member=serviceAccount:{client.account}" in caught.value.hint
        assert "roles/storage.objectViewer" in caught.value.hint


def test_an_object_of_which_a_part_came_is_none(storage: Storage, client: Client) -> None:
    storage.objects["artifacts", "manifest.json"] = b"x" * 100_000
    storage.cuts = True
    with pytest.raises(UnavailableError) as caught:
        stored.read(client, "artifacts", "manifest.json", host=storage.url)
    assert caught.value.code == "storage_unavailable"


def test_storage_that_is_not_there_is_told(client: Client) -> None:
    with pytest.raises(UnavailableError) as caught:
        stored.read(client, "artifacts", "manifest.json", host=f"http://127.0.0.1:{free_port()}")
    assert caught.value.code == "storage_unavailable"


def test_an_object_beyond_all_measure_is_not_read(
    storage: Storage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 1_000)
    storage.objects["artifacts", "manifest.json"] = b"x" * 1_001
    with pytest.raises(ConfigError, match="larger than 1,000 bytes"):
        stored.read(client, "artifacts", "manifest.json", host=storage.url)
    storage.objects["artifacts", "manifest.json"] = b"x" * 1_000
    assert len(stored.read(client, "artifacts", "manifest.json", host=storage.url)) == 1_000


def test_a_dbt_project_is_known_by_a_manifest_in_a_bucket(
    installation: Installation, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "read", functools.partial(stored.read, host=storage.url))
    storage.objects["artifacts", "prod/manifest.json"] = dbt_projects.Project().text()
    storage.objects["artifacts", "prod/catalog.json"] = dbt_projects.catalog(id="INT64", email="STRING")
    place = {"manifest": "gs://artifacts/prod/manifest.json", "catalog": "gs://artifacts/prod/catalog.json"}
    with installation.app() as app:
        installation.connect(app)
        view = app.dbt.add({"name": "shop", **place, "connection": CONNECTION}, by="me")
        assert (view.models, view.project) == (3, "shop")
        assert app.dbt.pick("shop", "people")[1].complete, "the catalog says which columns there are"
        del storage.objects["artifacts", "prod/manifest.json"]
        with pytest.raises(NotFoundError):
            app.dbt.refresh("shop")
        error = app.dbt.get("shop").error
        assert error is not None
        assert error["code"] == "storage_object"
        assert app.dbt.get("shop").models == 3, "what was known stays"
