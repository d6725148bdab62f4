"""Where a manifest is read from."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import dbt_program
from tests import dbt_projects as projects
from tests.dbt_program import needs_dbt
from tests.dbt_projects import Project

from tidemill.dbt import checkout, fetching, manifest, spec
from tidemill.dbt.fetching import Fetched, Means
from tidemill.errors import AccessError, ConfigError, NotFoundError, UnavailableError
from tidemill.outbound.client import Answer, Http
from tidemill.outbound.guard import Guard


class _Http(Http):
    """Answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(Guard())
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    def request(self, method: str, url: str, **given: Any) -> Answer:
        """See Http."""
        self.asked.append((f"{method} {url}", dict(given["headers"])))
        return self.answer


@pytest.fixture
def means(tmp_path: Path) -> Iterator[Means]:
    http = Http(Guard())
    yield Means(http, lambda bucket, name: f"{bucket}/{name}".encode(), ("prod-1", "marts"), tmp_path / "known_hosts")
    http.close()


def fetched(means: Means, **fields: Any) -> Fetched:
    return fetching.fetch(spec.make({"name": "shop", **fields}), means)


def test_a_folder_with_what_dbt_wrote(means: Means, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_bytes(Project().text())
    assert fetched(means, folder=str(tmp_path)) == Fetched(Project().text(), None)
    (tmp_path / "target" / "catalog.json").write_bytes(projects.catalog(id="INT64"))
    assert fetched(means, folder=str(tmp_path)).catalog == projects.catalog(id="INT64")


def test_a_file_and_an_object_of_a_bucket(means: Means, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"{}")
    assert fetched(means, manifest=str(tmp_path / "manifest.json")).manifest == b"{}"
    found = fetched(means, manifest="gs://dbt/prod/manifest.json", catalog="gs://dbt/prod/catalog.json", connection="w")
    assert found == Fetched(b"dbt/prod/manifest.json", b"dbt/prod/catalog.json")


def test_what_is_not_there_is_told(means: Means, tmp_path: Path) -> None:
    for fields in ({"folder": str(tmp_path / "none")}, {"manifest": str(tmp_path / "none.json")}):
        with pytest.raises(NotFoundError):
            fetched(means, **fields)
    with pytest.raises(ConfigError, match="There is no dbt project"):
        fetched(means, folder=str(tmp_path))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessError), (403, AccessError), (404, NotFoundError), (302, ConfigError), (500, UnavailableError)],
)
def test_a_server_that_does_not_give_it(status: int, kind: type[Exception], means: Means, tmp_path: Path) -> None:
    http = _Http(Answer(status, {}, b"no: s3cret"))
    asked = Means(http, means.stored, None, tmp_path)
    with pytest.raises(kind) as caught:
        fetched(asked, manifest="https://ci.example.com/manifest.json", token="s3cret")
    assert "s3cret" not in str(caught.value)
    http.close()


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "WHOLE_SECONDS", 0.3)
    gone = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not gone.wait(0.02):
                connection.sendall(b" ")

    http = Http(Guard(["127.0.0.1"]))
    means = Means(http, lambda *_: b"", None, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(http):
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(UnavailableError):
                fetched(means, manifest=f"http://127.0.0.1:{listener.getsockname()[1]}/manifest.json")
        finally:
            gone.set()
            thread.join()


def test_a_token_is_sent_for_a_manifest(means: Means, tmp_path: Path) -> None:
    http = _Http(Answer(200, {}, b"{}"))
    asked = Means(http, means.stored, None, tmp_path)
    assert fetched(asked, manifest="https://ci.example.com/manifest.json", token="s3cret").manifest == b"{}"
    assert http.asked[0] == ("GET https://ci.example.com/manifest.json", {"Authorization": "Bearer s3cret"})
    http.close()


def test_a_token_is_for_one_server(means: Means, tmp_path: Path) -> None:
    http = _Http(Answer(200, {}, b"{}"))
    asked = Means(http, means.stored, None, tmp_path)
    for catalog in ("https://ci.example.com/catalog.json", "https://other.example.com/catalog.json"):
        fetched(asked, manifest="https://ci.example.com/manifest.json", catalog=catalog, token="s3cret")
    sent = {url.split()[1]: bool(headers) for url, headers in http.asked}
    assert sent == {
        "https://ci.example.com/manifest.json": True,
        "https://ci.example.com/catalog.json": True,
        "https://other.example.com/catalog.json": False,
    }
    http.close()


@pytest.mark.parametrize("name", ["models/leak.sql", "target/catalog.json", "models"])
def test_a_link_of_a_repository_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    repository = tmp_path / "repository"
    link = repository / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path if name == "models" else tmp_path / "secret")
    with pytest.raises(ConfigError, match="leads out of the repository"):
        checkout.assert_no_way_out(repository)


def test_links_that_lead_to_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError, match="leads out of the repository"):
        checkout.assert_no_way_out(tmp_path)


def test_a_link_within_a_repository_is_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    (tmp_path / "b.sql").symlink_to("a.sql")
    checkout.assert_no_way_out(tmp_path)


_DBT = """#!{python}
import os, pathlib, sys
words = sys.argv[1:]
assert "SECRET" not in os.environ and os.environ["DBT_OF_OURS"] == "1", dict(os.environ)
if pathlib.Path("models/bad.sql").exists():
    print("12:00:00  Running with dbt=1.9\\n12:00:01  Encountered an error:\\n12:00:01  Compilation Error")
    sys.exit(2)
if words[0] == "deps":
    pathlib.Path("dbt_packages").mkdir()
    sys.exit()
assert words[0] == "parse" and pathlib.Path("packages.yml").exists() == pathlib.Path("dbt_packages").exists()
target = pathlib.Path(words[words.index("--target-path") + 1])
target.mkdir()
(target / "manifest.json").write_text(" ".join(words))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and a dbt that looks at how it is called."""
    program = tmp_path / "dbt"
    program.write_text(_DBT.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("DBT_OF_OURS", "1")
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: shop\n")
    return folder


def parsing(means: Means, project: Path) -> Means:
    return Means(means.http, means.stored, means.target, means.known_hosts, str(project.parent / "dbt"))


@pytest.mark.parametrize("packages", [False, True])
def test_a_project_without_a_manifest_is_parsed(means: Means, project: Path, packages: bool) -> None:
    if packages:
        (project / "packages.yml").write_text("packages: []")
    before = sorted(project.rglob("*"))
    said = fetched(parsing(means, project), folder=str(project), variables={"a": 1}).manifest.decode()
    assert '--vars {"a": 1}' in said
    assert "--profile tidemill" in said
    assert sorted(project.rglob("*")) == before, "nothing is written into the user's folder"


def test_what_dbt_does_not_understand_is_told(means: Means, project: Path) -> None:
    (project / "models" / "bad.sql").touch()
    with pytest.raises(ConfigError, match="Encountered an error: Compilation Error") as caught:
        fetched(parsing(means, project), folder=str(project))
    assert caught.value.code == "dbt_parse"


def test_without_a_dbt_it_is_said_what_to_install(means: Means, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(ConfigError, match="is not installed here") as caught:
        fetched(means, folder=str(project))
    assert "tidemill[dbt]" in caught.value.hint


def test_it_must_be_said_where_models_are_built(means: Means, project: Path) -> None:
    nowhere = Means(means.http, means.stored, None, means.known_hosts)
    with pytest.raises(ConfigError, match="where models are built"):
        fetched(nowhere, folder=str(project))


@needs_dbt
def test_the_real_dbt_parses_a_project(means: Means, tmp_path: Path) -> None:
    means = dataclasses.replace(means, dbt=dbt_program.find())
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\n")
    (tmp_path / "models" / "people.sql").write_text("select 1 as id, 'a' as email")
    (tmp_path / "models" / "people.yml").write_text(
        "models: [{name: people, columns: [{name: id, data_tests: [unique, not_null]}, {name: email}]}]"
    )
    found = manifest.read(fetched(means, folder=str(tmp_path)).manifest).find("people")
    assert str(found.relation) == "prod-1.marts.people"
    assert found.keys == (("id",),)
    assert list(found.columns) == ["id", "email"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "one of these"),
        ({"git": "https://a/b", "folder": "/x"}, "one of these"),
        ({"folder": "/x", "branch": "main"}, "--branch is about a Git repository"),
        ({"git": "https://a/b", "subfolder": "../x"}, "leads out"),
        ({"git": "https://a/b", "branch": "--upload-pack=x"}, "branch"),
        ({"manifest": "gs://a/b"}, "read by a connection"),
    ],
)
def test_what_is_said_of_a_project_is_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        spec.make({"name": "shop", **fields})
