"""What it takes to change a dbt project by a file."""

from __future__ import annotations

import pytest

from tidemill.access.permissions import Permission
from tidemill.configuration.kinds.dbt_projects import DbtProjects
from tidemill.configuration.kinds.kind import Change, Fields

GIT: Fields = {"git": "https://git.example.com/shop.git", "branch": None, "subfolder": "", "manifest": None}
MANIFEST: Fields = {"git": None, "branch": None, "subfolder": "", "manifest": "https://ci.example.com/manifest.json"}


@pytest.mark.parametrize(
    ("before", "after", "runs"),
    [
        (None, GIT, True),
        (GIT, {**GIT, "branch": "evil"}, True),
        (MANIFEST, GIT, True),
        (None, MANIFEST, False),
        (GIT, MANIFEST, False),
        (GIT, {**GIT, "refresh": 60}, False),
    ],
)
def test_only_a_repository_that_is_new_takes_dbt_run(before: Fields | None, after: Fields, runs: bool) -> None:
    fields = [name for name in after if before is None or after[name] != before.get(name)]
    permissions = set(DbtProjects().permissions(Change("shop", before, after, fields)))
    assert permissions == {Permission.DBT_WRITE, *([Permission.DBT_RUN] if runs else [])}
    assert set(DbtProjects().permissions(None)) == {Permission.DBT_WRITE}
