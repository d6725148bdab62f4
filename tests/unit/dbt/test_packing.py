"""What is kept of a manifest is all that is of use of it."""

from __future__ import annotations

import dataclasses
import zlib

import pytest
from tests import dbt_projects as projects
from tests.dbt_projects import Project

from tidemill.dbt import manifest, packing


@pytest.mark.parametrize("name", ["v10", "v12_1.9", "v12_1.12"])
def test_what_dbt_wrote_comes_back_and_is_small(name: str) -> None:
    text = projects.written(name)
    packed, catalog = packing.pack(text, None)
    assert packing.unpack(packed, catalog) == manifest.read(text)
    assert len(packed) < len(text) / 50


def test_a_catalog_and_what_is_disabled_come_back() -> None:
    project = Project()
    project.disabled["model.shop.orders"] = [project.remove("orders")]
    seen = projects.catalog(id="INT64", email="STRING(10)")
    found = packing.unpack(*packing.pack(project.text(), seen))
    assert found == project.manifest(seen)
    assert dataclasses.asdict(found)["disabled"] == {"model.shop.orders"}


def test_a_file_that_stands_for_more_than_a_manifest_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_BYTES", 100_000)
    with pytest.raises(zlib.error, match="too large"):
        packing.unpack(zlib.compress(b" " * 100_001), None)
