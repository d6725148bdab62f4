"""Names of projects, datasets and tables: taken as people write them, reduced to what the API wants.

BigQuery's console shows `project:dataset.table`, SQL wants `project.dataset.table`, and PostHog's and Amplitude's forms
ask for the last part alone; all of these are understood.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from tidemill.errors import ConfigError

_PROJECT = re.compile(r"([a-z0-9.\-]+:)?[a-z][a-z0-9\-]{4,61}[a-z0-9]")
_DATASET = re.compile(r"[A-Za-z0-9_\-]{1,1024}")
_IN_TABLE = ("L", "M", "N", "Pc", "Pd", "Zs")  # Unicode categories ("Creating and using tables", table naming)
_MAX_TABLE_BYTES = 1024


@dataclasses.dataclass(frozen=True)
class Name:
    """What was understood. `note` says in a sentence what was left out, if anything."""

    project: str | None
    dataset: str | None
    table: str | None
    note: str = ""


def parse_dataset(text: str) -> Name:
    """`dataset`, `project:dataset` or `project.dataset`; or a table in it, whose name is left out.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    given = text.strip().strip("`")
    parts = _parts(given)
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise ConfigError("dataset_name", f"{text!r} is no dataset id.", hint="Give the dataset id, such as analytics.")
    dataset = check_dataset(parts[min(len(parts), 2) - 1])
    project = check_project(parts[0]) if len(parts) > 1 else None
    note = f"{given} was understood as the dataset {dataset} of the project {project}." if project else ""
    return Name(project, dataset, None, note)


def parse_table(text: str) -> Name:
    """`table`, `dataset.table`, `project:dataset:table`, `project:dataset.table` or `project.dataset.table`.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    given = text.strip().strip("`")
    parts = _parts(given)
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise ConfigError("table_name", f"{text!r} is no table id.", hint="Give the table id, such as events.")
    table = check_table(parts[-1])
    dataset = check_dataset(parts[-2]) if len(parts) > 1 else None
    project = check_project(parts[0]) if len(parts) == 3 else None
    note = f"{given} was understood as the table {table}." if dataset else ""
    return Name(project, dataset, table, note)


def _parts(given: str) -> list[str]:
    """The parts of a name. A domain-scoped project (`example.com:project`) keeps its colon."""
    if scoped := re.fullmatch(r"([a-z0-9\-]+(?:\.[a-z0-9\-]+)+:[a-z][a-z0-9\-]+)[:.](.+)", given):
        return [scoped[1], *re.split(r"[:.]", scoped[2])]
    return re.split(r"[:.]", given)


def check_project(project: str) -> str:
    """The project id, if it can be one."""
    if not _PROJECT.fullmatch(project):
        raise ConfigError(
            "project_name",
            f"{project!r} is no project id.",
            hint="It has 6 to 63 lower-case letters, digits and hyphens; the console shows it beside the name.",
        )
    return project


def check_dataset(dataset: str) -> str:
    """The dataset id, if it can be one."""
    if not _DATASET.fullmatch(dataset):
        raise ConfigError(
            "dataset_name", f"{dataset!r} is no dataset id.", hint="Letters, digits and underscores only."
        )
    return dataset


def check_table(table: str) -> str:
    """The table id, if it can be one."""
    known = all(unicodedata.category(character).startswith(_IN_TABLE) for character in table)
    if not table or not known or len(table.encode()) > _MAX_TABLE_BYTES:
        raise ConfigError(
            "table_name", f"{table!r} is no table id.", hint="Letters, digits, underscores, hyphens and spaces."
        )
    return table


def quoted(project: str, dataset: str, table: str) -> str:
    """The table as SQL names it."""
    return f"`{project}.{dataset}.{table}`"


def label(text: str) -> str:
    """`text` as a label's value: lower case, 63 characters at most ("Labels", requirements)."""
    return re.sub(r"[^a-z0-9_\-]", "_", text.lower())[:63]
