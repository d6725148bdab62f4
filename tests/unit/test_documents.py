"""Documents that are named to users."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from tidemill.documents import page

ROOT = Path(__file__).parents[2]


def test_pages_that_are_named_are_there() -> None:
    named = {
        name
        for file in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\bpage\([\"']([^\"']+)[\"']\)", file.read_text())
    }
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / "docs" / name).is_file()] == []


def test_they_are_at_the_projects_address() -> None:
    addresses = importlib.metadata.metadata("tidemill").get_all("Project-URL") or []
    assert f"Documentation, {page('')}".rstrip("/") in addresses
