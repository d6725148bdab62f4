"""dbt projects as somebody types it: here, and in the CI of the project's repository, where no installation is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.capture_server import free_port, until
from tests.dbt_projects import Project
from tests.dbt_syncs import SHOP, Shop
from tests.installation import Installation
from tests.served import Server
from tests.syncs import NAME

from tidemill.access.permissions import Permission
from tidemill.app import App


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_repositorys_ci_asks_a_server(installation: Installation, app: App, shop: Shop, tmp_path: Path) -> None:
    token, _ = app.tokens.create(name="ci", scopes=(Permission.DBT_CHECK,), expires_seconds=None, by="me")
    weak, _ = app.tokens.create(name="other", scopes=(Permission.SYNCS_READ,), expires_seconds=None, by="me")
    changed = shop.project.copy()
    del changed.of("people")["columns"]["plan"]
    changed.of("orders")["checksum"]["checksum"] = "other"
    manifest = tmp_path / "changed.json"
    manifest.write_bytes(changed.text())
    port, server = free_port(), Server(installation, tmp_path / "log")
    url = f"http://127.0.0.1:{port}"
    server.start("--port", str(port), "--role", "api")

    def check(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        home = {"TIDEMILL_HOME": str(tmp_path / "nowhere"), "TIDEMILL_TOKEN": token, **environment}
        command = ("dbt", "check", SHOP, "--manifest", str(manifest), "--server", url, *words)
        return installation.run(*command, **home)

    try:
        until(lambda: answers(url), "the server is ready")
        broken = check("--format", "github", "--subfolder", "analytics")
        assert broken.returncode == 1, broken.stderr
        command = "::error file=analytics/models/people.sql,title=column_removed%3A crm::people has no column plan"
        assert broken.stdout.startswith(command)
        assert not (tmp_path / "nowhere").exists(), "no installation is made"
        found = json.loads(check("--format", "json").stdout)
        assert [(change["code"], change["syncs"]) for change in found["changes"]] == [("column_removed", [NAME])]
        moved = shop.project.copy()
        moved.of("people")["relation_name"] = f"`{shop.google}`.`nowhere`.`people`"
        manifest.write_bytes(moved.text())
        told = check("--format", "json")
        assert [change["code"] for change in json.loads(told.stdout)["changes"]] == ["relation_moved"]
        assert told.returncode == 0
        manifest.write_bytes(shop.project.text())
        assert check().returncode == 0
        refused = check(TIDEMILL_TOKEN=weak)
        assert (refused.returncode, "dbt:check" in refused.stderr) == (3, True), refused.stderr
        assert token not in refused.stderr + server.said
    finally:
        server.stop()


def test_a_file_says_what_is_in_use_where_no_server_is(installation: Installation, shop: Shop, tmp_path: Path) -> None:
    assert shop.dataset
    document = tmp_path / "in-use.json"
    document.write_text(installation.run("dbt", "in-use", SHOP).stdout)
    changed = tmp_path / "changed.json"
    changed.write_bytes(Project().text())
    words = ("dbt", "check", SHOP, "--manifest", str(changed), "--in-use", str(document))
    assert installation.run(*words).returncode == 0
    without = Project()
    without.remove("people")
    changed.write_bytes(without.text())
    broken = installation.run(*words, "--format", "markdown")
    assert broken.returncode == 1
    assert "people is removed." in broken.stdout


def test_a_project_from_its_first_word_to_its_last(installation: Installation, app: App, shop: Shop) -> None:
    def said(*words: str) -> Any:
        done = installation.run("dbt", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert [model["name"] for model in said("models", SHOP)] == ["countries", "orders", "people"]
    assert said("list")[0]["used_by"] == ["people"]
    assert "model.shop.people" in installation.run("model", "show", "people").stdout
    del shop.columns()["plan"]
    shop.save()
    assert said("refresh", SHOP)["paused"] == [NAME]
    shown = installation.run("sync", "show", NAME).stdout
    assert "has no column plan any more" in " ".join(shown.split())
    assert installation.run("dbt", "delete", SHOP, "--yes").returncode == 5
    app.reverse_etl.syncs.delete(NAME)
    app.reverse_etl.models.delete("people")
    assert installation.run("dbt", "delete", SHOP, "--yes").returncode == 0
    assert said("list") == []


def test_what_is_wrong_is_said(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    for words, code, said in (
        (("add", "x"), 2, "Give --folder, or --git, or --manifest"),
        (("add", "x", "--manifest", str(tmp_path / "manifest.json")), 2, "manifest"),
        (("add", "x", "--folder", str(tmp_path / "none")), 4, "There is no folder"),
        (("add", "x", "--git", "https://127.0.0.1/x.git"), 2, "TIDEMILL_OUTBOUND_ALLOW"),
        (("check", "x", "--manifest", str(tmp_path / "none.json")), 2, "cannot be read"),
        (("show", "x"), 4, "There is no dbt project"),
    ):
        done = installation.run("dbt", *words)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
