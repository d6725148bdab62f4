"""Kill -9 of a worker in the middle of what somebody has asked for: it is done to its end, once, whoever asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.imports import make, prepare, run, stored
from tests.installation import CONNECTION, Installation, write_events
from tests.kill_imports import COMMITS, gate
from tests.served import Server
from tests.streams import eventually

from tidemill.access.actor import Actor
from tidemill.access.permissions import Permission
from tidemill.acting import acting
from tidemill.app import App
from tidemill.errors import NotFoundError
from tidemill.imports.spec import Kind
from tidemill.operations.service import OperationView

ANNA = Actor("anna", "user", frozenset(Permission), "192.0.2.7")
ROWS = 300
SIGNUPS: dict[str, Any] = {"identity": "user_id", "event": "Signed Up", "time": "made_at", "skipped": ["id"]}
#: A statement of BigQuery is at work, and does not end.
AT_WORK: list[dict[str, Any]] = [{"path": "/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600, "times": 99}]


@pytest.fixture
def opened(installation: Installation, tmp_path: Path) -> Iterator[tuple[App, list[str]]]:
    """Three events that stay, and 300 of an import, of the same three people and of 27 more, all in tables; and the
    uuids of those that stay."""
    with installation.app() as app:
        shop = prepare(app, installation)
        kept = write_events(tmp_path / "events.jsonl", 3)  # of user-0, user-1 and user-2
        app.events.load(str(tmp_path / "events.jsonl"))
        shop.ask(
            "CREATE TABLE `{d}.signups` AS SELECT n AS id, CONCAT('user-', CAST(MOD(n, 30) AS STRING)) AS user_id, "
            f"TIMESTAMP '2026-01-01' AS made_at FROM UNNEST(GENERATE_ARRAY(0, {ROWS - 1})) AS n"
        )
        make(app, shop, "signups", "signups", Kind.EVENTS, SIGNUPS)
        run(app, "signups")
        for model in ("events", "persons"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "interval": "none"}, by="t")
            app.exports.run(model, by="t")
        yield app, kept


def killed_twice(installation: Installation, server: Server, asked: OperationView, app: App) -> None:
    """Its worker is killed when events are about to be deleted, and again when rows of a table are; another one, who
    has what it had, too."""
    with gate(installation) as opened_gate:
        with opened_gate.held(*COMMITS) as reached:
            server.start()
            eventually(reached, "events are about to be deleted")
            installation.local.set_faults(AT_WORK)
            kill(server)
        eventually(lambda: any(fault["fired"] for fault in installation.local.faults()), "a table is at work")
        assert not app.operations._book.by_id(asked.id).finished_at
        kill(server)
        installation.local.set_faults([])
    eventually(lambda: app.operations._book.by_id(asked.id).finished_at, "it is done")
    assert server.stop() == 0, server.said


def kill(server: Server) -> None:
    found = server.background()
    assert found is not None
    found.kill()


def recorded(app: App, action: str) -> list[tuple[str, str, str]]:
    return [(one.actor, one.name, one.outcome) for one in app.audit.find(action=action)]


def as_the_store_says(app: App) -> None:
    for model in ("events", "persons"):
        app.exports.run(model, by="t")
        assert app.exports.tables.verify(model, by="t").different == (), model


def test_an_undo_whose_worker_is_killed_is_done_to_its_end(
    installation: Installation, opened: tuple[App, list[str]], tmp_path: Path
) -> None:
    app, kept = opened
    server = Server(installation, tmp_path / "server.log")
    asked = acting(app, ANNA).operations.undo("signups", by=ANNA.by)
    assert (asked.status, recorded(app, "import.undo")) == ("waiting", [("anna", "signups", "begun")])
    try:
        killed_twice(installation, server, asked, app)
    finally:
        server.kill()
    over = app.operations.undo_by_id("signups", asked.id)
    assert (over.status, over.done, over.total, over.error, over.tries) == ("completed", ROWS, ROWS, None, 3)
    here = {one.place: one.rows for one in over.places if "." not in one.place}
    assert here == {"events": ROWS, "persons": 27}, "three stay as they are"
    assert recorded(app, "import.undo") == [("anna", "signups", "done")]
    assert sorted(str(one["uuid"]) for one in stored(app)) == sorted(kept)
    assert installation.uuids("events") == sorted(kept)
    assert app.identity.show(1, "user-1").id
    with pytest.raises(NotFoundError):
        app.identity.show(1, "user-7")
    assert app.imports.get("signups").status == "stopped"
    as_the_store_says(app)


def test_a_deletion_whose_worker_is_killed_is_done_to_its_end(
    installation: Installation, opened: tuple[App, list[str]], tmp_path: Path
) -> None:
    app, _ = opened
    before = len(stored(app))
    server = Server(installation, tmp_path / "server.log")
    asked = acting(app, ANNA).operations.delete_person(1, "user-1", events=True, by=ANNA.by)
    try:
        killed_twice(installation, server, asked, app)
    finally:
        server.kill()
    over = app.operations.deletion(asked.id)
    assert (over.status, over.name, over.error) == ("completed", "", None)
    assert recorded(app, "person.delete") == [("anna", "user-1", "done")]
    left = stored(app)
    assert len(left) == before - 11, "ten of the import, and one"
    assert "user-1" not in {one["distinct_id"] for one in left}
    for table in ("events", "persons"):
        assert "user-1" not in {row["distinct_id"] for row in installation.rows(table)}
    assert sorted(str(one["uuid"]) for one in left) == installation.uuids("events")
    with pytest.raises(NotFoundError):
        app.identity.show(1, "user-1")
    as_the_store_says(app)
    assert app.books.erasures.teams("user-1") == set(), "nothing is left to be done, nor kept"
