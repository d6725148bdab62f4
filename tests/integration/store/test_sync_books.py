"""What is kept of syncs: one run at a time, one worker each, what became of rows, and what accounts allow."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import random
import uuid

import pytest
import sqlalchemy as sa

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_runs import Call
from tidemill.store.tables_sync import paces


@pytest.fixture
def books(database: Database) -> SyncBooks:
    return SyncBooks.of(database)


def sync(books: SyncBooks, name: str = "crm", **fields: object) -> Sync:
    """A sync, with all that it needs."""
    connection = books.connections.add(name=name, project="p", dataset="d", adc=True, connected_by="me")
    books.sources.save(connection.id, access="read-only", state_dataset=None, location="EU", made_by="me")
    model = books.models.add(name=name, connection_id=connection.id, spec={}, made_by="me")
    account = books.accounts.add(name=name, kind="webhook", account="a", settings={}, secret=None, made_by="me")
    return books.syncs.add(name=name, model_id=model.id, destination_id=account.id, spec={}, made_by="me", **fields)


def test_of_a_sync_one_run_is_running(books: SyncBooks) -> None:
    made = sync(books)
    run = books.runs.begin(made.id, {}, "me")
    with pytest.raises(ConflictError) as caught:
        books.runs.begin(made.id, {}, "me")
    assert caught.value.code == "sync_running"
    assert books.runs.running(made.id) == run
    assert books.runs.finish(run.id, "completed").finished_at is not None
    assert books.runs.running(made.id) is None
    assert books.runs.begin(made.id, {}, "me").number == 2
    assert books.runs.numbered(made.id, 1).status == "completed"


def test_a_run_that_is_over_stays_as_it_is(books: SyncBooks) -> None:
    run = books.runs.begin(sync(books).id, {}, "me")
    books.runs.finish(run.id, "failed", {"code": "c", "message": "m", "hint": ""})
    books.runs.note(run.id, step="deliver")
    books.runs.request_cancel(run.id)
    again = books.runs.finish(run.id, "completed")
    assert (again.status, again.step, again.cancel_requested) == ("failed", "done", False)


def test_a_due_sync_is_had_by_one_worker(books: SyncBooks) -> None:
    now = books.syncs.now()
    wanted = {sync(books, f"s{n}", next_at=now - dt.timedelta(minutes=n)).id for n in range(12)}
    sync(books, "later", next_at=now + dt.timedelta(hours=1))
    paused = sync(books, "paused", next_at=now - dt.timedelta(hours=1))
    books.syncs.pause(paused.id, "me", None)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        taken = [one.id for found in pool.map(lambda n: books.syncs.take(f"w{n}", 3), range(6)) for one in found]
    assert sorted(taken) == sorted(wanted)
    assert not books.syncs.any_due()


def test_what_a_dead_worker_had_is_for_others(books: SyncBooks) -> None:
    sync(books, next_at=books.syncs.now())
    (had,) = books.syncs.take("w", 5)
    assert books.syncs.workers() == ["w"]
    assert len(books.syncs.abandon("w")) == 1
    (again,) = books.syncs.take("v", 5)
    assert (again.id, again.tries) == (had.id, 2)
    books.syncs.done(had, None)  # who was taken for dead says nothing any more
    assert books.syncs.workers() == ["v"]
    books.syncs.done(again, None, tries=0)
    assert not books.syncs.any()


def test_the_journal_gives_back_each_outcome(books: SyncBooks) -> None:
    run = books.runs.begin(sync(books).id, {}, "me")
    positions = list(range(500))
    random.Random(1).shuffle(positions)
    calls = [sorted(positions[start : start + 50]) for start in range(0, 500, 50)]
    for call in calls:
        books.runs.journal(
            run.id, Call(3, call, [(call[0], "rejected", "c", "m", False), (call[1], "retry", "", "", True)])
        )
    found = books.runs.calls(run.id, 3)
    assert [list(one.positions) for one in found] == calls
    assert [one.others[0][:3] for one in found] == [(call[0], "rejected", "c") for call in calls]
    assert found[0].others[1][4] is True
    assert not books.runs.calls(run.id, 4)
    counts = books.runs.get(run.id)
    assert (counts.written, counts.rejected, counts.to_retry) == (480, 10, 10)
    books.runs.finish(run.id, "completed")
    assert not books.runs.calls(run.id, 3)


def rejected(key: str, code: str = "bad", message: str = "It is bad.") -> dict[str, object]:
    return {"key": key, "op": "added", "status": "rejected", "code": code, "message": message, "row": {"k": key}}


def test_rows_that_were_refused_are_kept_in_their_last_version(books: SyncBooks) -> None:
    made = sync(books)
    books.rejects.keep(made.id, 1, [rejected(f"{n:04d}") for n in range(2_500)])
    books.rejects.keep(made.id, 1, [rejected("0001")])  # the same run, gone on with
    books.rejects.keep(made.id, 2, [rejected("0001", "worse", "It Is Worse.")])
    found = {one.key: one for one in books.rejects.find(made.id)}
    assert len(found) == 2_500
    assert (found["0001"].tries, found["0001"].first_run, found["0001"].code) == (2, 1, "worse")
    assert found["0002"].tries == 1
    assert [one.key for one in books.rejects.find(made.id, text="is worse")] == ["0001"]
    assert len(list(books.rejects.find(made.id, limit=7))) == 7
    assert books.rejects.count(made.id) == {"rejected": 2_500}
    assert books.rejects.refused(made.id, 1) == [("bad", "It is bad.", 2_499), ("worse", "It Is Worse.", 1)]
    books.rejects.settle(made.id, 2)
    assert [one.key for one in books.rejects.find(made.id)] == ["0001"]
    assert books.rejects.forget(made.id, ["0001", "none"]) == 1


def test_a_row_with_odd_texts_or_a_long_key_is_kept(books: SyncBooks) -> None:
    made = sync(books)
    odd = {**rejected("k" * 20_000), "row": {"a\0b": ["\ud800", {"c": "\0"}]}, "message": "no\0"}
    books.rejects.keep(made.id, 1, [odd])
    books.rejects.keep(made.id, 2, [odd])
    (found,) = books.rejects.find(made.id)
    assert (found.tries, len(found.key)) == (2, 20_000)
    assert found.row == {"a\\0b": ["\\ud800", {"c": "\\0"}]}


def test_keys_that_become_one_text_stop_nothing(books: SyncBooks) -> None:
    made = sync(books)
    for run in (1, 2):
        books.rejects.keep(made.id, run, [rejected("a\ud800"), rejected("b"), rejected("a\\ud800", "worse")])
    assert [(one.key, one.code, one.tries) for one in books.rejects.find(made.id)] == [
        ("a\\ud800", "worse", 2),
        ("b", "bad", 2),
    ]


def test_what_is_used_is_not_deleted_and_names_are_unique(books: SyncBooks) -> None:
    made = sync(books)
    with pytest.raises(ConflictError, match="used by syncs"):
        books.models.delete(made.model_id)
    with pytest.raises(ConflictError, match="used by syncs"):
        books.accounts.delete(made.destination_id)
    with pytest.raises(ConflictError) as caught:
        books.syncs.assert_free("CRM")
    assert caught.value.code == "sync_exists"
    with pytest.raises(NotFoundError, match="no sync 'x'") as unknown:
        books.syncs.get("x")
    assert "crm" in unknown.value.hint
    books.syncs.delete(made.id)
    with pytest.raises(NotFoundError):
        books.syncs.settle(made.id, pending=None)


def test_a_connection_that_is_no_source_says_how_to_make_it_one(books: SyncBooks) -> None:
    plain = books.connections.add(name="plain", project="p", dataset="d", adc=True, connected_by="me")
    with pytest.raises(ConfigError) as caught:
        books.sources.of(plain)
    assert "tidemill reverse-etl enable plain" in caught.value.hint


def take(books: SyncBooks, calls: int = 1, rows: int = 0) -> float:
    return books.paces.take("a", calls=calls, rows=rows, most_calls=10, most_rows=1_000, seconds=60)


def age(database: Database, seconds: float) -> None:
    """Let time pass for an account."""
    with database.begin() as connection:
        past = sa.update(paces).values(at=paces.c.at - dt.timedelta(seconds=seconds))
        connection.execute(past.values(not_before=paces.c.not_before - dt.timedelta(seconds=seconds)))


def test_an_account_allows_so_many_calls_and_rows_in_a_time(books: SyncBooks, database: Database) -> None:
    assert take(books, calls=10, rows=100) == 0
    wait = take(books)
    assert 5 < wait <= 6, "a call in six seconds"
    age(database, 6)
    assert take(books, rows=800) == 0
    age(database, 6)
    assert 0 < take(books, rows=800) <= 48, "so many rows are not left"
    age(database, 600)
    assert take(books, rows=5_000) == 0, "more than there can be: when it is full"


def test_who_asks_to_wait_is_left_alone_by_all(books: SyncBooks, database: Database) -> None:
    assert take(books) == 0
    books.paces.hold("a", 30)
    books.paces.hold("a", 10)
    assert 29 < take(books) <= 30
    unlimited = books.paces.take("a", calls=0, rows=0, most_calls=None, most_rows=None, seconds=1)
    assert 29 < unlimited <= 30, "also by who may call as often as it likes"
    age(database, 31)
    assert take(books) == 0


def test_workers_together_keep_to_what_is_allowed(books: SyncBooks) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waits = list(pool.map(lambda _: take(books), range(40)))
    assert waits.count(0) == 10


def test_ids_are_unlike(books: SyncBooks) -> None:
    with pytest.raises(NotFoundError):
        books.runs.get(uuid.uuid4())


def test_rows_that_are_refused_here_wait_for_nothing_else(books: SyncBooks) -> None:
    made = sync(books)
    books.rejects.keep(made.id, 1, [{**rejected("a"), "here": True}, {**rejected("b"), "status": "invalid"}])
    assert not books.rejects.any_to_try(made.id)
    books.rejects.keep(made.id, 2, [rejected("a")])  # by the destination, this time
    assert books.rejects.any_to_try(made.id)
