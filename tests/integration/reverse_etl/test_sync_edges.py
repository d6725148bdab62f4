"""What a sync does when its model, its mapping or somebody's mind changes between runs, or in one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.installation import Installation
from tests.syncs import Crm, People, prepare, run

from tidemill.app import App


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def test_another_statement_of_the_model_is_not_skipped(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    upper = f"SELECT id, UPPER(email) AS email, plan FROM `{people.table}`"
    app.reverse_etl.models.edit("people", {"sql": upper})
    assert run(app).updated == 20
    assert crm.people["3"]["email"] == "P3@EXAMPLE.COM"
    assert run(app).status == "skipped"
