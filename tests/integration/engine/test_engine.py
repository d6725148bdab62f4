"""What was begun is finished: by this process, or by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tidemill.engine.dbos_engine import DbosEngine
from tidemill.errors import RowError, UnavailableError
from tidemill.settings import Settings
from tidemill.store.postgres import Postgres, open_postgres


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    return open_postgres(Settings(home=tmp_path_factory.mktemp("engine")))


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[DbosEngine]:
    engine = DbosEngine(postgres.dsn, postgres.url)
    yield engine
    engine.close()


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


def test_our_errors_come_back_as_they_were_raised(engine: DbosEngine) -> None:
    def fails() -> None:
        raise RowError("odd_row", "The row is odd.", hint="Even it.")

    def workflow() -> None:
        engine.step("fails", fails)

    engine.register("failing", workflow)
    with pytest.raises(RowError) as caught:
        engine.start("failing", "failing").wait()
    assert (caught.value.code, caught.value.hint) == ("odd_row", "Even it.")


WORKER = """
    import os, sys
    from tidemill.engine.dbos_engine import DbosEngine
    engine = DbosEngine(sys.argv[1], sys.argv[2])
    done = open(sys.argv[3], "a")
    def note(number):
        if number == int(sys.argv[4]):
            os.kill(os.getpid(), 9)
        done.write(f"{number}\\n"); done.flush()
        return number
    def workflow():
        return sum(engine.step("note", note, number) for number in range(5))
    engine.register("counting", workflow)
    if sys.argv[5] == "start":
        print(engine.start("counting", sys.argv[6]).wait())
    else:
        print({name: handle.wait() for name, handle in engine.recover().items()})
    engine.close()
"""


def worker(postgres: Postgres, notes: Path, fatal: int, action: str, name: str) -> subprocess.CompletedProcess[str]:
    arguments = [postgres.dsn, postgres.url, str(notes), str(fatal), action, name]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WORKER), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("fatal", [0, 3, 4])
def test_another_process_goes_on_after_the_last_step_that_finished(
    postgres: Postgres, tmp_path: Path, fatal: int
) -> None:
    notes = tmp_path / "notes"
    killed = worker(postgres, notes, fatal, "start", f"killed-{fatal}")
    assert killed.returncode == -9
    went_on = worker(postgres, notes, -1, "recover", "")
    assert went_on.returncode == 0, went_on.stderr
    assert f"'killed-{fatal}': 10" in went_on.stdout
    assert notes.read_text().split() == ["0", "1", "2", "3", "4"]
    again = worker(postgres, notes, -1, "recover", "")
    assert again.stdout.strip() == "{}"


def test_a_living_worker_is_not_robbed(postgres: Postgres, engine: DbosEngine, tmp_path: Path) -> None:
    engine.launch()
    other = worker(postgres, tmp_path / "notes", -1, "recover", "")
    assert other.stdout.strip() == "{}"
    assert engine.alive(engine.worker)
    assert not engine.alive("somebody-who-never-was")


def test_a_worker_that_lost_its_session_stops_and_leaves_the_workflow_to_others(
    postgres: Postgres, engine: DbosEngine
) -> None:
    def cut() -> None:
        with psycopg.connect(postgres.dsn, autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
                "WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()"
            )

    def workflow() -> None:
        engine.step("cut", cut)
        engine.step("never", os.getpid)

    engine.register("cut-off", workflow)
    with pytest.raises(UnavailableError, match="lost"):
        engine.start("cut-off", "cut-off").wait()
    with psycopg.connect(postgres.dsn) as session:
        (status,) = session.execute(
            "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'cut-off'"
        ).fetchone() or ("",)
    assert status == "PENDING"
