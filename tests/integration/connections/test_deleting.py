"""A connection is deleted with all that uses it, whatever that does at the moment, and whatever ends it half-way."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.deleting import OTHER, SLOW, delete, fired, is_gone, jobs
from tests.installation import CONNECTION, Installation, kill_when, write_events
from tests.schedules import NAME, load, make, now, queue
from tests.served import Server
from tests.streams import NAME as STREAM
from tests.streams import eventually, make_stream, streaming
from tests.syncs import NAME as SYNC
from tests.syncs import Crm, Killed, People, prepare, quiet

from tidemill.app import App
from tidemill.connection_users import Use
from tidemill.errors import ConflictError, NotFoundError
from tidemill.exports import ending as exports_ending
from tidemill.reverse_etl.ending import Ending


def test_all_that_uses_it_is_shown_and_nothing_is_done_before_it_is_confirmed(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    make(app)
    make_stream(app)
    assert app.connection_users.uses(CONNECTION) == [
        Use("export", NAME, ()),
        Use("stream", STREAM, ()),
        Use("sync", SYNC, ()),
        Use("model", "people", ()),
    ]
    shown = json.loads(installation.run("connection", "delete", CONNECTION, "--dry-run", "--json").stdout)
    assert [use["name"] for use in shown["uses"]] == [NAME, STREAM, SYNC, "people"]
    refused = installation.run("connection", "delete", CONNECTION)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert all(word in refused.stdout for word in (NAME, STREAM, SYNC, "people"))
    assert app.connections.get(CONNECTION).deleting_at is None
    assert app.exports.get(NAME)
    assert app.reverse_etl.syncs.get(SYNC)


def test_one_that_nothing_uses_is_deleted(installation: Installation, app: App) -> None:
    installation.connect(app)
    assert installation.run("connection", "delete", CONNECTION.upper(), "--yes").returncode == 0
    assert is_gone(app)


def test_a_run_of_a_worker_is_stopped_with_its_job_in_bigquery(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    """The table stays, and so does what is of another connection."""
    installation.connect(app)
    key = json.dumps(installation.local.key("other"))
    app.connections.add(app.connections.draft(name=OTHER, dataset=installation.dataset, key=key), by="tester")
    app.exports.create(OTHER, {"name": OTHER, "table": OTHER}, by="tester")
    uuids = load(app, tmp_path, 40)
    make(app, table="events", interval="hour")
    app.exports.run(NAME, by="tester")
    again = app.exports.runs.find(NAME, limit=1)[0]
    installation.local.set_faults(SLOW)
    process = installation.start("export", "run", "again", again.short_id)
    eventually(installation.merging, "its MERGE is at work")
    (use,) = app.connection_users.uses(CONNECTION)
    assert use.at_work[0].startswith("run ")
    said: list[str] = []
    deleted = delete(app, said.append)
    assert deleted.uses == (use,)
    assert deleted.remarks == ()
    assert "Waiting until these have stopped" in said[0]
    assert is_gone(app)
    assert jobs(installation) == []
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert installation.uuids() == uuids
    installation.local.set_faults([])
    app.exports.run(OTHER, by="tester")
    assert installation.uuids(OTHER) == uuids


def test_a_load_that_takes_long_is_waited_for_and_the_schedule_begins_nothing(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    installation.connect(app)
    make(app)
    load(app, tmp_path, 40)
    queue(app, [now()])
    installation.local.set_faults(
        [{"path": "/upload/bigquery/", "fault": "delay_response", "seconds": 5.0, "times": 1}]
    )
    server = Server(installation, tmp_path / "log")
    try:
        server.start()
        eventually(lambda: fired(installation) and app.exports.runs.find(NAME, limit=1), "the run is in the middle")
        said: list[str] = []
        assert delete(app, said.append).remarks == ()
        assert said[0].startswith("Waiting")
        assert is_gone(app)
        assert server.stop() == 0, server.said
        assert "Traceback" not in server.said
    finally:
        server.kill()


def test_what_does_not_stop_in_time_is_told_and_begins_nothing(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    installation.connect(app)
    make(app)
    load(app, tmp_path, 40)
    fault = {"path": "/upload/bigquery/", "fault": "delay_response", "seconds": 8.0, "times": 1}
    installation.local.set_faults([fault])
    process = installation.start("export", "run", NAME)
    eventually(lambda: fired(installation), "the run is in the middle")
    with pytest.raises(ConflictError, match="did not stop within 0 seconds") as late:
        delete(app, seconds=0.0)
    assert late.value.code == "connection_still_used"
    process.communicate(timeout=60)
    with pytest.raises(ConflictError) as begun:
        app.exports.run(NAME, by="tester")
    assert begun.value.code == "connection_deleting"
    assert delete(app).remarks == ()
    assert is_gone(app)


def test_a_run_that_a_dead_process_has_left_has_its_job_cancelled(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    installation.connect(app)
    load(app, tmp_path, 40)
    make(app, table="events")
    app.exports.run(NAME, by="tester")
    installation.local.set_faults(SLOW)
    process = installation.start("export", "run", "again", app.exports.runs.find(NAME, limit=1)[0].short_id)
    assert kill_when(process, lambda: bool(installation.merging()))
    assert len(jobs(installation)) == 1
    assert "(interrupted)" in app.connection_users.uses(CONNECTION)[0].at_work[0]
    assert delete(app).remarks == ()
    assert is_gone(app)
    assert jobs(installation) == []


def test_a_backfill_that_workers_move_is_over(installation: Installation, app: App, tmp_path: Path) -> None:
    installation.connect(app)
    load(app, tmp_path, 40)
    make(app)
    app.exports.run(NAME, by="tester")
    estimate = app.exports.backfills.estimate(NAME, "earliest", None, "week")
    app.exports.backfills.begin(NAME, estimate, by="tester", parallel=2, background=True)
    assert app.connection_users.uses(CONNECTION)[0].at_work == ("backfill",)
    delete(app)
    assert is_gone(app)
    assert not app.any_work()


def test_a_stream_ends(installation: Installation, app: App, tmp_path: Path) -> None:
    wanted = write_events(tmp_path / "a.jsonl", 200)
    app.events.load(str(tmp_path / "a.jsonl"))
    installation.connect(app)
    make_stream(app)
    with installation.app() as other, pytest.raises(AssertionError), streaming(other) as ended:
        eventually(lambda: not app.exports.get(STREAM).waiting_rows, "all is in the table", ended)
        assert app.connection_users.uses(CONNECTION)[0].at_work == ("stream",)
        delete(app)
        assert is_gone(app)
        eventually(lambda: ended, "it ends")
        assert isinstance(ended[0], NotFoundError | ConflictError), ended
        raise AssertionError
    assert installation.uuids() == wanted


def test_a_stream_whose_process_is_frozen_is_cut_off(installation: Installation, app: App, tmp_path: Path) -> None:
    """When it wakes, it ends, and sends nothing."""
    wanted = write_events(tmp_path / "a.jsonl", 200)
    app.events.load(str(tmp_path / "a.jsonl"))
    installation.connect(app)
    make_stream(app)
    process = installation.start("export", "stream", STREAM)
    eventually(lambda: not app.exports.get(STREAM).waiting_rows, "all is in the table")
    process.send_signal(signal.SIGSTOP)
    said: list[str] = []
    assert delete(app, said.append, seconds=1.0).remarks == ()
    assert f"stream {STREAM}" in said[0]
    assert is_gone(app)
    load(app, tmp_path, 20, first=500)
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in {4, 5}, told
    assert installation.uuids() == wanted


def test_broken_off_half_way_it_is_gone_on_with_and_nothing_begins_meanwhile(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare(app, installation, people, crm)
    load(app, tmp_path, 40)
    make(app)
    app.reverse_etl.syncs.run(SYNC, quiet(), by="tester")
    sent = len(crm.sent)
    with monkeypatch.context() as broken, pytest.raises(Killed):
        broken.setattr(Ending, "delete", killed)
        delete(app)
    with installation.app(outbound_allow="127.0.0.1") as after:
        assert after.exports.find() == []
        saved = after.connections.get(CONNECTION)
        assert saved.deleting_by == "ana"
        for begin in beginnings(installation, after):
            with pytest.raises(ConflictError) as refused:
                begin()
            assert refused.value.code == "connection_deleting"
        after.reverse_etl.syncs.unpause(SYNC)
        after.worker.look()
        after.worker.drain()
    assert len(crm.sent) == sent
    shown = installation.run("connection", "delete", CONNECTION, "--yes")
    assert shown.returncode == 0, shown.stderr
    assert "was begun" in shown.stderr
    assert is_gone(app)


def killed(*_: object, **__: object) -> list[str]:
    """In place of something that a process does not come to."""
    raise Killed


def beginnings(installation: Installation, app: App) -> list[Callable[[], object]]:
    """Ways to begin something on the connection."""
    fields = {"name": "two", "table": f"{installation.dataset}.people", "key": ("id",)}
    return [
        lambda: make(app, "new"),
        lambda: app.reverse_etl.models.add(CONNECTION, fields, by="tester"),
        lambda: list(app.reverse_etl.sources.enable(CONNECTION, {"access": "read-only"}, by="tester")),
        lambda: app.reverse_etl.syncs.run(SYNC, quiet(), by="tester"),
        lambda: app.connections.changed(CONNECTION, rename="other"),
        lambda: list(app.connections.test(CONNECTION)),
    ]


def test_a_command_that_is_killed_while_it_waits_is_typed_again(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    installation.connect(app)
    make(app)
    load(app, tmp_path, 40)
    installation.local.set_faults(
        [{"path": "/upload/bigquery/", "fault": "delay_response", "seconds": 5.0, "times": 1}]
    )
    run = installation.start("export", "run", NAME)
    eventually(lambda: fired(installation), "the run is in the middle")
    process = installation.start("connection", "delete", CONNECTION, "--yes")
    assert kill_when(process, lambda: app.connections.get(CONNECTION).deleting_at is not None)
    ended = installation.run("connection", "delete", CONNECTION, "--yes", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [use["name"] for use in json.loads(ended.stdout)["uses"]] == [NAME]
    assert is_gone(app)
    run.communicate(timeout=60)


def test_what_is_made_at_the_last_moment_goes_too(
    installation: Installation, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked for before the mark, and is there after it was looked what there is."""
    installation.connect(app)
    make(app)
    usable, once = app.exports._connections.usable, threading.Event()
    found = usable(CONNECTION)
    delete_one = exports_ending.Ending.delete

    def late(self: exports_ending.Ending, export: Any, *, force: bool) -> list[str]:
        done = delete_one(self, export, force=force)
        if not once.is_set():
            once.set()
            monkeypatch.setattr(app.exports._connections, "usable", lambda _: found)
            make(app, "late")
        return done

    monkeypatch.setattr(exports_ending.Ending, "delete", late)
    delete(app)
    assert is_gone(app)


@pytest.mark.torture
def test_a_process_that_is_frozen_is_cut_off(installation: Installation, app: App, tmp_path: Path) -> None:
    """After a minute and a quarter. When it wakes, it does nothing any more."""
    installation.connect(app)
    uuids = load(app, tmp_path, 40)
    make(app, table="events")
    app.exports.run(NAME, by="tester")
    installation.local.set_faults(SLOW)
    process = installation.start("export", "run", "again", app.exports.runs.find(NAME, limit=1)[0].short_id)
    eventually(installation.merging, "its MERGE is at work")
    process.send_signal(signal.SIGSTOP)
    assert delete(app, seconds=200.0).remarks == ()
    assert is_gone(app)
    assert jobs(installation) == []
    installation.local.set_faults([])
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode not in {0, -signal.SIGKILL}
    assert jobs(installation) == []
    assert installation.uuids() == uuids


def test_two_who_delete_it_are_not_in_each_others_way(installation: Installation, app: App) -> None:
    installation.connect(app)
    saved = app.connections.get(CONNECTION)
    with app._locks.attempt(f"connection:{saved.id}") as held, installation.app() as other:
        assert held
        with pytest.raises(ConflictError) as refused:
            delete(other)
    assert refused.value.code == "connection_deleting_elsewhere"
    assert app.connections.get(CONNECTION).deleting_at is None


def test_as_long_as_bigquery_does_not_answer_it_waits_for_a_word(
    installation: Installation, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports_ending, "_ASKS_WITHIN_SECONDS", 0.5)
    installation.connect(app)
    load(app, tmp_path, 40)
    make(app)
    installation.local.set_faults(
        [{"path": "/upload/bigquery/", "fault": "job_error", "reason": "invalid", "times": 9}]
    )
    with contextlib.suppress(Exception):
        app.exports.run(NAME, by="tester")
    installation.local.set_faults([{"path": "/bigquery/v2/", "fault": "cut", "times": 10_000}])
    with pytest.raises(ConflictError, match="BigQuery does not say") as refused:
        delete(app)
    assert "--force" in refused.value.hint
    (remark,) = delete(app, force=True).remarks
    assert NAME in remark
    assert is_gone(app)
    installation.local.set_faults([])
