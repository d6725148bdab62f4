"""What a run did not deliver comes with the next one, though no table has changed; and what cannot be delivered does
not make runs that are for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import MAPPING, NAME, Crm, People, prepare, run

from tidemill.app import App
from tidemill.reverse_etl.watch import Watch

_DENIED = Reply(401, {"error": "who are you?"})


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.mark.parametrize("fields", [{}, {"access": "read-only"}, {"mode": "insert"}])
def test_a_resend_that_fails_is_gone_on_with_by_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm, fields: dict[str, str]
) -> None:
    prepare(app, installation, people, crm, **fields)
    run(app)
    app.reverse_etl.syncs.reset(NAME, "resend")
    crm.faults, crm.sent = [_DENIED], []
    over = run(app)
    assert (over.status, over.written, over.unsent) == ("failed", 0, 20)
    assert run(app).written == 20
    assert len(crm.sent) == 20
    assert run(app).status == "skipped"


def test_rows_of_another_mapping_that_were_not_sent_come_with_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    app.reverse_etl.syncs.edit(NAME, {"mapping": {**MAPPING, "kind": "person"}}, reset="resend")
    crm.faults = [_DENIED]
    assert run(app).status == "failed"
    shown = installation.run("sync", "show", NAME)
    assert "20 not sent" in shown.stdout
    assert run(app).written == 20
    assert {row["kind"] for row in crm.people.values()} == {"person"}


def test_what_is_cancelled_after_all_was_forgotten_comes_with_the_next_run(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    app.reverse_etl.syncs.reset(NAME, "forget")
    crm.sent = []
    watch = Watch(lambda _what, _done, _all: None)
    watch.stop_when(lambda: app.reverse_etl.syncs.show_run(NAME).step == "deliver")
    over = app.reverse_etl.syncs.run(NAME, watch, by="me")
    assert (over.status, over.written) == ("cancelled", 0)
    assert run(app).written == 20
