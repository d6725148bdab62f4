"""What was begun is finished: by this process, or by the next one."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.crash_harness import Child
from tests.installation import Installation

from tidemill.engine import liveness, pruning
from tidemill.engine.dbos_engine import DbosEngine
from tidemill.errors import Cancelled, ConflictError, RetryableError, RowError, UnavailableError
from tidemill.store import locks
from tidemill.store.postgres import Postgres


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[DbosEngine]:
    engine = DbosEngine(postgres.dsn, postgres.url)
    yield engine
    engine.close()


def one(postgres: Postgres, query: str) -> object:
    with psycopg.connect(postgres.dsn) as session:
        return (session.execute(query.encode()).fetchone() or (None,))[0]


def end_sessions(postgres: Postgres) -> None:
    """End the sessions that hold a worker's lock."""
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.pid <> pg_backend_pid()"
        )


def test_steps_and_children_give_their_results(engine: DbosEngine) -> None:
    def child(number: int) -> int:
        return int(engine.step("double", lambda: number * 2))

    def parent() -> int:
        handles = [engine.start("child", f"family:{number}", number) for number in range(5)]
        return sum(handle.wait() for handle in handles)

    engine.register("child", child)
    engine.register("parent", parent)
    assert engine.start("parent", "family").wait() == 20
    assert engine.start("parent", "family").wait() == 20


def test_many_workflows_that_wait_for_their_children_do_not_block_each_other(engine: DbosEngine) -> None:
    engine.register("child", lambda: engine.step("one", lambda: 1))
    engine.register("parent", lambda name: engine.start("child", f"{name}:child").wait())
    handles = [engine.start("parent", f"parent-{number}", f"parent-{number}") for number in range(40)]
    assert sum(handle.wait() for handle in handles) == 40


@pytest.mark.parametrize(
    "error",
    [
        RowError("odd_row", "The row is odd.", hint="Even it."),
        RetryableError("busy", "Busy.", after=2.5),
        Cancelled(),
    ],
)
def test_our_errors_come_back_as_they_were_raised(engine: DbosEngine, error: RowError) -> None:
    def fails() -> None:
        raise error

    engine.register("failing", lambda: engine.step("fails", fails))
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            engine.start("failing", "failing").wait()
        assert vars(caught.value) == vars(error)


def test_a_bug_is_shown_as_it_is(engine: DbosEngine) -> None:
    engine.register("buggy", lambda: engine.step("bug", lambda: int("x")))
    with pytest.raises(ValueError, match="invalid literal"):
        engine.start("buggy", "buggy").wait()


WORKER = """
    import os, sys
    from tidemill.engine.dbos_engine import DbosEngine
    from tidemill.errors import ConflictError
    dsn, url, notes, fatal, action, name = sys.argv[1:]
    engine = DbosEngine(dsn, url)
    done = open(notes, "a")
    def note(number):
        if number == int(fatal):
            os.kill(os.getpid(), 9)
        done.write(f"{number}\\n"); done.flush()
        return number
    def count():
        return sum(engine.step("note", note, number) for number in range(5))
    engine.register("counting", count)
    engine.register("waiting", lambda name: engine.start("counting", name + ":child").wait())
    if action == "start":
        say(engine.start("waiting", name, name).wait())
    else:
        try:
            handle = engine.recover(name)
        except ConflictError as error:
            say(error.code)
        else:
            say(handle.wait() if handle else None)
    wait()
    engine.close()
"""


def worker(postgres: Postgres, notes: Path, fatal: int, action: str = "recover", name: str = "job") -> Child:
    return Child(WORKER, postgres.dsn, postgres.url, notes, fatal, action, name)


@pytest.mark.parametrize("fatal", [0, 4])
def test_another_process_goes_on_after_the_last_step_that_finished(
    postgres: Postgres, tmp_path: Path, fatal: int
) -> None:
    notes = tmp_path / "notes"
    killed = worker(postgres, notes, fatal, "start", "job")
    assert killed.process.wait() == -9
    killed.kill()
    assert worker(postgres, notes, -1).end() == "10"
    assert notes.read_text().split() == ["0", "1", "2", "3", "4"]
    assert worker(postgres, notes, -1).end() == "None"
    assert one(postgres, "SELECT count(*) FROM tidemill_engine.workers") == 0


def test_killed_again_and_again_while_it_is_taken_over(postgres: Postgres, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for fatal, action in ((1, "start"), (2, "recover"), (2, "recover"), (4, "recover")):
        killed = worker(postgres, notes, fatal, action, "job")
        assert killed.process.wait() == -9
        killed.kill()
    assert worker(postgres, notes, -1).end() == "10"
    assert notes.read_text().split() == ["0", "1", "2", "3", "4"]


def test_who_takes_over_moves_it_and_no_bystander(postgres: Postgres, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    bystanders = [worker(postgres, notes, -1, "start", f"bystander-{number}") for number in range(2)]
    assert [child.heard() for child in bystanders] == ["10", "10"]
    killed = worker(postgres, notes, 3, "start", "job")
    assert killed.process.wait() == -9
    killed.kill()
    taking = worker(postgres, notes, -1)
    assert taking.heard() == "10"
    movers = "SELECT string_agg(DISTINCT executor_id, ',') FROM dbos.workflow_status WHERE workflow_uuid LIKE "
    others = str(one(postgres, movers + "'bystander%'")).split(",")
    assert len(others) == 2
    assert one(postgres, movers + "'job%'") not in others
    for child in (*bystanders, taking):
        child.end()


def test_of_two_that_take_over_at_once_one_gets_it(postgres: Postgres, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    killed = worker(postgres, notes, 0, "start")
    assert killed.process.wait() == -9
    killed.kill()
    both = [worker(postgres, notes, -1) for _ in range(3)]
    said = [child.heard() for child in both]  # all of them live on
    assert said.count("10") == 1
    assert set(said) <= {"10", "workflow_running", "None"}  # the others came while it ran, or after its end
    for child in both:
        child.end()
    assert notes.read_text().split() == ["0", "1", "2", "3", "4"]


def test_who_takes_one_over_leaves_the_others_to_those_who_want_them(postgres: Postgres, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for number in range(3):
        killed = worker(postgres, notes, 0, "start", f"job-{number}")
        assert killed.process.wait() == -9
        killed.kill()
    both = [worker(postgres, notes, -1, "recover", f"job-{number}") for number in range(2)]
    assert [child.end() for child in both] == ["10", "10"]
    assert notes.read_text().split().count("0") == 2
    assert one(postgres, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'") == 2
    assert worker(postgres, notes, -1, "recover", "job-2").end() == "10"
    assert worker(postgres, notes, -1, "recover", "job").end() == "None"  # which never was


def test_a_living_worker_is_not_robbed(postgres: Postgres, engine: DbosEngine, tmp_path: Path) -> None:
    def while_it_runs() -> str:
        return worker(postgres, tmp_path / "notes", -1, "recover", "long").end()

    engine.register("long", lambda: engine.step("while it runs", while_it_runs))
    assert engine.start("long", "long").wait() == "workflow_running"
    assert engine.alive(engine.worker)
    assert not engine.alive("somebody-who-never-was")


def frozen(postgres: Postgres, notes: Path) -> Child:
    """A worker that is frozen in the first of two steps, each of which writes a line."""
    code = """
        import sys
        from pathlib import Path
        from tidemill.engine.dbos_engine import DbosEngine
        from tidemill.errors import TidemillError
        from tidemill.settings import Settings
        from tidemill.store.postgres import open_postgres
        postgres = open_postgres(Settings(database_url=sys.argv[1]))
        engine = DbosEngine(postgres.dsn, postgres.url)
        def note(text):
            with Path(sys.argv[2]).open("a") as file:
                file.write(text + " ")
        def first():
            say("in the step")
            wait()
            note("frozen-first")
        def workflow():
            engine.step("first", first)
            engine.step("second", note, "frozen-second")
        engine.register("job", workflow)
        try:
            engine.start("job", "job").wait()
        except TidemillError as error:
            say(error.code)
        engine.close()
    """
    found = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    url = f"postgresql://postgres@/{found['dbname']}?host={found['host']}&port={found['port']}"
    child = Child(code, url, notes)
    assert child.heard() == "in the step"
    child.process.send_signal(signal.SIGSTOP)
    return child


def test_a_worker_that_is_frozen_for_long_is_replaced_and_does_no_harm_when_it_wakes(
    postgres: Postgres, engine: DbosEngine, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    child = frozen(postgres, notes)

    def workflow() -> None:
        engine.step("first", lambda: None)
        engine.step("second", lambda: notes.write_text("second "))

    engine.register("job", workflow)
    with pytest.raises(ConflictError):  # not yet
        engine.recover("job")
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        silent = "UPDATE tidemill_engine.workers SET seen_at = now() - interval '2 minutes' WHERE pid = %s RETURNING id"
        (worker,) = session.execute(silent, [child.process.pid]).fetchall()[0]
        assert not engine.bury(worker)  # it is suspected; where the machine was asleep, it speaks now
        assert engine.alive(worker)
        session.execute("UPDATE tidemill_engine.workers SET suspected_at = now() - interval '1 minute'")
    recovered = engine.recover("job")
    assert recovered is not None
    recovered.wait()
    child.process.send_signal(signal.SIGCONT)
    assert child.end() in {"worker_lost", ""}  # it is told that it lost its session, or that the other one is done
    assert notes.read_text().split() == ["second", "frozen-first"]
    assert one(postgres, "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'job'") == "SUCCESS"


def test_a_worker_gives_signs_of_life(postgres: Postgres, engine: DbosEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.01)
    engine.launch()
    seen = "SELECT seen_at FROM tidemill_engine.workers"
    before = one(postgres, seen)
    while one(postgres, seen) == before:
        assert engine.alive(engine.worker)


def test_a_worker_that_lost_its_session_stops_and_leaves_the_workflow_to_others(
    postgres: Postgres, engine: DbosEngine
) -> None:
    lost = True

    def cut() -> None:
        if lost:
            end_sessions(postgres)

    def workflow() -> int:
        engine.step("cut", cut)
        return int(engine.step("after", os.getpid))

    engine.register("cut-off", workflow)
    engine.register("parent", lambda: engine.start("cut-off", "job:child").wait())
    with pytest.raises(UnavailableError) as caught:
        engine.start("parent", "job").wait()
    assert caught.value.code == "worker_lost"
    assert one(postgres, "SELECT string_agg(DISTINCT status, ',') FROM dbos.workflow_status") == "PENDING"
    before = engine.worker
    assert not engine.alive(before)
    with pytest.raises(UnavailableError):
        engine.start("cut-off", "another")
    assert one(postgres, "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'another'") == 0
    lost = False
    engine.close()
    recovered = engine.recover("job")
    assert engine.worker != before
    assert recovered
    assert recovered.wait() == os.getpid()


def test_a_database_that_is_away_while_it_begins_is_one_error_that_says_what_to_do(
    postgres: Postgres, engine: DbosEngine
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"postgresql://postgres@127.0.0.1:{taken.getsockname()[1]}/x"
    engine.register("one", lambda: engine.step("one", lambda: 1))
    before = engine.worker
    engine._url = nobody  # it dies after the session that shows that this worker lives was begun
    with pytest.raises(UnavailableError, match="the metadata database went away") as caught:
        engine.launch()
    assert (caught.value.code, "tidemill doctor" in caught.value.hint) == ("database_unavailable", True)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True), "nothing else is told"
    assert not engine.alive(before)
    engine._url = postgres.url
    assert engine.start("one", "job").wait() == 1


def test_when_the_database_dies_the_process_ends_with_an_error_and_the_next_one_goes_on(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from tidemill.engine.dbos_engine import DbosEngine
        from tidemill.errors import UnavailableError
        from tidemill.settings import Settings
        from tidemill.store.postgres import open_postgres
        postgres = open_postgres(Settings(home=sys.argv[1]))
        engine = DbosEngine(postgres.dsn, postgres.url)
        def die():
            if sys.argv[2] == "die":
                os.kill(int((Path(sys.argv[1]) / "postgres/data/postmaster.pid").read_text().split()[0]), 9)
            return 1
        engine.register("child", lambda: engine.step("die", die))
        engine.register("parent", lambda: engine.start("child", "job:child").wait())
        try:
            if sys.argv[2] == "die":
                engine.start("parent", "job").wait()
            else:
                say(engine.recover("job").wait())
        except UnavailableError as error:
            say(error.code)
        engine.close()
    """
    assert Child(code, tmp_path / "home", "die").end() == "worker_lost"
    assert Child(code, tmp_path / "home", "recover").end() == "1"


def test_what_ended_long_ago_is_forgotten_but_not_of_what_is_at_work(postgres: Postgres, engine: DbosEngine) -> None:
    engine.register("small", lambda: engine.step("one", lambda: 1))
    engine.register("large", lambda: engine.start("small", "large:child").wait())
    assert engine.start("small", "old").wait() == engine.start("large", "large").wait() == 1
    tables = ("workflow_status", "operation_outputs", "workflow_input", "workflow_output")

    def known() -> list[set[str]]:
        query = "SELECT string_agg(DISTINCT workflow_uuid, ' ') FROM dbos."
        return [set(str(one(postgres, query + table) or "").split()) for table in tables]

    everything = known()
    workers = "SELECT count(*) FROM tidemill_engine.workers"
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute("INSERT INTO tidemill_engine.workers (id, host, pid) VALUES ('killed', 'h', 1)")
    assert one(postgres, workers) == 2
    engine.prune()
    assert known() == everything, "it ended just now"
    assert one(postgres, workers) == 1, "one that is gone, and left nothing, is forgotten"
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute("UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid = 'large'")
        assert pruning.prune(session, hours=-1) == 1
        assert known()[:2] == [{"large", "large:child"}] * 2, "its parent is at work"
        session.execute("UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'large'")
        assert pruning.prune(session, hours=-1) == 2
    assert known() == [set()] * 4


def test_tables_of_the_engine_are_changed_in_turn_with_those_of_the_metadata() -> None:
    assert locks.key("migrate") == liveness._UPGRADES


def test_threads_that_are_first_at_once_launch_it_once(postgres: Postgres) -> None:
    engine = DbosEngine(postgres.dsn, postgres.url)
    engine.register("answer", lambda: 42)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(engine.start("answer", f"a{n}").wait()), daemon=True)
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert results == [42] * 4
    assert one(postgres, "SELECT count(*) FROM tidemill_engine.workers") == 1
    engine.close()


def test_parts_of_an_installation_are_made_once(installation: Installation) -> None:
    with installation.app() as app:
        ready, found = threading.Barrier(8), list[object]()

        def ask() -> None:
            ready.wait()
            found.append(app.exports)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len({id(one) for one in found}) == 1
