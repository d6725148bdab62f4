"""The page on what syncs write down is that of the tables, and what it offers to dbt is too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidemill.bigquery import written_sql

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "sync-tables.md").read_text()
TABLES = dict(
    zip(written_sql.NAMES, (written_sql.RUNS, written_sql.CHANGELOG, written_sql.SNAPSHOT), strict=True),
)


@pytest.mark.parametrize("name", TABLES)
def test_each_column_is_on_the_page_with_its_type_in_order(name: str) -> None:
    section = re.split(r"^## ", PAGE.split(f"\n## {name}\n")[1], flags=re.MULTILINE)[0]
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", section, re.MULTILINE)
    assert found == [(column.name, column.type.value, column.description) for column in TABLES[name]]


def test_dbt_is_told_of_each_table_and_column() -> None:
    (source,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, list[tuple[str, str]]] = {}
    for indent, name, description in re.findall(r'^( +)- name: (\w+)\n +description: "(.+)"$', source, re.MULTILINE):
        if len(indent) == 6:
            assert description == written_sql.NAMES[name]
            found[name] = []
        else:
            found[list(found)[-1]].append((name, description))
    assert found == {
        name: [(column.name, column.description) for column in columns] for name, columns in TABLES.items()
    }
