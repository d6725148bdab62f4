"""Events from files into the store: complete, once, and with every refused line kept."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import threading
import zipfile
from pathlib import Path

import psycopg
import pytest
from tests.installation import Installation, write_events

from tidemill import atomic
from tidemill.app import App
from tidemill.errors import ConfigError, UnavailableError
from tidemill.events import lake
from tidemill.events.erasure import PersonEvents
from tidemill.events.sources.metadata import Metadata


@pytest.fixture
def app(tmp_path: Path) -> App:
    from tidemill.settings import Settings

    return App(Settings(home=tmp_path / "home", commit_rows=100))


def total(app: App) -> int:
    return int(app.events.count()[0][1])


def test_the_same_file_adds_nothing_the_second_time_under_any_name_or_wrapping(app: App, tmp_path: Path) -> None:
    plain = tmp_path / "events.jsonl"
    write_events(plain, 250)
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    zipped = tmp_path / "events.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, "a/events.jsonl")
    with app:
        assert app.events.load(str(plain)).rows == 250
        assert app.events.load(str(plain)).already_loaded
        copy = tmp_path / "copy.jsonl"
        copy.write_bytes(plain.read_bytes())
        assert app.events.load(str(copy)).already_loaded
        for again in (packed, zipped):
            result = app.events.load(str(again))
            assert (result.rows, result.duplicates) == (0, 250)
        assert total(app) == 250


def test_a_file_that_has_grown_adds_only_its_new_lines_even_without_ids(app: App, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    lines = [
        json.dumps({"event": "hit", "user": f"u{n % 3}", "time": f"2026-01-01T00:00:{n % 2:02d}Z"}) for n in range(40)
    ]
    file.write_text("\n".join(lines[:25]) + "\n")
    with app:
        assert app.events.load(str(file), "jsonl").rows == 25
        file.write_text("\n".join(lines) + "\n")
        result = app.events.load(str(file), "jsonl")
        assert (result.rows, result.duplicates) == (15, 25)


def test_bad_lines_are_set_aside_with_place_and_reason_and_the_rest_goes_in(app: App, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    good = '{"uuid": "a", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z"}'
    bad = {
        2: ("{not json", "json_invalid"),
        3: ('{"event": "e", "distinct_id": "d", "timestamp": "yesterday"}', "timestamp_invalid"),
        4: ('{"event": "e", "distinct_id": "d", "timestamp": "+123456-01-01"}', "timestamp_out_of_range"),
        5: ('{"event": "", "distinct_id": "d"}', "event_missing"),
        6: ('{"event": "e"}', "distinct_id_missing"),
        7: ('{"event": "e", "distinct_id": "d", "properties": [1]}', "not_an_object"),
        8: ('{"event": "e", "distinct_id": "d", "properties": {"a": NaN}}', "json_invalid"),
        9: ('{"event":"e","distinct_id":"d","properties":' + "[" * 100_000 + "]" * 100_000 + "}", "json_too_deep"),
    }
    lines = [good, *(text for text, _ in bad.values()), good.replace('"a"', '"b"')]
    file.write_bytes(b"\n".join(line.encode() for line in lines) + b'\n{"event": "\xff", "distinct_id": "d"}\n')
    with app:
        result = app.events.load(str(file), "posthog")
        assert (result.rows, result.rejects) == (2, 9)
        found = {reject.place.rsplit(" ", 1)[1]: reject.code for reject in app.events.rejects()}
        assert found == {str(line): code for line, (_, code) in bad.items()} | {"11": "invalid_utf8"}
        out = tmp_path / "rejects.jsonl"
        assert app.events.export_rejects(out) == 9


def test_what_was_set_aside_can_be_read_again_with_another_mapping(app: App, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("name,who,when,stamp\nsignup,ana,soon,2026-01-01\nlogin,,soon,2026-01-02\n")
    with app:
        first = app.events.load(str(file), mapping={"distinct_id": "who", "timestamp": "when"}, team_id=7)
        assert (first.rows, first.rejects) == (0, 2)
        mended = app.events.retry_rejects(mapping={"distinct_id": "who", "timestamp": "stamp"})
        assert (mended.rows, mended.rejects) == (1, 1)
        assert [(e["event"], e["team_id"]) for e in app.events.show()] == [("signup", 7)]
        assert len(app.events.rejects()) == 1


def test_the_same_event_in_two_files_counts_once(app: App, tmp_path: Path) -> None:
    write_events(tmp_path / "one.jsonl", 150)
    write_events(tmp_path / "two.jsonl", 150, first=100)
    with app:
        app.events.load(str(tmp_path / "one.jsonl"))
        result = app.events.load(str(tmp_path / "two.jsonl"))
        assert (result.rows, result.duplicates) == (100, 50)
        other_team = app.events.load(str(tmp_path / "one.jsonl"), team_id=2)
        assert other_team.rows == 150


def test_a_file_that_breaks_off_keeps_what_it_held_and_says_so(app: App, tmp_path: Path) -> None:
    plain = tmp_path / "events.jsonl"
    write_events(plain, 2_000)
    whole = gzip.compress(plain.read_bytes(), mtime=0)
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    with app:
        with pytest.raises(ConfigError, match="damaged or cut off"):
            app.events.load(str(broken))
        held = total(app)
        assert 0 < held < 2_000
        broken.write_bytes(whole)
        app.events.load(str(broken))
        assert total(app) == 2_000


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "file_empty"), (b"\xff\xfe{\x00}\x00", "file_utf16"), (b"just some words", "format_unclear")],
)
def test_a_file_that_holds_no_events_is_refused_with_the_reason(
    app: App, tmp_path: Path, content: bytes, code: str
) -> None:
    file = tmp_path / "odd"
    file.write_bytes(content)
    with app, pytest.raises(ConfigError) as caught:
        app.events.load(str(file))
    assert caught.value.code == code
    assert caught.value.hint


def test_files_are_joined_and_nothing_is_lost_or_exported_twice(installation: Installation, tmp_path: Path) -> None:
    uuids: list[str] = []
    with installation.app(commit_rows=20) as app:
        installation.connect(app)
        app.exports.create("warehouse", {"name": "daily", "table": "events"}, by="tester")
        for turn in range(3):
            uuids += write_events(tmp_path / f"{turn}.jsonl", 100, first=turn * 1_000)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            if turn == 0:
                app.exports.run("daily", by="tester")
            compacted = app.events.compact()
            assert compacted.files_after <= compacted.files_before
        app.exports.run("daily", by="tester")
        assert installation.uuids() == sorted(uuids)


def test_commits_and_deletions_go_on_while_files_are_joined(app: App, tmp_path: Path) -> None:
    per_snapshot = "SELECT snapshot_id, list_sort(list(uuid)) FROM (SELECT *, snapshot_id FROM lake.events) GROUP BY 1"
    stop, failed = threading.Event(), []

    def join() -> None:
        try:
            while not stop.is_set():
                app.events.compact()
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    uuids = write_events(tmp_path / "events.jsonl", 3_000)
    with app:
        app.lake.position()
        joining = threading.Thread(target=join)
        joining.start()
        app.events.load(str(tmp_path / "events.jsonl"))
        gone = PersonEvents(app.lake, Metadata("tidemill"))
        gone.delete(1, uuids[:50])
        stop.set()
        joining.join()
        assert failed == []
        with app.lake.cursor() as cursor:
            before = dict(cursor.execute(per_snapshot).fetchall())
        app.events.compact()
        with app.lake.cursor() as cursor:
            assert dict(cursor.execute(per_snapshot).fetchall()) == before
        assert sorted(uuid for found in before.values() for uuid in found) == sorted(uuids[50:])
        assert len(before) == 30


def test_a_file_is_on_disk_before_the_catalog_names_it(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut would leave a catalog of files that are empty."""
    synced: set[str] = set()
    real = atomic.sync

    def named() -> set[str]:
        with app.lake.cursor() as cursor:
            found = cursor.execute("SELECT data_file FROM ducklake_list_files('lake', 'events')").fetchall()
        return {file for (file,) in found}

    def sync(path: Path) -> None:
        assert str(path) not in named(), "the catalog names it already"
        synced.add(str(path))
        real(path)

    write_events(tmp_path / "events.jsonl", 300)
    with app:
        app.lake.position()
        monkeypatch.setattr(atomic, "sync", sync)
        app.events.load(str(tmp_path / "events.jsonl"))
        loaded = named()
        app.events.compact()
        joined = named()
        assert len(loaded) == 3
        assert len(joined) == 1
        assert loaded | joined <= synced
        folder = Path(next(iter(joined))).parent
        assert {str(folder), str(folder.parent), str(folder.parent.parent)} <= synced


def test_a_commit_waits_for_one_that_postgresql_has_not_ended_though_its_process_is_dead(
    app: App, tmp_path: Path
) -> None:
    write_events(tmp_path / "events.jsonl", 30)
    with app, psycopg.connect(app.postgres.dsn) as dead, psycopg.connect(app.postgres.dsn, autocommit=True) as looking:
        app.lake.position()
        dead.execute("SELECT pg_advisory_xact_lock(%s)", [lake.COMMITTING])
        loading = threading.Thread(target=app.events.load, args=[str(tmp_path / "events.jsonl")])
        loading.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while looking.execute(waiting).fetchone() == (0,):
            assert loading.is_alive()
        assert app.lake.position() == 0
        dead.rollback()
        loading.join()
        assert total(app) == 30


def test_secrets_and_home_are_for_the_owner_only(app: App) -> None:
    with app:
        home = app.settings.home_path
        assert home.stat().st_mode & 0o077 in {0, 0o001}  # root lets PostgreSQL's own user pass through
        assert (home / "secret.key").stat().st_mode & 0o077 == 0
        assert os.environ.get("TIDEMILL_DATABASE_URL") is None
        assert app.secrets.decrypt(app.secrets.encrypt("ä")) == "ä"
        app.secrets.path.unlink()
    from tidemill.store.secrets import Secrets

    with pytest.raises(ConfigError, match="is gone"):
        Secrets(app.settings).decrypt(b"x")


def test_rejects_can_be_retried_in_a_process_that_has_not_used_the_store_yet(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("name,who,when,stamp\nsignup,ana,soon,2026-01-01\n")
    assert (
        installation.run("events", "load", str(file), "--map", "distinct_id=who", "--map", "timestamp=when").returncode
        == 0
    )
    mended = installation.run("events", "rejects", "retry", "--map", "distinct_id=who", "--map", "timestamp=stamp")
    assert mended.returncode == 0
    assert "1 added" in mended.stderr


def test_a_setting_that_is_none_is_named(installation: Installation) -> None:
    done = installation.run("events", "count", TIDEMILL_DUCKDB_THREADS="many")
    assert done.returncode == 2
    assert "TIDEMILL_DUCKDB_THREADS" in done.stderr


def test_the_team_that_the_user_names_wins_over_the_one_in_the_file(app: App, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text(
        '{"uuid": "a", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z", "team_id": 42}\n'
        '{"uuid": "b", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z"}\n'
    )
    with app:
        app.events.load(str(file), "posthog")
        assert sorted(app.events.count(by="team")) == [(1, 1), (42, 1)]
        app.events.load(str(file), "posthog", team_id=7)
        assert sorted(app.events.count(by="team")) == [(1, 1), (7, 2), (42, 1)]


def test_a_full_disk_ends_a_load_with_a_reason_and_the_next_one_goes_on(app: App, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    noise = (os.urandom(2000).hex() for _ in range(300))
    file.write_text("\n".join(f'{{"uuid":"{n}","event":"e","distinct_id":"d","x":"{t}"}}' for n, t in enumerate(noise)))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with app:
        assert total(app) == 0  # PostgreSQL runs by now, without the limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, unlimited[1]))
        try:
            with pytest.raises(UnavailableError) as caught:
                app.events.load(str(file))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert caught.value.code == "disk_full"
        app.events.load(str(file))
        assert total(app) == 300


def test_the_first_lines_may_be_bad_and_lack_columns(app: App, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    good = [json.dumps({"action": "hit", "user": "u"})] + [
        json.dumps({"action": "hit", "user": "u", "time": f"2026-01-01T00:00:{n:02d}Z"}) for n in range(5)
    ]
    file.write_text("\n".join(['e": "cut off"}', "{no", *good]))
    with app:
        result = app.events.load(str(file))
        assert (result.rows, result.rejects) == (6, 2)
        assert "timestamp from time" in " ".join(result.notes)
        times = sorted(str(event["timestamp"]) for event in app.events.show(limit=10))
        assert [time[:19] for time in times[:5]] == [f"2026-01-01 00:00:{n:02d}" for n in range(5)]


def test_rejects_that_are_dismissed_are_listed_no_longer(app: App, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{no\n{"event": "", "distinct_id": "d"}\n{"event": "e"}\n')
    with app:
        app.events.load(str(file), "posthog")
        first, *_ = app.events.rejects()
        assert app.events.dismiss_rejects(ids=[first.id]) == 1
        assert app.events.dismiss_rejects(code="json_invalid") == 1
        assert [reject.code for reject in app.events.rejects()] == ["event_missing"]
        assert app.events.dismiss_rejects() == 1
        assert app.events.rejects() == []


def test_a_home_that_was_moved_works_on(tmp_path: Path) -> None:
    from tidemill.settings import Settings
    from tidemill.store import embedded

    write_events(tmp_path / "one.jsonl", 300)
    write_events(tmp_path / "two.jsonl", 300, first=200)
    with App(Settings(home=tmp_path / "old", commit_rows=100)) as app:
        app.events.load(str(tmp_path / "one.jsonl"))
    embedded.leave(tmp_path / "old" / "postgres")  # as at the end of the process: nothing runs while it is moved
    (tmp_path / "old").rename(tmp_path / "new")
    with App(Settings(home=tmp_path / "new", commit_rows=100)) as app:
        assert app.events.load(str(tmp_path / "two.jsonl")).rows == 200
        assert total(app) == 500
        app.events.compact()
        assert len(app.events.show(limit=500)) == 500


def test_what_is_retried_is_of_the_team_of_its_load_and_the_same_event_as_if_it_had_come_with_it(
    app: App, tmp_path: Path
) -> None:
    """Untimed events without ids are known by their file and their place in it."""
    file = tmp_path / "log.jsonl"
    lines = [{"event": "x", "user": "c", "team_id": 42}, {"name": "hit", "who": "a"}, {"name": "hit", "who": "b"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    told = {"event": "name", "distinct_id": "who"}
    with app:
        wrong = {"event": "event", "distinct_id": "user"}
        assert app.events.load(str(file), "jsonl", team_id=7, mapping=wrong).rows == 1
        assert app.events.retry_rejects(mapping=told).rows == 2
        assert app.events.count(by="team") == [(7, 3)]
        file.write_text("\n".join(map(json.dumps, lines[1:])))
        assert app.events.load(str(file), "jsonl", team_id=7, mapping=told).rows == 2, "another file is other events"


def test_many_small_loads_leave_few_files(app: App, tmp_path: Path) -> None:
    with app:
        for number in range(40):
            write_events(tmp_path / "few.jsonl", 12, first=100 * number)
            app.events.load(str(tmp_path / "few.jsonl"))
        with app.lake.cursor() as cursor:
            files = cursor.execute("SELECT count(*) FROM ducklake_list_files('lake', 'events')").fetchall()[0][0]
        assert files < 32
        assert total(app) == 480


def test_two_homes_on_one_database_of_the_users_own(installation: Installation, tmp_path: Path) -> None:
    """From load to export, with nothing else to change; the second machine has to know where the files are."""
    from tests.installation import CONNECTION

    from tidemill.settings import Settings
    from tidemill.store.postgres import open_postgres

    server = open_postgres(Settings(home=tmp_path / "server"))
    url = server.url.replace("+psycopg", "")
    one = Settings(home=tmp_path / "one", database_url=url)
    write_events(tmp_path / "events.jsonl", 120)
    with App(one) as app:
        installation.connect(app)
        app.events.load(str(tmp_path / "events.jsonl"))
    with App(Settings(home=tmp_path / "two", database_url=url)) as app:
        with pytest.raises(ConfigError, match="lie in") as caught:
            app.events.count()
        assert caught.value.hint == f"Say so: export TIDEMILL_EVENT_DATA={tmp_path}/one/events/"
    shared = Settings(home=tmp_path / "two", database_url=url, event_data=str(tmp_path / "one" / "events"))
    shutil.copy(tmp_path / "one" / "secret.key", tmp_path / "two" / "secret.key")
    with App(shared) as app:
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 120
    assert len(installation.uuids()) == 120


@pytest.mark.parametrize("format_name", ["posthog", "segment", "amplitude", "jsonl"])
def test_ids_that_are_cut_or_mended_stay_different(app: App, tmp_path: Path, format_name: str) -> None:
    ids = [f"{'x' * 200}-{n}" for n in range(3)] + ["k\\u0000", "k\\ud800", "k\\udfff", "k\\ufffd"]
    shapes = {
        "posthog": '{"uuid":"%s","event":"e","distinct_id":"u","timestamp":"2026-01-01T00:00:00Z","properties":{}}',
        "segment": '{"messageId":"%s","event":"e","type":"track","userId":"u","timestamp":"2026-01-01T00:00:00Z"}',
        "amplitude": '{"uuid":"%s","event_type":"e","user_id":"u","event_time":"2026-01-01 00:00:00"}',
        "jsonl": '{"uuid":"%s","event":"e","user":"u","time":"2026-01-01T00:00:00Z"}',
    }
    for name in ("a.jsonl", "b.jsonl"):  # the same ones, at other places
        (tmp_path / name).write_text("\n".join(shapes[format_name] % each for each in ids))
        ids.reverse()
    with app:
        assert app.events.load(str(tmp_path / "a.jsonl"), format_name).rows == len(ids)
        again = app.events.load(str(tmp_path / "b.jsonl"), format_name)
        assert (again.rows, again.duplicates) == (0, len(ids))


def test_the_folders_of_a_home_are_for_their_owner_alone(installation: Installation, tmp_path: Path) -> None:
    from tests.installation import CONNECTION

    from tidemill.bigquery.local.service import LocalBigQuery

    before = os.umask(0o022)
    try:
        LocalBigQuery(tmp_path / "new" / "home" / "bigquery").key()
        assert (tmp_path / "new" / "home").stat().st_mode & 0o077 == 0
        with installation.app(commit_rows=100) as app:
            write_events(tmp_path / "events.jsonl", 100)
            app.events.load(str(tmp_path / "events.jsonl"))
            installation.connect(app)
            app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
            app.exports.run("daily", by="tester")
    finally:
        os.umask(before)
    # As root, the home itself lets PostgreSQL's user through to its own folder.
    for name in ("events", "exports", "spill"):
        assert (installation.home / name).stat().st_mode & 0o077 == 0, name
    assert (installation.home / "secret.key").stat().st_mode & 0o077 == 0
