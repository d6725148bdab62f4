"""Runs of syncs that an operation wants: one of it, whoever dies in the middle, and whatever others have left."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api_client import work
from tests.installation import Installation
from tests.syncs import NAME, Crm, Killed, People, killed_there, prepare, quiet, run

from tidemill.app import App
from tidemill.reverse_etl.run import Runner


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def killed(app: App, monkeypatch: pytest.MonkeyPatch, operation: str, **asked: Any) -> None:
    """The process of an operation dies when rows were delivered, and before that is remembered."""
    syncs = app.reverse_etl.syncs
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Runner, "_commit", killed_there)
        syncs.run_once(syncs.get(NAME).id, operation, quiet(), by="me", **asked)


def test_who_follows_a_worker_that_died_goes_on_with_its_run(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.rows |= {n: (f"p{n}@example.com", "bad") for n in (7, 8)}
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    crm.sent.clear()
    syncs = app.reverse_etl.syncs
    asked: dict[str, Any] = {"by": "me", "only": lambda _: ["7"]}
    killed(app, monkeypatch, "one", only=asked["only"])
    over = syncs.run_once(syncs.get(NAME).id, "one", quiet(), **asked)
    again = syncs.run_once(syncs.get(NAME).id, "one", quiet(), **asked)
    assert (over.number, over.status, over.written, again.number) == (2, "completed", 1, 2)
    assert [row["key"] for row in crm.sent] == ["7"], "it was delivered once"
    other = syncs.run_once(syncs.get(NAME).id, "two", quiet(), by="me", only=lambda _: ["8"])
    assert (other.number, other.rejected) == (3, 1)


def test_what_others_have_left_is_brought_to_its_end_before(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm)
    run(app)
    people.rows |= {7: ("p7@example.com", "good"), 100: ("new@example.com", "free")}
    people.save()
    killed(app, monkeypatch, "another")
    asked = app.operations.retry_rows(NAME, by="anna", keys=["7"])
    work(app)
    over = app.operations.retry_by_id(NAME, asked.id)
    assert over.status == "completed", over.error
    assert crm.people == people.expected()
    assert list(app.reverse_etl.rejects.find(NAME)) == []


def test_a_run_that_was_stopped_by_its_brake_is_run_with_its_deletes_by_a_worker(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2)
    run(app)
    people.rows = dict(list(people.rows.items())[:5])
    people.save()
    assert run(app).status == "failed"
    asked = app.operations.run_with_deletes(NAME, by="anna")
    work(app)
    over = app.operations.of_sync(NAME)
    assert over is not None
    assert (over.id, over.status, over.run) == (asked.id, "completed", 3)
    assert crm.people == people.expected()
