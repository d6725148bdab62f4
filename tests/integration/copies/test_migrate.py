"""A moved installation is the same at another place, and closed at the old one: whatever is killed, there is one that
works, and never two.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import Installation, copy_home, kill_when, write_events
from tests.object_store import Store

from tidemill.app import App, copies
from tidemill.copies import migrate
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.settings import Settings
from tidemill.store import dumps, embedded, fences
from tidemill.store.postgres import open_postgres


def load(settings: Settings, folder: Path, count: int, first: int = 0) -> None:
    file = folder / f"{os.urandom(4).hex()}.jsonl"
    write_events(file, count, first=first)
    with App(settings) as app:
        assert app.events.load(str(file), "posthog").rows == count


def known(settings: Settings) -> tuple[int, int, str]:
    """Events, persons and a secret: what must be the same."""
    with App(settings) as app:
        app.identity.catch_up()
        with psycopg.connect(app.postgres.dsn) as session:
            row = session.execute(
                "SELECT (SELECT count(*) FROM tidemill.persons), (SELECT key FROM tidemill.connections)"
            ).fetchone()
        assert row is not None
        return app.events.count()[0][1], int(row[0]), app.secrets.decrypt(row[1])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> Path:
    """A home with events, people and a secret, in which the engine was at work."""
    folder = tmp_path_factory.mktemp("template")
    copy_home(made_home, folder / "home")
    settings = Settings(home=folder / "home")
    load(settings, folder, 300)
    with App(settings) as app, psycopg.connect(app.postgres.dsn, autocommit=True) as session:
        app.identity.catch_up()
        session.execute(
            "INSERT INTO tidemill.connections (id, name, project, dataset, adc, key, connected_by) "
            "VALUES (gen_random_uuid(), 'shop', 'project', 'dataset', false, %s, 't')",
            [app.secrets.encrypt("a key")],
        )
    embedded.leave(settings.home_path / "postgres")
    return settings.home_path


@pytest.fixture
def old(tmp_path: Path, template: Path) -> Settings:
    """A copy of it."""
    copy_home(template, tmp_path / "home")
    return Settings(home=tmp_path / "home")


#: Events and persons of that, and its secret.
KNOWN = (300, 100, "a key")


@pytest.fixture
def url(postgres_server: Any) -> str:
    """An empty database of another server."""
    name = f"goal_{os.urandom(6).hex()}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
    host = psycopg.conninfo.conninfo_to_dict(postgres_server.dsn)["host"]
    return f"postgresql://postgres@/{name}?host={host}"


def test_there_and_back(old: Settings, url: str, tmp_path: Path, store: Store) -> None:
    """From one machine to a shared database and a bucket, and back to where it was."""
    place = str(store.settings().event_data).replace("s3:", "gs:")  # to DuckDB it is S3 all the same
    with psycopg.connect(open_postgres(old).dsn, autocommit=True, application_name="asleep") as session:
        session.execute("SELECT count(*) FROM tidemill.runs")
        moved = copies(old).migrate(database_url=url, event_data=place)
        with pytest.raises(psycopg.errors.UndefinedTable):  # who has it open all the same cannot write any more
            session.execute("DELETE FROM tidemill.runs")
    assert (moved.events, moved.files > 0) == (300, True)
    assert f"export TIDEMILL_EVENT_DATA={place}" in moved.settings
    with pytest.raises(ConfigError, match="was moved") as told, App(old):
        pass
    assert "TIDEMILL_DATABASE_URL" in told.value.hint
    there = old.model_copy(update={"database_url": url, "event_data": place})
    assert known(there) == KNOWN
    load(there, tmp_path, 50, first=1_000)
    with pytest.raises(ConfigError, match="there already"):
        copies(there).migrate(database_url=url, event_data=place)

    copies(there).migrate(database_url=None, event_data=None)
    assert known(old) == (350, *KNOWN[1:])
    load(old, tmp_path, 50, first=2_000)
    with pytest.raises(ConfigError, match="was moved"), App(there):
        pass


def test_events_alone_go_elsewhere_and_come_back(old: Settings, tmp_path: Path) -> None:
    elsewhere = old.model_copy(update={"event_data": str(tmp_path / "data")})
    copies(old).migrate(database_url=None, event_data=elsewhere.event_data)
    assert known(elsewhere)[0] == 300
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    with App(old) as app, pytest.raises(ConfigError, match="lie in"):  # what is left at home is not taken for them
        app.lake.position()
    load(elsewhere, tmp_path, 20, first=1_000)
    copies(elsewhere).migrate(database_url=None, event_data=None)
    assert known(old)[0] == 320
    with pytest.raises(ConflictError, match="files"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "letter.txt").touch()
        copies(old).migrate(database_url=None, event_data=str(tmp_path / "other"))
    assert known(old)[0] == 320


def test_who_comes_back_removes_what_was_his_own_alone(old: Settings, tmp_path: Path) -> None:
    """A folder may be shared: with files of another kind, and with another installation's events."""
    place = tmp_path / "data"
    there = old.model_copy(update={"event_data": str(place)})
    copies(old).migrate(database_url=None, event_data=str(place))
    copies(there).migrate(database_url=None, event_data=None)
    left = {path for path in place.rglob("*") if path.is_file()}
    for name in ("thesis.txt", "main/events/ducklake-019a-another.parquet", "main/events/ducklake-019a.parquet"):
        other = place / name
        other.write_text("dear")
        with pytest.raises(ConflictError, match="files in") as told:
            copies(old).migrate(database_url=None, event_data=str(place))
        assert f"already: {name}." in told.value.message
        assert left < {path for path in place.rglob("*") if path.is_file()}
        other.unlink()
    copies(old).migrate(database_url=None, event_data=str(place))
    assert known(there)[0] == 300
    (old.home_path / "events" / "letter.txt").touch()
    with pytest.raises(ConflictError, match=r"letter\.txt"):
        copies(there).migrate(database_url=None, event_data=None)
    assert (old.home_path / "events" / "letter.txt").exists()
    assert known(there)[0] == 300


def test_a_place_by_another_name_is_no_other_place(old: Settings, tmp_path: Path, store: Store) -> None:
    """What was left there would be removed, and is in use."""
    place = tmp_path / "data"
    there = old.model_copy(update={"event_data": str(place)})
    copies(old).migrate(database_url=None, event_data=str(place))
    (place / "moved.json").write_bytes((old.home_path / "events" / "moved.json").read_bytes())
    (tmp_path / "link").symlink_to(place)
    for other in (tmp_path / "link", place / "within", tmp_path):
        with pytest.raises((ConfigError, ConflictError), match=r"one place|files in"):
            copies(there).migrate(database_url=None, event_data=str(other))
    assert known(there)[0] == 300
    bucket = str(store.settings().event_data)
    copies(there).migrate(database_url=None, event_data=bucket)
    shared = old.model_copy(update={"event_data": bucket})
    with pytest.raises(ConfigError, match="one place"):
        copies(shared).migrate(database_url=None, event_data=bucket.replace("s3:", "gs:"))
    assert known(shared)[0] == 300


def test_the_whole_database_on_the_disk_is_for_its_owner_alone(
    old: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def looked(_: object, path: Path) -> None:
        modes.append(path.stat().st_mode & 0o777)
        raise OSError("no more")

    left = old.home_path / ".migrate-abcdefgh"  # by one that was killed
    left.mkdir()
    (left / ".lock").touch()
    monkeypatch.setattr(dumps, "load", looked)
    with pytest.raises(OSError, match="no more"):
        copies(old).migrate(database_url=url, event_data=None)
    assert modes == [0o600]
    assert not list(old.home_path.glob(".migrate-*"))


def test_nothing_moves_while_somebody_uses_it_and_not_onto_another_one(
    old: Settings, url: str, tmp_path: Path, made_home: Path
) -> None:
    environment = {**os.environ, "TIDEMILL_HOME": str(old.home)}
    hold = "import sys; from tidemill.app import App; from tidemill.settings import Settings\n"
    hold += "with App(Settings()): print('open', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(ConflictError, match="Other processes use"):
        copies(old).migrate(database_url=url, event_data=None)
    other.communicate("")
    assert known(old)[0] == 300

    copies(old).migrate(database_url=url, event_data=None)
    copy_home(made_home, tmp_path / "second")
    second = Settings(home=tmp_path / "second")
    with pytest.raises(ConflictError, match="an installation in that database"):
        copies(second).migrate(database_url=url, event_data=None)
    with App(second) as app:
        assert app.events.count()[0][1] == 0


@pytest.mark.parametrize("where", ["_copied", "_installation_closed"])
def test_one_that_fails_leaves_the_old_one_as_it_was(
    old: Settings, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(migrate._Move, where, broken)
        with pytest.raises(OSError, match="no more"):
            copies(old).migrate(database_url=url, event_data=str(tmp_path / "data"))
    assert known(old) == KNOWN
    there = old.model_copy(update={"database_url": url, "event_data": str(tmp_path / "data")})
    if where == "_installation_closed":  # it is whole, and nobody may use it while the old one is open
        with pytest.raises(TidemillError, match="not finished"), App(there):
            pass
    copies(old).migrate(database_url=url, event_data=str(tmp_path / "data"))
    assert known(there) == KNOWN


def test_one_that_is_killed_is_done_again_or_finished(old: Settings, url: str, tmp_path: Path) -> None:
    """Before the old one is closed all is begun anew; after it, only the new one has to be opened."""
    data = tmp_path / "data"
    command = Installation(old.home, None, "", {**os.environ, "TIDEMILL_HOME": str(old.home)})  # type: ignore[arg-type]
    words = ("migrate", "--to-database", url, "--to-event-data", str(data), "--json")
    embedded.leave(old.home_path / "postgres")  # it is another process that moves it
    assert kill_when(command.start(*words), lambda: data.exists() and any(data.rglob("*.parquet")))
    there = old.model_copy(update={"database_url": url, "event_data": str(data)})
    with contextlib.suppress(ConfigError):  # it was closed already
        assert known(old) == KNOWN
    embedded.leave(old.home_path / "postgres")
    again = command.run(*words)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["events"] == 300
    assert known(there) == KNOWN


_KILLED = """
import os, sys
from tidemill.app import copies
from tidemill.copies import migrate
from tidemill.events import filing
from tidemill.events.data.objects import FolderObjects
from tidemill.settings import Settings
from tidemill.store import fences

at, data = sys.argv[1:]
write = FolderObjects.write

def one_file(objects, name, file):
    write(objects, name, file)
    if name.startswith("main/"):
        os._exit(9)

def killed(*_):
    os._exit(9)

if at == "copying":
    FolderObjects.write = one_file
elif at == "verifying":
    migrate._Move._verified = killed
elif at == "marked":
    fences.remove = killed
copies(Settings()).migrate(database_url=None, event_data=data)
"""


@pytest.mark.parametrize("at", ["copying", "verifying", "marked"])
def test_of_events_alone_one_that_is_killed_is_run_again(old: Settings, tmp_path: Path, at: str) -> None:
    """At first the old place is used as before, and at last nobody writes into either until it was run again."""
    data = tmp_path / "data"
    there = old.model_copy(update={"event_data": str(data)})
    embedded.leave(old.home_path / "postgres")
    environment = {**os.environ, "TIDEMILL_HOME": str(old.home)}
    killed = subprocess.run([sys.executable, "-c", _KILLED, at, str(data)], env=environment, check=False, timeout=120)
    assert killed.returncode == 9
    assert any(data.rglob("*.parquet"))
    if at == "copying":
        load(old, tmp_path, 30, first=1_000)
        with App(there) as app, pytest.raises(ConfigError, match="lie in"):
            app.lake.position()
    else:
        for settings in (old, there):
            with pytest.raises(ConfigError, match="not finished") as told, App(settings):
                pass
            assert "migrate --to-" in told.value.hint
        with pytest.raises(ConfigError, match="not finished"):
            copies(old).migrate(database_url=None, event_data=str(tmp_path / "another"))
    moved = copies(old).migrate(database_url=None, event_data=str(data))
    assert (moved.events, moved.files > 0) == (330 if at == "copying" else 300, True)
    assert known(there)[0] == moved.events
    assert not (data / "moved.json").exists()
    copies(there).migrate(database_url=None, event_data=None)
    assert known(old)[0] == moved.events


@pytest.mark.parametrize("where", ["_copied", "_own"])
def test_of_events_alone_one_that_fails_changes_nothing(
    old: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(migrate._Move, where, broken)
        with pytest.raises(OSError, match="no more"):
            copies(old).migrate(database_url=None, event_data=str(tmp_path / "data"))
    assert not any(path.is_file() for path in (tmp_path / "data").rglob("*"))
    assert known(old)[0] == 300


def test_who_was_killed_after_the_old_one_was_closed_is_finished(
    old: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fences, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            copies(old).migrate(database_url=url, event_data=None)
    there = old.model_copy(update={"database_url": url})
    for settings in (old, there):
        with pytest.raises(TidemillError), App(settings):
            pass
    assert copies(old).migrate(database_url=url, event_data=None).events == 300
    assert known(there) == KNOWN
    with pytest.raises(ConfigError, match="was moved"):
        copies(old).migrate(database_url=url, event_data=None)
