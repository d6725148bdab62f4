"""The tables of the reference are those of the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidemill.models.registry import MODELS

PAGES = {"events": "events", "persons": "persons", "sessions": "sessions", "amplitude_events": "amplitude"}
REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_each_column_has_its_line_and_names_keep_their_capitals(name: str) -> None:
    (page,) = REFERENCE.glob(f"{PAGES[name]}-model*.md")
    lines = page.read_text().splitlines()
    for column in MODELS[name].columns:
        found = [line for line in lines if line.startswith(f"| `{column.name}` |")]
        names = re.findall(r"[A-Z]\w*'s", column.description)
        assert any(all(each in line for each in names) for line in found), column.name
