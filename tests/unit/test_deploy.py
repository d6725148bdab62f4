"""What is in deploy/ can not be run here. Proven: linters of containers, YAML, Kubernetes and Compose have nothing to
say; and whatever it names of Tidemill is there: settings, commands, ports, addresses of probes, files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from tidemill.api.roles import HTTP, Role
from tidemill.capture import server
from tidemill.cli.main import app
from tidemill.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
#: Of the command line, and of Amazon's and Google's libraries.
OTHERS = {"TIDEMILL_USER", "TIDEMILL_VERBOSE"}
PORT, WEB_PORT = 8010, 8020
RULES = """
extends: default
rules:
  line-length: {max: 120}
  document-start: disable
  comments: {min-spaces-from-content: 1}
"""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for path in MANIFESTS for document in documents(path) if document["kind"] == kind]


def containers() -> Iterator[dict[str, Any]]:
    for deployment in of_kind("Deployment"):
        yield from deployment["spec"]["template"]["spec"]["containers"]


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_the_yaml_is_clean(path: Path) -> None:
    assert list(linter.run(path.read_text(), YamlLintConfig(RULES))) == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_knows_each_field(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_compose_knows_each_field() -> None:
    words = ["--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_file_is_clean() -> None:
    found = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("there is no hadolint for this machine on the package index")
    done = subprocess.run([found, str(DEPLOY / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_settings_that_are_named_are_there() -> None:
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"\bTIDEMILL_[A-Z_]+\b", text)}
    assert len(named) > 5
    assert named - OTHERS - {f"TIDEMILL_{name.upper()}" for name in Settings.model_fields} == set()


def test_variables_of_a_secret_are_in_its_example_and_values_are_taken() -> None:
    (config,), (secret,) = of_kind("ConfigMap"), of_kind("Secret")
    given = {name.removeprefix("TIDEMILL_").lower(): value for name, value in config["data"].items()}
    assert Settings(**given).event_data == config["data"]["TIDEMILL_EVENT_DATA"]
    assert {"TIDEMILL_DATABASE_URL", "TIDEMILL_SECRET_KEYS"} <= secret["stringData"].keys()
    for one in containers():
        names = [next(iter(source.values()))["name"] for source in one["envFrom"]]
        assert names == [config["metadata"]["name"], secret["metadata"]["name"]]


def commands() -> list[list[str]]:
    """All that is run of Tidemill: by Kubernetes, by Compose, and by the container if nothing is said."""
    found = [one["args"] for one in containers()]
    found += [one["command"] for one in services().values() if one.get("image") == "tidemill"]
    (given,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    return [*found, json.loads(given)]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    name, *rest = words
    with group.commands[name].make_context(name, rest) as parsed:
        assert bool(HTTP & {*parsed.params["role"]}) == (parsed.params["host"] == "0.0.0.0")  # noqa: S104 - in its container
        assert (Role.WEB in parsed.params["role"]) == (parsed.params["web_host"] == "0.0.0.0")  # noqa: S104
        assert (parsed.params["port"], parsed.params["web_port"]) == (PORT, WEB_PORT)


def test_probes_ask_what_is_answered() -> None:
    probed = [one for one in containers() if "ports" in one]
    assert [one["args"][2] for one in probed] == ["capture", "web", "worker"]
    for one in probed:
        is_web = one["args"][2] == "web"
        assert one["ports"] == [{"name": "http", "containerPort": WEB_PORT if is_web else PORT}]
        ready = server._ALIVE if is_web else server._READY
        for probe, known in (
            ("startupProbe", server._ALIVE), ("livenessProbe", server._ALIVE), ("readinessProbe", ready),
        ):  # fmt: skip
            assert one[probe]["httpGet"]["path"] in known
            assert one[probe]["httpGet"]["port"] == "http"
    text = (DEPLOY / "Containerfile").read_text()
    (port, path), (exposed,) = (
        re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", text)[0],
        re.findall(r"^EXPOSE (.+)$", text, re.M),
    )
    assert (int(port), exposed, path in server._ALIVE) == (PORT, f"{PORT} {WEB_PORT}", True)
    (probe,) = re.findall(r"http://127\.0\.0\.1:(\d+)/health", services()["web"]["healthcheck"]["test"][-1])
    assert int(probe) == WEB_PORT
    assert services()["web"]["ports"] == [f"127.0.0.1:{WEB_PORT}:{WEB_PORT}"], "of this machine alone: there is no TLS"


def test_each_role_is_there_and_has_a_budget_and_time_to_end() -> None:
    roles = {"capture", "worker", "scheduler", "web"}
    deployments = {one["metadata"]["name"]: one for one in of_kind("Deployment")}
    budgets = {one["metadata"]["name"]: one["spec"]["selector"] for one in of_kind("PodDisruptionBudget")}
    assert deployments.keys() == budgets.keys() == roles == services().keys() & roles
    for name, one in deployments.items():
        template, selector = one["spec"]["template"], one["spec"]["selector"]
        assert selector == budgets[name]
        assert selector["matchLabels"] == template["metadata"]["labels"]
        assert template["spec"]["terminationGracePeriodSeconds"] > Settings().stop_seconds + 30  # requests have so long
    served = {one["metadata"]["name"]: one["spec"]["selector"] for one in of_kind("Service")}
    assert served == {name: deployments[name]["spec"]["selector"]["matchLabels"] for name in ("capture", "web")}


def test_the_container_and_kubernetes_agree_on_who_runs_it_and_where() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    (user,), (home,) = re.findall(r"^USER (\d+)$", text, re.M), re.findall(r"TIDEMILL_HOME=(\S+)", text)
    for deployment in of_kind("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsUser"] == int(user)
        (one,) = spec["containers"]
        mounted = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
        assert mounted.keys() == {home, "/tmp"}  # noqa: S108 - the rest is read only
        assert set(mounted.values()) == {volume["name"] for volume in spec["volumes"]}
    for name in ("capture", "worker", "scheduler", "web"):
        assert services()[name]["volumes"] == [home]


def test_kustomize_finds_all_that_it_names() -> None:
    found = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert {*found["resources"], "secret.example.yaml"} == {path.name for path in MANIFESTS}
    assert {one["image"] for one in containers()} == {image["name"] for image in found["images"]}
    assert (
        found["namespace"]
        == of_kind("Namespace")[0]["metadata"]["name"]
        == of_kind("Secret")[0]["metadata"]["namespace"]
    )
