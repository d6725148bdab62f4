"""The embedded PostgreSQL comes up after any death, and stops with its last user."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import threading
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.crash_harness import Child

from tidemill.errors import ConfigError
from tidemill.settings import Settings
from tidemill.store import embedded
from tidemill.store.postgres import Postgres, open_postgres

USER = """
    import sys, psycopg
    from tidemill.settings import Settings
    from tidemill.store.postgres import open_postgres
    postgres = open_postgres(Settings(home=sys.argv[1]))
    say(psycopg.connect(postgres.dsn).execute("SELECT 'up'").fetchone()[0])
    wait()
"""


def answers(postgres: Postgres) -> bool:
    try:
        psycopg.connect(postgres.dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))


def lives(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def kill_server(home: Path) -> None:
    server = postmaster(home)
    server.send_signal(signal.SIGKILL)
    psutil.wait_procs([server], timeout=30)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_server_that_was_killed_is_started_again_by_the_same_process(home: Path) -> None:
    postgres = open_postgres(Settings(home=home))
    kill_server(home)
    assert answers(open_postgres(Settings(home=home)))
    assert answers(postgres)


def test_a_process_id_that_is_somebody_elses_by_now_is_no_server(home: Path) -> None:
    child = Child(USER, home)
    assert child.heard() == "up"
    lines = (home / "postgres/data/postmaster.pid").read_text().splitlines()
    child.end()
    (home / "postgres/data/postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert answers(open_postgres(Settings(home=home)))


def test_a_server_on_its_way_down_is_waited_for(home: Path) -> None:
    postgres = open_postgres(Settings(home=home))
    with psycopg.connect(postgres.dsn) as session:
        postmaster(home).send_signal(signal.SIGTERM)  # smart shutdown: waits for the sessions
        child = Child(USER, home)
        session.execute("SELECT 1")
    assert child.heard() == "up"
    child.end()


def test_a_server_that_does_not_come_to_its_end_is_stopped_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does not that has lost a process at the wrong moment."""
    monkeypatch.setattr(embedded, "_STOPS_WITHIN_SECONDS", 2)
    postgres = open_postgres(Settings(home=home))
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS a")
    server = postmaster(home)
    for child in server.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # some come and go
            if "checkpointer" in " ".join(child.cmdline()):
                child.suspend()
    server.send_signal(signal.SIGINT)
    again = open_postgres(Settings(home=home))
    with psycopg.connect(again.dsn) as session:
        assert session.execute("SELECT a FROM kept").fetchall() == [(1,)]
    assert not lives(server)


def test_a_directory_that_was_half_made_is_made_anew(home: Path) -> None:
    (home / "postgres/data.new/base").mkdir(parents=True)
    (home / "postgres/data.new/PG_VERSION").write_text("18\n")
    assert answers(open_postgres(Settings(home=home)))
    assert not (home / "postgres/data.new").exists()


def test_killed_while_it_makes_the_directory(home: Path) -> None:
    child = Child(USER, home)
    while not list(home.glob("postgres/data.new*")):
        assert child.process.poll() is None
    child.kill()
    assert answers(open_postgres(Settings(home=home)))


def test_the_last_user_stops_the_server_however_the_others_ended(home: Path) -> None:
    children = [Child(USER, home) for _ in range(3)]
    assert [child.heard() for child in children] == ["up"] * 3
    server = postmaster(home)
    children[0].kill()
    children[1].end()
    assert lives(server)
    children[2].end()
    assert not lives(server)


def test_a_forked_child_that_ends_leaves_the_server_to_its_parent(home: Path) -> None:
    code = """
        import os, sys, psycopg
        from tidemill.settings import Settings
        from tidemill.store.postgres import open_postgres
        postgres = open_postgres(Settings(home=sys.argv[1]))
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        say(psycopg.connect(postgres.dsn).execute("SELECT 'still up'").fetchone()[0])
    """
    assert Child(code, home).end() == "still up"


def test_threads_share_one_server(home: Path) -> None:
    opened: list[Postgres] = []
    threads = [threading.Thread(target=lambda: opened.append(open_postgres(Settings(home=home)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(opened)) == 1
    assert answers(opened[0])


def test_variables_of_libpq_do_not_lead_astray(home: Path) -> None:
    astray = {
        "PGPORT": "5999",
        "PGHOSTADDR": "127.0.0.1",
        "PGOPTIONS": "-c search_path=nowhere",
        "PGDATA": "/nowhere",
        "PGSERVICE": "none",
        "PGTARGETSESSIONATTRS": "standby",
    }
    code = """
        import sys
        from tidemill.settings import Settings
        from tidemill.store.database import Database
        from tidemill.store.postgres import open_postgres
        from tidemill.engine.dbos_engine import DbosEngine
        postgres = open_postgres(Settings(home=sys.argv[1]))
        Database(postgres).migrate()
        engine = DbosEngine(postgres.dsn, postgres.url)
        engine.register("plain", lambda: engine.step("one", lambda: 1))
        say(engine.start("plain", "plain").wait())
        engine.close()
    """
    assert Child(code, home, environment=astray).end() == "1"
    assert answers(open_postgres(Settings(home=home)))


@pytest.mark.parametrize("name", ["a b", 'it\'s $HOME `date` "x" ü', "ü" * 60, "x" * 150])
def test_any_path(tmp_path: Path, name: str) -> None:
    child = Child(USER, tmp_path / name)
    assert child.heard() == "up"
    child.end()


def test_another_tmpdir_finds_the_same_server_and_a_moved_home_its_own(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    first = Child(USER, long)
    assert first.heard() == "up"
    other = tmp_path / "tmp"
    other.mkdir()
    second = Child(USER, long, environment={"TMPDIR": str(other)})
    assert second.heard() == "up"
    second.end()
    first.end()
    moved = tmp_path / ("y" * 120)
    long.rename(moved)
    third = Child(USER, moved)
    assert third.heard() == "up"
    third.end()
    assert not long.exists()


def test_the_home_is_for_its_owner_only_and_one_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    for name, mode in (("new", 0o700), ("mine", 0o755)):
        Child(USER, tmp_path / name).end()
        assert (tmp_path / name).stat().st_mode & 0o700 == mode & 0o700
        assert (tmp_path / name).stat().st_mode & 0o066 == mode & 0o066
        assert (tmp_path / name / "postgres/data").stat().st_mode & 0o077 == 0


def test_a_home_that_cannot_be_one_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/tidemill")):
        with pytest.raises(ConfigError) as caught:
            open_postgres(Settings(home=home))
        assert "TIDEMILL_HOME" in caught.value.hint


def test_data_of_another_version_are_not_touched(home: Path) -> None:
    (home / "postgres/data").mkdir(parents=True)
    (home / "postgres/data/PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigError, match="PostgreSQL 17"):
        open_postgres(Settings(home=home))


AS_USER = """
    import os, sys, psutil, psycopg, psycopg.conninfo, encodings.idna
    import tidemill.settings, tidemill.store.embedded, tidemill.store.postgres
    if sys.argv[2] != "0":
        os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_does_not_lock_the_owner_out(tmp_path: Path) -> None:
    owner = pwd.getpwnam("daemon")
    for parent in [tmp_path, *tmp_path.parents]:
        parent.chmod(parent.stat().st_mode | 0o001)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, owner.pw_uid, owner.pw_gid)
    for user in (0, owner.pw_uid, 0):
        child = Child(AS_USER + USER, home, user)
        assert child.heard() == "up", child.process.communicate()[1]
        child.end()
    assert {path.stat().st_uid for path in home.rglob("*")} == {owner.pw_uid}
