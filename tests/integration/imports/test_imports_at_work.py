"""Imports that meet a run of theirs at work, or a connection that is being deleted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.imports import Shop, make, prepare, run, stored
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import ConflictError
from tidemill.imports.spec import Kind

ORDERS: dict[str, Any] = {"identity": "user_id", "event": "Order Placed", "skipped": ["id"]}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        yield opened


@pytest.fixture
def shop(app: App, installation: Installation) -> Shop:
    made = prepare(app, installation, "read-only")
    made.ask("CREATE TABLE `{d}.orders` AS SELECT n AS id, 'ana' AS user_id FROM UNNEST([1, 2, 3]) AS n")
    make(app, made, "orders", "orders", Kind.EVENTS, ORDERS)
    return made


def work(app: App) -> None:
    """A worker does what is due now."""
    books = app.reverse_etl.syncs.parts.books
    books.syncs.settle(app.imports.get("orders").id, next_at=books.syncs.now() - dt.timedelta(seconds=1))
    assert app.worker.look()
    app.worker.drain()


@pytest.mark.usefixtures("shop")
def test_a_run_that_is_due_while_another_process_runs_it_waits_its_turn(app: App) -> None:
    app.imports.edit("orders", {"interval": "day"})
    lock = f"sync:{app.imports.get('orders').id}"
    books = app.reverse_etl.syncs.parts.books
    with app.reverse_etl.syncs.parts.locks.attempt(lock) as held:
        assert held
        with pytest.raises(ConflictError) as caught:
            run(app, "orders")
        assert (caught.value.code, "tidemill import cancel orders" in caught.value.hint) == ("sync_running", True)
        work(app)
        waits = books.syncs.get("orders")
        assert waits.next_at is not None
        assert waits.next_at - books.syncs.now() < dt.timedelta(minutes=1), "not only tomorrow"
        assert (waits.failures, stored(app)) == (0, [])
    work(app)
    assert len(stored(app)) == 3
    assert app.imports.get("orders").status == "scheduled"


@pytest.mark.usefixtures("shop")
def test_nothing_is_made_of_a_connection_that_is_being_deleted(app: App) -> None:
    with app.connections.ending(CONNECTION, "tester"):
        ways: list[dict[str, Any]] = [{"model": "orders"}]
        ways.append({"connection": CONNECTION, "source": {"sql": "SELECT 1 AS a", "key": ("a",)}})
        for source in ways:
            with pytest.raises(ConflictError) as caught:
                app.imports.create("more", by="tester", **source)
            assert "is being deleted" in caught.value.message
    assert [one.name for one in app.imports.find()] == ["orders"]


def test_what_is_wrong_with_an_import_is_told_with_its_own_commands(app: App, shop: Shop) -> None:
    app.imports.edit("orders", {"interval": "day", "pause_after": "1"})
    shop.ask("CREATE OR REPLACE TABLE `{d}.orders` AS SELECT 1 AS other")
    work(app)
    found = app.imports.get("orders")
    assert found.status == "paused"
    [trouble] = [one for one in app.reverse_etl.syncs.parts.books.troubles.of(found.id) if one.cause == "paused"]
    assert trouble.facts is not None
    assert (trouble.facts["group"], "tidemill import unpause orders" in trouble.facts["commands"]) == ("import", True)
