"""A repository that somebody gave, as its files lie on this machine: nothing in it leads out of it.

What dbt reads and writes is said by links, and by paths in dbt_project.yml; `~` is somebody's home there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tidemill.errors import ConfigError

PROJECT = "dbt_project.yml"
_MOST_BYTES = 1_000_000
#: What ends a line in YAML 1.1, which dbt reads, and not in 1.2: a key could be hidden by it in a comment.
_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
_PATHS = re.compile(r".*[-_]paths?$|clean[-_]targets$")
#: Text that dbt replaces by something else, which nobody knows yet.
_TEMPLATE = re.compile(r"{[{%#]")
_HINT = "Take it out, or give a manifest: --manifest."


def assert_no_way_out(folder: Path) -> None:
    """Raise ConfigError if a link of a repository leads out of it: to files of this machine."""
    top = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not _leads_into(path, top):
            said = f"{path.relative_to(folder)} is a link that leads out of the repository."
            raise ConfigError("dbt_place", said, hint=_HINT)


def _leads_into(link: Path, top: Path) -> bool:
    try:
        return link.resolve().is_relative_to(top)
    except (OSError, RuntimeError):  # it leads to itself
        return False


def within(top: Path, folder: Path, path: str, *, what: str) -> Path:
    """A path that a file in a folder names; ConfigError if it is not within the repository, or not known yet."""
    if is_template(path):
        said = f"{what} is {path!r}: nobody can say where that leads."
        raise ConfigError("dbt_place", said, hint="Write the path itself, or give a manifest: --manifest.")
    found = folder / path
    try:
        is_within = found.resolve().is_relative_to(top.resolve())
    except (OSError, RuntimeError, ValueError):
        is_within = False
    if path.startswith("~") or not is_within:
        raise ConfigError("dbt_place", f"{what} is {path!r}, which leads out of the repository.", hint=_HINT)
    return found


def project(folder: Path, top: Path) -> dict[str, Any]:
    """What the dbt_project.yml of a folder says; ConfigError if one of its paths leads out of `top`."""
    found = document(folder / PROJECT)
    flags = found.get("flags")
    for name, value in [*found.items(), *(flags.items() if isinstance(flags, dict) else ())]:
        if not isinstance(name, str) or not _PATHS.match(name) or value is None:
            continue
        for path in value if isinstance(value, list) else [value]:
            if not isinstance(path, str):
                raise ConfigError("dbt_place", f"{name} of {PROJECT} is no path.", hint=_HINT)
            within(top, folder, path, what=f"{name} of {PROJECT}")
    return found


def document(file: Path) -> dict[str, Any]:
    """A YAML file with a mapping in it; an empty one if there is no such file, or nothing in it.

    Raises
    ------
    ConfigError
        It is something else.
    """
    if not file.is_file():
        return {}
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError("dbt_yaml", f"{file.name} is larger than {_MOST_BYTES:,} bytes.", hint="Make it smaller.")
        text = file.read_text("utf-8")
        if _ODD_BREAKS.search(text):
            said = f"{file.name} has a line break that not everybody reads as one (U+0085, U+2028, U+2029)."
            raise ConfigError("dbt_yaml", said, hint="Take it out.")
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or type(error).__name__
        said = f"{file.name} cannot be read: {problem}."
        raise ConfigError("dbt_yaml", said, hint="Run dbt parse in the project, and mend it.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError("dbt_yaml", f"{file.name} is no mapping.", hint="Run dbt parse in the project, and mend it.")
    return found


def is_template(text: str) -> bool:
    """Whether there is something in a text that dbt would replace."""
    return bool(_TEMPLATE.search(text))
