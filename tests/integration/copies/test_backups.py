"""A backup is whole, or it is none: whatever is killed, damaged or in the way, a restore brings back all or nothing,
and says what it lacks.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.installation import Installation as Full
from tests.installation import copy_home, kill_when, write_events
from tests.object_store import Store

from tidemill.app import App, copies
from tidemill.copies import containers, restore
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.events import maintenance
from tidemill.settings import Settings
from tidemill.store.postgres import open_postgres


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> Settings:
    """An installation with some events, in two files, and a credential."""
    folder = tmp_path_factory.mktemp("source")
    copy_home(made_home, folder / "home")
    settings = Settings(home=folder / "home")
    with App(settings) as app:
        for number in range(2):
            file = folder / f"{number}.jsonl"
            write_events(file, 300, first=300 * number)
            app.events.load(str(file), "posthog")
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            session.execute(
                "INSERT INTO tidemill.connections (id, name, project, dataset, adc, key, connected_by) "
                "VALUES (gen_random_uuid(), 'shop', 'project', 'dataset', false, %s, 't')",
                [app.secrets.encrypt("a key")],
            )
    return settings


def backed_up(source: Settings, to: Path, *, with_key: bool = False) -> Path:
    copies(source).backup(to, with_key=with_key, by="t")
    return to


def count(settings: Settings) -> int:
    with App(settings) as app:
        return app.events.count()[0][1]


def test_what_syncs_have_delivered_is_in_a_backup(source: Settings, tmp_path: Path) -> None:
    sync = f"syncs/{'0' * 31}1/"
    with App(source) as app:
        for number in (1, 2):
            app.event_data.objects.write(f"{sync}state-{number:012}-000000.parquet", io.BytesIO(b"state %d" % number))
        app.event_data.objects.write(f"{sync}plan-x.parquet", io.BytesIO(b"of a run"))
    backup = backed_up(source, tmp_path / "backup.tar", with_key=True)
    home = Settings(home=tmp_path / "new")
    copies(home).restore(backup, by="t")
    with App(home) as app:
        assert [one.name for one in app.event_data.objects.list("syncs/")] == [
            f"{sync}state-000000000002-000000.parquet"
        ]
        with app.event_data.objects.read(f"{sync}state-000000000002-000000.parquet") as file:
            assert file.read() == b"state 2"
    with App(source) as app:
        app.event_data.objects.delete([one.name for one in app.event_data.objects.list("syncs/")])


def test_a_backup_brings_all_back(source: Settings, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path / "backup.tar", with_key=True)
    target = Settings(home=tmp_path / "home")
    restored = copies(target).restore(backup, by="t")
    assert (restored.key, restored.backup.events, restored.backup.key.secrets) == (True, 600, 1)
    with App(target) as app:
        assert app.events.count()[0][1] == 600
        with psycopg.connect(app.postgres.dsn) as session:
            found = session.execute("SELECT key FROM tidemill.connections").fetchone()
        assert found is not None
        assert app.secrets.decrypt(found[0]) == "a key"
        write_events(tmp_path / "more.jsonl", 50, first=580)
        assert app.events.load(str(tmp_path / "more.jsonl"), "posthog").rows == 30  # it knows what it has
    with pytest.raises(ConflictError, match="already"):
        copies(target).restore(backup, by="t")
    assert not backup.stat().st_mode & 0o044
    folder = backed_up(source, tmp_path / "backup")
    assert not [path for path in folder.rglob("*") if path.stat().st_mode & 0o044]


def test_the_key_is_sealed_by_a_passphrase_or_missed(source: Settings, tmp_path: Path) -> None:
    sealing = source.model_copy(update={"backup_passphrase": "correct horse"})
    backup = backed_up(sealing, tmp_path / "sealed")
    key = (source.home_path / "secret.key").read_bytes()
    assert not any(key in path.read_bytes() for path in backup.rglob("*") if path.is_file())
    for passphrase, said in ((None, "TIDEMILL_BACKUP_PASSPHRASE"), ("wrong", "TIDEMILL_BACKUP_PASSPHRASE")):
        wrong = Settings(home=tmp_path / "home", backup_passphrase=passphrase)
        with pytest.raises(ConfigError) as told:
            copies(wrong).restore(backup, by="t")
        assert said in told.value.hint
        assert not (tmp_path / "home").exists()
    right = Settings(home=tmp_path / "home", backup_passphrase="correct horse")
    assert copies(right).restore(backup, by="t").key
    assert (tmp_path / "home" / "secret.key").read_bytes() == key

    without = backed_up(source, tmp_path / "without")
    other = Settings(home=tmp_path / "other")
    assert not copies(other).restore(without, by="t").key
    with App(other) as app, pytest.raises(ConfigError, match="secret key"):
        app.secrets.decrypt("x")  # type: ignore[arg-type]


def test_only_what_is_new_is_copied_into_a_folder(source: Settings, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path / "backup")
    before = {path: path.stat().st_ino for path in (backup / "events").rglob("*.parquet")}
    copy = Settings(home=tmp_path / "home")
    copies(copy).restore(backup, by="t")
    write_events(tmp_path / "more.jsonl", 40, first=10_000)
    with App(copy) as app:
        app.events.load(str(tmp_path / "more.jsonl"), "posthog")
    backed_up(copy, backup)
    after = {path: path.stat().st_ino for path in (backup / "events").rglob("*.parquet")}
    assert before.items() < after.items()
    assert len(list(backup.glob("*.dump"))) == 1
    assert copies(copy).verify(backup).events == 640
    with App(copy) as app:
        maintenance.compact(app.lake)
    backed_up(copy, backup)
    assert copies(copy).verify(backup).events == 640
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(ConfigError, match="something else"):
        backed_up(copy, tmp_path / "other")
    with pytest.raises(ConflictError, match="there already"):
        backed_up(copy, backed_up(copy, tmp_path / "backup.tar"))


@pytest.mark.parametrize("names", [(".lock",), (".lock", "manifest.json"), ("manifest.json",)])
def test_other_peoples_folders_are_no_backups(source: Settings, tmp_path: Path, names: tuple[str, ...]) -> None:
    """Many programs have such files in their folders. Nothing of theirs is touched."""
    folder = tmp_path / "project"
    (folder / "events" / "main").mkdir(parents=True)
    for name in (*names, "thesis.txt", "events/main/photo.jpg"):
        (folder / name).write_text('{"name": "a web app", "format": 1}')
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ConfigError, match="something else"):
        backed_up(source, folder)
    with pytest.raises(ConfigError, match=r"no backup|cannot be read"):
        copies(source).verify(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_others_put_into_a_backup_stays(source: Settings, tmp_path: Path) -> None:
    """Only names that a backup gives are removed: those of the backup before, and of one that was killed."""
    backup = backed_up(source, tmp_path / "backup")
    (backup / ".tidemill-backup").unlink()  # the manifest is sign enough
    others = [
        "letter.txt",
        ".letter.abcd_123.part",
        "events/notes.md",
        "events/main/events/photo.parquet",
        "database-old.dump",
    ]
    killed = [
        f".database-{'a' * 12}.dump.abcd_123.part",
        f"secret-{'b' * 12}.key",
        "events/main/events/ducklake-01.parquet",
    ]
    for name in others + killed:
        (backup / name).write_text("dear")
    backed_up(source, backup)
    assert [name for name in others + killed if (backup / name).exists()] == others
    assert copies(source).verify(backup).events == 600


def test_no_backup_lies_among_files_that_are_swept(source: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source.home_path)
    events = source.home_path / "events"
    for place in (events, events / "backup", tmp_path / "link" / "events" / "a.tar", tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"lies within|home directory itself"):
            backed_up(source, place)
    assert not (events / "backup").exists()
    data = source.model_copy(update={"event_data": str(tmp_path / "data")})
    with pytest.raises(ConfigError, match="lies within"):
        backed_up(data, tmp_path / "data" / "backup")


def test_a_backup_that_was_killed_is_none_and_the_one_before_stays(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = copies(source).backup(tmp_path / "before", with_key=False, by="t")
    with monkeypatch.context() as patched:
        for kind in ("_MakingFolder", "_MakingTar"):
            patched.setattr(getattr(containers, kind), "finish", killed)
        for name in ("backup", "backup.tar", "before"):
            with pytest.raises(KeyboardInterrupt):
                backed_up(source, tmp_path / name)
    with pytest.raises(ConfigError, match="not finished"):
        copies(source).verify(tmp_path / "backup")
    assert not (tmp_path / "backup.tar").exists()
    assert copies(source).verify(tmp_path / "before") == before
    backed_up(source, tmp_path / "backup")
    assert copies(source).verify(tmp_path / "backup").events == 600


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_damaged_backup_is_refused(source: Settings, tmp_path: Path, name: str) -> None:
    backup = backed_up(source, tmp_path / name)
    file = max((backup / "events").rglob("*.parquet")) if backup.is_dir() else backup
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        was = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([was[0] ^ 1]))
    target = Settings(home=tmp_path / "home")
    for ask in (copies(target).verify, lambda source: copies(target).restore(source, by="t")):
        with pytest.raises(ConfigError, match="damaged"):
            ask(backup)
    assert not (tmp_path / "home").exists()
    if backup.is_dir():
        file.unlink()
        with pytest.raises(ConfigError, match="is missing"):
            copies(target).verify(backup)
        (backup / "manifest.json").unlink()
        with pytest.raises(ConfigError, match="not finished"):
            copies(target).verify(backup)
    else:
        backup.write_bytes(backup.read_bytes()[:20_000])
        with pytest.raises(ConfigError, match=r"not a whole one|cut off"):
            copies(target).verify(backup)
    with pytest.raises(ConfigError, match="no backup"):
        copies(target).verify(tmp_path)


def test_the_next_backup_mends_what_was_found_to_be_damaged(source: Settings, tmp_path: Path) -> None:
    """All of it, and only that."""
    backup = backed_up(source, tmp_path / "backup")
    first, *others = sorted((backup / "events").rglob("*.parquet"))
    for file in others:
        file.write_bytes(bytes(file.stat().st_size))
    stays = first.stat().st_ino
    for _ in range(2):  # until then it is refused
        with pytest.raises(ConfigError, match="damaged") as told:
            copies(source).verify(backup)
        assert (others[0].name in told.value.message, "same place" in told.value.hint) == (True, True)
    assert f"{len(others) - 1} more" in told.value.message or len(others) == 1
    backed_up(source, backup)
    assert copies(source).verify(backup).events == 600
    assert (first.stat().st_ino, (backup / ".tidemill-damaged").exists()) == (stays, False)


def test_of_a_newer_tidemill_nothing_is_taken(source: Settings, tmp_path: Path) -> None:
    backup = backed_up(source, tmp_path / "backup")
    manifest = json.loads((backup / "manifest.json").read_text())
    for change in ({"revision": "9999"}, {"format": 2, "files": None}):
        (backup / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(ConfigError, match=r"newer Tidemill|format 2"):
            copies(Settings(home=tmp_path / "home")).restore(backup, by="t")
    assert not (tmp_path / "home").exists()


@contextlib.contextmanager
def breaking(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    def broken(*_: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(restore, name, broken)
        with pytest.raises(OSError, match="no more"):
            yield


@pytest.mark.parametrize("where", ["_finish"])
def test_a_restore_that_fails_leaves_nothing(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    backup = backed_up(source, tmp_path / "backup", with_key=True)
    target = Settings(home=tmp_path / "home")
    with breaking(monkeypatch, where):
        copies(target).restore(backup, by="t")
    assert not (tmp_path / "home" / "secret.key").exists()
    assert not list((tmp_path / "home" / "events").rglob("*.parquet"))
    copies(target).restore(backup, by="t")
    assert count(target) == 600


def test_a_restore_that_was_killed_is_begun_anew(source: Settings, tmp_path: Path) -> None:
    """Until then nobody may use what is there."""
    backup = backed_up(source, tmp_path / "backup", with_key=True)
    target = Settings(home=tmp_path / "home")
    killed = Full(tmp_path / "home", None, "", {**os.environ, "TIDEMILL_HOME": str(tmp_path / "home")})  # type: ignore[arg-type]
    events = tmp_path / "home" / "events"
    assert kill_when(killed.start("restore", str(backup)), lambda: events.exists() and any(events.rglob("*.parquet")))
    with pytest.raises(TidemillError, match=r"not finished|being moved") as told, App(target):
        pass
    assert "tidemill restore" in told.value.hint
    copies(target).restore(backup, by="t")
    assert count(target) == 600


def test_events_come_while_a_backup_is_made(source: Settings, tmp_path: Path) -> None:
    """Each backup is of one moment: what it says that it holds is what is restored."""
    home = tmp_path / "busy"
    copies(Settings(home=home)).restore(backed_up(source, tmp_path / "first", with_key=True), by="t")
    busy, over, loaded = Settings(home=home), threading.Event(), 0

    def load() -> None:
        nonlocal loaded
        with App(busy) as app:
            while not over.is_set():
                file = tmp_path / f"busy{loaded}.jsonl"
                write_events(file, 20, first=100_000 + 20 * loaded)
                app.events.load(str(file), "posthog")
                loaded += 1

    loader = threading.Thread(target=load)
    loader.start()
    try:
        backups = [backed_up(busy, tmp_path / "backup") for _ in range(2)]
    finally:
        over.set()
        loader.join()
    assert loaded
    target = Settings(home=tmp_path / "again")
    restored = copies(target).restore(backups[-1], by="t")
    assert count(target) == restored.backup.events >= 600
    shutil.rmtree(home / "events")
    assert copies(target).verify(backups[-1]).events == restored.backup.events


def test_a_backup_goes_into_a_database_of_ones_own_and_a_bucket(source: Settings, tmp_path: Path, store: Store) -> None:
    """And what was in the bucket before stays, if the restore is refused because of it."""
    server = open_postgres(Settings(home=tmp_path / "server"))
    with psycopg.connect(server.dsn, autocommit=True) as session:
        session.execute("CREATE ROLE keeper LOGIN")
        session.execute("CREATE DATABASE elsewhere OWNER keeper")
    host = psycopg.conninfo.conninfo_to_dict(server.dsn)["host"]
    url, data = f"postgresql://keeper@/elsewhere?host={host}", store.settings().event_data
    target = Settings(home=tmp_path / "home", database_url=url, event_data=data)
    backup = backed_up(source, tmp_path / "backup.tar", with_key=True)
    store.s3.client().put_object(Bucket=store.bucket, Key="events/letter.txt", Body=b"dear")
    with pytest.raises(ConflictError, match="files in"):
        copies(target).restore(backup, by="t")
    assert store.s3.names(store.bucket) == ["events/letter.txt"]
    store.s3.client().delete_object(Bucket=store.bucket, Key="events/letter.txt")
    copies(target).restore(backup, by="t")
    assert count(target) == 600
    assert backed_up(target, tmp_path / "again")
    assert copies(target).verify(tmp_path / "again").events == 600
