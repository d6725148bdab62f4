"""A manifest of a project that has none: `dbt parse`, by the dbt-core that is installed here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.dbt import packages, processes
from tidemill.dbt.packages import Checkout
from tidemill.errors import ConfigError, UnavailableError

SECONDS = 600
#: What a project must not see: credentials of this installation. dbt's own variables begin with DBT_.
_PASSED_ON = re.compile(
    r"^(PATH|LANG|LC_.*|TZ|DBT_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)$"
)
#: What is a secret by its name: the project of a repository could send it elsewhere.
_HIDDEN = "DBT_ENV_SECRET_"
#: Nothing listens there: dbt parse needs no network.
_NOWHERE = "http://127.0.0.1:9"
_QUIET = ("--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors", "--no-partial-parse")
_COPIED_NOT = shutil.ignore_patterns(".git", "target", "logs", ".venv", "venv", "node_modules")


def is_project(folder: Path) -> bool:
    """Whether a dbt project is in a folder."""
    return (folder / "dbt_project.yml").is_file()


def parse(
    folder: Path,
    scratch: Path,
    *,
    project: str,
    dataset: str,
    variables: Mapping[str, Any] | None = None,
    program: str | None = None,
    checked_out: Checkout | None = None,
) -> bytes:
    """The manifest of the project in `folder`, of which a copy is parsed in `scratch`. Nothing is asked of BigQuery:
    `project` and `dataset` are where dbt would build. `program`: which dbt, unless it is the one beside us.
    `checked_out`: of a repository, whose copy it is already: it is not trusted as a folder of this machine is.

    Raises
    ------
    ConfigError
        dbt is not installed here, or does not understand the project; or it leads out of its repository.
    UnavailableError
        It does not come to an end.
    """
    command = [program] if program else _command()
    scratch.mkdir(parents=True)
    _write_profile(scratch, project, dataset)
    environment = _environment(scratch, is_trusted=checked_out is None)
    if checked_out is not None:
        copied = folder
        packages.install(folder, checked_out)
    else:
        copied = scratch / "project"
        shutil.copytree(folder, copied, ignore=_COPIED_NOT, symlinks=True)
        if _needs_packages(copied):
            _run([*command, "deps"], copied, scratch, environment)
    words = ["parse", "--target-path", str(scratch / "target")]
    if variables:
        words += ["--vars", json.dumps(dict(variables))]
    _run([*command, *words], copied, scratch, environment)
    return (scratch / "target" / "manifest.json").read_bytes()


def _command() -> list[str]:
    if importlib.util.find_spec("dbt") and importlib.util.find_spec("dbt.cli"):
        return [sys.executable, "-c", "from dbt.cli.main import cli; cli()"]
    found = shutil.which("dbt")
    if found is None:
        raise ConfigError(
            "dbt_missing",
            "The project has no target/manifest.json, and dbt-core, which writes one, is not installed here.",
            hint="pip install 'tidemill[dbt]'; or run dbt parse where dbt is, and give its manifest: --manifest.",
        )
    return [found]


def _write_profile(scratch: Path, project: str, dataset: str) -> None:
    """A profile of ours: that of the project is with who builds it."""
    target = {"type": "bigquery", "method": "oauth", "project": project, "dataset": dataset, "threads": 1}
    profile = {"tidemill": {"target": "prod", "outputs": {"prod": target}}}
    (scratch / "profiles.yml").write_text(json.dumps(profile))  # JSON is YAML


def _needs_packages(folder: Path) -> bool:
    named = any((folder / name).is_file() for name in ("packages.yml", "dependencies.yml"))
    return named and not (folder / "dbt_packages").is_dir()


def _environment(scratch: Path, *, is_trusted: bool) -> dict[str, str]:
    """What dbt sees of this machine."""
    found = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
    if not is_trusted:
        found = {name: value for name, value in found.items() if not name.upper().startswith(_HIDDEN)}
        found = {name: value for name, value in found.items() if name.lower() != "no_proxy"}
        found |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE)
    return {**found, "HOME": str(scratch), "TMPDIR": str(scratch)}


def _run(command: list[str], folder: Path, scratch: Path, environment: Mapping[str, str]) -> None:
    options = ["--project-dir", str(folder), "--profiles-dir", str(scratch), "--profile", "tidemill"]
    options += ["--log-path", str(scratch / "logs"), *_QUIET]
    try:
        done = processes.run([*command, *options], environment, SECONDS, folder=folder)
    except OSError as error:
        said = f"{command[0]} cannot be started: {error.strerror}."
        raise ConfigError("dbt_missing", said, hint="See the setting TIDEMILL_DBT.") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            "dbt_parse", f"dbt was not done after {SECONDS // 60} minutes.", hint="Give a manifest: --manifest."
        ) from None
    if done.returncode != 0:
        raise ConfigError("dbt_parse", f"dbt does not understand the project: {_told(done.stdout)}", hint=_HINT)


_HINT = "Run dbt parse in it. Variables for it: --variables; what it takes from the environment must begin with DBT_."


def _told(output: bytes) -> str:
    """What dbt said was wrong: the lines of its error, without times."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d\s*", "", line).strip() for line in output.decode(errors="replace").splitlines()]
    wrong = next((number for number, line in enumerate(lines) if "error" in line.lower()), max(0, len(lines) - 8))
    text = " ".join(" ".join(lines[wrong : wrong + 12]).split())
    return re.split(r" ?(?:\[WARNING\]|Traceback \(most recent)", text)[0][:1_000]
