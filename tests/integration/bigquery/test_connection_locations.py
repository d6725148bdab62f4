"""Where a dataset is, as a user says it and as it is."""

from __future__ import annotations

import json
from pathlib import Path

from tests.installation import CONNECTION, Installation


def test_a_location_that_is_not_the_datasets_is_a_warning_and_not_kept(
    installation: Installation, tmp_path: Path
) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(installation.local.key()))
    said = ("--dataset", installation.dataset, "--key", str(key), "--location", "US")
    tested = installation.run("connection", "add", CONNECTION, *said)
    assert tested.returncode == 0, tested.stderr
    assert "! The dataset's location" in tested.stdout
    assert "EU is used" in tested.stdout
    assert "EU is used" not in tested.stderr
    untested = installation.run("connection", "add", "other", *said, "--no-test")
    assert untested.returncode == 0, untested.stderr
    assert "The dataset is in EU, not in US" in untested.stderr
    with installation.app() as app:
        assert [connection.location for connection in app.connections.find()] == ["EU", "EU"]
        steps = {step.name: step.status for step in app.connections.test(CONNECTION)}
        assert steps["location"] == "passed"
        draft = app.connections.draft(name="third", dataset=installation.dataset, key=key.read_text())
        assert app.connections.create_dataset(draft, "US").endswith("is there, in EU.")


def test_the_least_grants_are_printed_without_an_installation(fresh_installation: Installation) -> None:
    words = ("connection", "grants", "--project", "my-project", "--dataset", "analytics", "--account", "a@b.example")
    done = fresh_installation.run(*words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["gcloud", "gcloud", "GRANT"]
    assert json.loads(fresh_installation.run(*words, "--json").stdout) == lines
    streaming = fresh_installation.run(*words, "--for", "streaming").stdout.splitlines()
    assert [line.split()[0] for line in streaming] == ["gcloud", "GRANT"]
    assert not fresh_installation.home.exists()
