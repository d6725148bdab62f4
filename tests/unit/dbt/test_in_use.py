"""What is in use, as a document."""

from __future__ import annotations

import json

import pytest
from tests.dbt_projects import Project

from tidemill.dbt import in_use, packing
from tidemill.dbt.changes import Use
from tidemill.dbt.in_use import InUse
from tidemill.errors import ConfigError

FOUND = InUse(
    "shop", *packing.pack(Project().text(), None), (Use("model.shop.people", ("crm",), ("id",), ("email", "plan")),)
)


def test_it_comes_back() -> None:
    assert in_use.read(FOUND.text(), what="x") == FOUND


def test_a_change_is_checked_with_it() -> None:
    changed = Project()
    changed.remove("people")
    report = in_use.read(FOUND.text(), what="x").check(changed.text())
    assert [(change.code, change.syncs) for change in report.breaking] == [("model_removed", ("crm",))]


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"manifest": "%"}, {"manifest": "AAAA"}, {"uses": None}, {"uses": [{"key": 1}]}]
)
def test_what_is_something_else_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(FOUND.text()) | change).encode()
    with pytest.raises(ConfigError, match=r"in-use\.json") as caught:
        in_use.read(text, what="in-use.json")
    assert caught.value.code == "in_use_invalid"
