"""Configuration as code on the command line, as the guide has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.installation import Installation

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "configuration-as-code.md"


@pytest.fixture
def guided(installation: Installation, tmp_path: Path) -> Path:
    """The file of the guide, for an installation with its table and its key."""
    text = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    dataset = installation.dataset
    text = text.replace("dataset: app", f"dataset: {dataset}").replace("app.users", f"{dataset}.users")
    text = text.replace("{access: full}", f"{{access: full, state_dataset: {dataset}_state}}")
    text = re.sub(r"file://\S+(?=})", f"file://{tmp_path}/crm", text)
    file = tmp_path / "tidemill.yaml"
    file.write_text(text)
    (tmp_path / "crm").mkdir()
    installation.environment["TIDEMILL_OUTBOUND_FOLDERS"] = str(tmp_path / "crm")
    (tmp_path / "key.json").write_text(json.dumps(installation.local.key("tidemill")))
    client = installation.client()
    rows = "SELECT 'ana' AS user_id, 'ana@example.com' AS email, 'pro' AS plan"
    client.google().query(f"CREATE TABLE {dataset}.users AS {rows}", location="EU").result()
    client.close()
    return file


def said(installation: Installation, *words: str, code: int = 0, **environment: str) -> str:
    """What a command prints, and says, if it ends with this code."""
    done = installation.run(*words, **environment)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_the_example_of_the_guide(installation: Installation, guided: Path, tmp_path: Path) -> None:
    file = str(guided)
    shown = said(installation, "plan", file)
    assert "8 to create, 0 to change, 0 to delete; 0 unchanged." in shown
    assert "schedule.jitter" not in shown
    assert "+ daily" in shown
    assert "key: (secret, of key.json)" in shown
    said(installation, "plan", file, "--check", code=1)
    assert "Nobody is there to answer" in said(installation, "apply", file, code=2)
    done = said(installation, "apply", file, "--yes")
    assert "The export daily is made." in done
    assert "Nothing would change" in said(installation, "plan", file, "--check")
    # A change is shown field by field; and done, if it is still that one.
    guided.write_text(guided.read_text().replace("offset: 3h", "offset: 4h"))
    assert "schedule.offset: 3h → 4h" in said(installation, "plan", file)
    planned = json.loads(installation.run("plan", file, "--json").stdout)
    assert planned["counts"]["change"] == 1
    assert "plan_outdated" in said(installation, "apply", file, "--yes", "--plan", "0" * 16, code=5)
    applied = json.loads(installation.run("apply", file, "--yes", "--plan", planned["id"], "--json").stdout)
    assert applied["done"] == [{"act": "change", "kind": "export", "name": "daily"}]
    assert json.loads(installation.run("audit", "list", "--json").stdout)
    # What is written says the same; and is not written over something.
    mine = tmp_path / "mine.yaml"
    said(installation, "export-config", "--out", str(mine))
    assert "file_exists" in said(installation, "export-config", "--out", str(mine), code=5)
    key = (tmp_path / "key.json").read_text()
    said(installation, "plan", str(mine), "--check", "--prune", CONNECTION_WAREHOUSE_KEY=key)
    assert key not in mine.read_text()


def test_a_file_that_is_wrong_is_told_with_its_lines_and_nothing_is_done(
    installation: Installation, guided: Path, tmp_path: Path
) -> None:
    guided.write_text(guided.read_text().replace("mode: stream", "mode: stram").replace("identity:", "identiy:"))
    done = installation.run("apply", str(guided), "--yes", "--json")
    assert done.returncode == 2
    lines = json.loads(done.stdout)["error"]["message"].splitlines()
    assert lines[0] == "The configuration has 2 problems."
    assert all(re.match(rf"{re.escape(str(guided))}:\d+:\d+: ", line) for line in lines[1:])
    assert json.loads(installation.run("connection", "list", "--json").stdout) == []
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "file_missing" in said(installation, "plan", str(empty), code=2)
    assert "file_unreadable" in said(installation, "plan", str(tmp_path / "nothing.yaml"), code=2)


def test_the_schema_needs_no_installation(fresh_installation: Installation) -> None:
    done = fresh_installation.run("export-config", "--schema")
    assert json.loads(done.stdout)["title"] == "Configuration of Tidemill"
    assert not fresh_installation.home.exists()
