"""A manifest of a project that has none: `dbt parse`, by the dbt-core that is installed here."""

from __future__ import annotations

import errno
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

from tidemill.dbt import bounds, packages, processes
from tidemill.dbt.bounds import Bounds
from tidemill.dbt.packages import Checkout
from tidemill.errors import ConfigError, UnavailableError

SECONDS = bounds.SECONDS
#: A manifest that is larger is not read. One of 600 models has some 30 MB.
MOST_BYTES = 500_000_000
#: What a project must not see: credentials of this installation. dbt's own variables begin with DBT_.
_PASSED_ON = re.compile(
    r"^(PATH|LANG|LC_.*|TZ|DBT_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)$"
)
#: Of a project of a repository nothing of this machine's is passed on: it could show it, or send it elsewhere.
_OF_REPOSITORY = {"PATH": bounds.PATH, "LANG": "C.UTF-8", "USER": "dbt", "LOGNAME": "dbt"}
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
    closed: tuple[Path, ...] = (),
) -> bytes:
    """The manifest of the project in `folder`, of which a copy is parsed in `scratch`. Nothing is asked of BigQuery:
    `project` and `dataset` are where dbt would build. `program`: which dbt, unless it is the one beside us.
    `checked_out`: of a repository, whose copy it is already: it is not trusted as a folder of this machine is, and dbt
    runs within bounds: `closed` is what it may not read.

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
    within = None
    if checked_out is not None:
        copied = folder
        packages.install(folder, checked_out)
        within = Bounds(scratch.parent, closed)
    else:
        copied = scratch / "project"
        shutil.copytree(folder, copied, ignore=_COPIED_NOT, symlinks=True)
        if _needs_packages(copied):
            _run([*command, "deps"], copied, scratch, environment, None)
    words = ["parse", "--target-path", str(scratch / "target")]
    if variables:
        words += ["--vars", json.dumps(dict(variables))]
    _run([*command, *words], copied, scratch, environment, within)
    return _written(scratch / "target")


def _command() -> list[str]:
    if importlib.util.find_spec("dbt") and importlib.util.find_spec("dbt.cli"):
        # -I and -P: nothing is imported from the folder in which it runs, or from where a variable says; only from
        # where we import from ourselves, which may be a folder that these leave out.
        ours = [one for one in sys.path if Path(one).is_absolute()]
        path = f"import sys; sys.path += [one for one in {ours!r} if one not in sys.path]"
        return [sys.executable, "-I", "-P", "-c", f"{path}; from dbt.cli.main import cli; cli()"]
    found = shutil.which("dbt")
    if found is None:
        raise ConfigError(
            "dbt_missing",
            "The project has no target/manifest.json, and dbt-core, which writes one, is not installed here.",
            hint="pip install 'tidemill[dbt]'; or run dbt parse where dbt is, and give its manifest: --manifest.",
        )
    return [found]


def _written(target: Path) -> bytes:
    """The manifest that dbt has made: code of the project may have put something else there."""
    file = target / "manifest.json"
    is_there = not target.is_symlink() and not file.is_symlink() and file.is_file()
    if not is_there or file.stat().st_size > MOST_BYTES:
        raise ConfigError("dbt_parse", "dbt has made no manifest of the project.", hint=_HINT)
    return file.read_bytes()


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
    if is_trusted:
        found = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
    else:
        proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        found = {**_OF_REPOSITORY, **dict.fromkeys(proxies, _NOWHERE)}
    return {**found, "HOME": str(scratch), "TMPDIR": str(scratch)}


def _run(
    command: list[str], folder: Path, scratch: Path, environment: Mapping[str, str], within: Bounds | None
) -> None:
    options = ["--project-dir", str(folder), "--profiles-dir", str(scratch), "--profile", "tidemill"]
    options += ["--log-path", str(scratch / "logs"), *_QUIET]
    words = [*command, *options]
    try:
        if within is not None:
            program = shutil.which(words[0])
            if program is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            words = within.around([program, *words[1:]])
        done = processes.run(words, environment, SECONDS, folder=scratch if within else folder)
    except OSError as error:
        said = f"{command[0]} cannot be started: {error.strerror}."
        raise ConfigError("dbt_missing", said, hint="See the setting TIDEMILL_DBT.") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            "dbt_parse", f"dbt was not done after {SECONDS // 60} minutes.", hint="Give a manifest: --manifest."
        ) from None
    if done.returncode != 0:
        raise ConfigError(
            "dbt_parse", f"dbt does not understand the project: {_told(done.stdout.strip() or done.stderr)}", hint=_HINT
        )


_HINT = (
    "Run dbt parse in it. Variables for it: --variables; of the environment, a folder sees what begins with DBT_, "
    "and a repository nothing."
)


def _told(output: bytes) -> str:
    """What dbt said was wrong: the lines of its error, without times."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d\s*", "", line).strip() for line in output.decode(errors="replace").splitlines()]
    wrong = next((number for number, line in enumerate(lines) if "error" in line.lower()), max(0, len(lines) - 8))
    text = " ".join(" ".join(lines[wrong : wrong + 12]).split())
    return re.split(r" ?(?:\[WARNING\]|Traceback \(most recent)", text)[0][:1_000]
