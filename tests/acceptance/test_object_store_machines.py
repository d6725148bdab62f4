"""Machines that share a database and a bucket: kill -9 in the middle of commits and of joining, an object store that is
away for a while, capture and exports on both at once. Each event that was acknowledged is there once."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from tests.capture_server import CaptureServer, until
from tests.crash_harness import Child
from tests.installation import Installation
from tests.object_store import ROWS, Store, numbers
from tests.s3_server import KEY, SECRET
from tests.streams import make_stream

from tidemill.app import App
from tidemill.events import maintenance
from tidemill.events.data import cleaning
from tidemill.settings import Settings

ROUNDS = 4
BATCH = 250  # more than what lies in the catalog itself


@pytest.fixture
def environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Each home that is made from now on, in whichever process, is a machine of that installation."""
    settings = store.settings()
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("TIDEMILL_EVENT_DATA", str(settings.event_data))
    monkeypatch.setenv("TIDEMILL_SECRET_KEYS", Fernet.generate_key().decode())
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    yield store
    store.s3.watch = lambda *_: None


COMMITTING = """
    import sys
    from pathlib import Path
    from tests.object_store import ROWS, append
    from tidemill.app import App
    from tidemill.events import maintenance
    from tidemill.events.data import cleaning
    from tidemill.settings import Settings
    cleaning._UNREADABLE = cleaning._UNREADABLE.replace("1 hour", "0 hours")
    number = int(sys.argv[2])
    with App(Settings(home=Path(sys.argv[1]))) as app:
        app.lake.position()
        say("ready")
        while True:
            append(app.lake, number * ROWS)
            number += 1
            say(str(number))
            if number % 3 == 0:
                maintenance.compact(app.lake)
"""


def test_killed_while_an_object_is_asked_for(
    environment: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, draw, done = environment, random.Random(5), 0
    for turn in range(ROUNDS):
        child = Child(COMMITTING, tmp_path / f"machine {turn % 2}", done)
        assert child.heard() == "ready"
        left = draw.randint(1, 30)

        def kill(*_: str, child: Child = child) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                child.process.kill()

        store.s3.watch = kill
        while said := child.heard():
            done = int(said)
        store.s3.watch = lambda *_: None
        child.kill()
    with App(Settings(home=tmp_path / "last")) as app:
        there = numbers(app.lake)
        assert there in (list(range(done * ROWS)), list(range((done + 1) * ROWS)))
        maintenance.compact(app.lake)
        monkeypatch.setattr(cleaning, "_NOBODYS_SECONDS", -60)
        with app.lake.files(), app.lake.cursor() as cursor:
            cleaning.remove_nobodys(app.lake, told=True)
            named = cleaning.asked(cursor, cleaning._NAMED)
        assert len(named) == len(list(app.event_data.objects.list("main/")))
        assert numbers(app.lake) == there


class Sender:
    """Sends events to one machine after the other until they are acknowledged, as an SDK does."""

    def __init__(self, urls: list[str], key: str) -> None:
        self._urls, self._key = urls, key
        self.acknowledged: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._over.is_set():
            uuids = [str(uuid.uuid4()) for _ in range(BATCH if turn % 2 else 5)]
            batch = [{"event": "hit", "uuid": one, "distinct_id": one[:2], "properties": {}} for one in uuids]
            body = json.dumps({"api_key": self._key, "batch": batch}).encode()
            while not self._sent(self._urls[turn % len(self._urls)], body):
                turn += 1
            self.acknowledged += uuids
            turn += 1

    def _sent(self, url: str, body: bytes) -> bool:
        request = urllib.request.Request(f"{url}/batch/", body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False


def test_two_machines_take_and_export_at_once(
    environment: Store, fresh_installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, installation = environment, fresh_installation
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with App(Settings(home=tmp_path / "a")) as app, App(Settings(home=tmp_path / "b")) as other:
        app.event_data.keep(KEY, SECRET, by="tester")
        key, _ = app.keys.create(team_id=1, name=None, events_per_second=None, by="tester")
        installation.connect(app)
        make_stream(app, table="streamed")
        other.exports.create("warehouse", {"name": "daily", "table": "loaded"}, by="tester")
        machines = [
            CaptureServer(app, tmp_path / "a.log", words=("--role", "capture")),
            CaptureServer(other, tmp_path / "b.log", words=("--role", "capture", "--role", "worker")),
        ]
        for machine in machines:
            machine.start()
        urls = [machine.url for machine in machines]
        senders = [Sender(urls, key), Sender(urls[::-1], key)]

        def more(count: int) -> None:
            before = [len(sender.acknowledged) for sender in senders]
            reached = lambda: all(len(s.acknowledged) > b + count for s, b in zip(senders, before, strict=True))  # noqa: E731
            until(reached, "more events are taken")

        more(2 * BATCH)
        store.s3.stop()
        app.exports.get("daily")  # what needs no event data goes on
        store.s3.start()
        more(2 * BATCH)
        machines[0].writer().kill()
        app.exports.run("daily", by="tester")
        more(2 * BATCH)
        for sender in senders:
            sender.stop()
        acknowledged = sorted(one for sender in senders for one in sender.acknowledged)
        other.exports.run("daily", by="tester")
        until(lambda: not app.exports.get("live").waiting_rows, "all is streamed")
        assert [machine.stop() for machine in machines] == [0, 0]
        with app.lake.cursor() as cursor:
            found = cursor.execute("SELECT uuid FROM lake.events ORDER BY uuid").fetchall()
    there = [one for (one,) in found]
    assert len(there) == len(set(there))
    assert set(acknowledged) <= set(there)
    assert installation.uuids("loaded") == there
    assert installation.uuids("streamed") == there
    assert SECRET not in (tmp_path / "a.log").read_text() + (tmp_path / "b.log").read_text()
