"""From files of events to persons in the metadata database: each event counts once, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tidemill.app import App
from tidemill.events.identity.service import IdentityService
from tidemill.settings import Settings
from tidemill.store.people import PeopleBook, PeopleSession


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Settings(home=tmp_path / "home", commit_rows=40))


def load(app: App, file: Path, lines: list[dict[str, Any]], format_name: str) -> None:
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), format_name).rejects == 0


def persons(app: App) -> dict[str, tuple[str, dict[str, Any], int, int]]:
    """Of each distinct_id: its person, the properties, and both versions."""
    with PeopleBook(app.database).open() as session:
        links = session.links([(1, f"{name}{n}") for name in ("u", "a", "b", "p") for n in range(200)])
        found = {row[1]: row for row in session.persons([(1, row[2]) for row in links if row[2]]) or ()}
    return {
        name: (person, json.loads(found[person][3]), found[person][4], version)
        for _, name, person, version, _ in links
        if person
    }


def captured(n: int, event: str, distinct_id: str, **properties: Any) -> dict[str, Any]:
    return {
        "uuid": f"00000000-0000-4000-8000-{n:012d}",
        "event": event,
        "distinct_id": distinct_id,
        "timestamp": f"2026-01-01T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z",
        "properties": properties,
    }


def test_posthog_events_make_and_merge_people(app: App, tmp_path: Path) -> None:
    lines = [
        captured(1, "$pageview", "a1", **{"$set_once": {"first": "/"}}),
        captured(2, "$identify", "u1", **{"$anon_distinct_id": "a1", "$set": {"plan": "pro", "big": 1e400}}),
        captured(3, "hit", "p1", **{"$process_person_profile": False, "$set": {"x": 1}}),
        captured(4, "$create_alias", "u1", alias="b1"),
        captured(5, "hit", "u1", **{"$unset": ["first"]}),
        captured(6, "hit", "u2", nested={"$process_person_profile": False, "$unset": ["plan"]}),
    ]
    text = json.dumps(lines[1]).replace("Infinity", "1e400")
    with app:
        file = tmp_path / "events.jsonl"
        file.write_text("\n".join([json.dumps(lines[0]), text, *map(json.dumps, lines[2:])]))
        assert app.events.load(str(file), "posthog").rejects == 0
        reached = app.identity.catch_up()
        found = persons(app)
        with PeopleBook(app.database).open() as session:
            kept = (session.persons([(1, found["u1"][0])]) or [])[0]
        assert app.identity.catch_up() == reached
    assert found.keys() == {"a1", "b1", "u1", "u2"}
    assert found["a1"][0] == found["u1"][0] == found["b1"][0] != found["u2"][0]
    assert json.loads(kept[3]) == {"plan": "pro", "big": float("inf")}
    assert "1e400" in kept[3], "a value that no number holds is kept as it came"


def test_segment_calls_make_and_merge_people(app: App, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"type": "track", "event": "hit", "anonymousId": "a1"},
        {"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {"plan": "pro"}},
        {"type": "alias", "userId": "u2", "previousId": "b2"},
        {"type": "page", "userId": "u3", "anonymousId": "a3"},
    ]
    with app:
        stamped = [{**line, "messageId": f"m{n}", "timestamp": "2026-01-01T00:00:00Z"} for n, line in enumerate(lines)]
        load(app, tmp_path / "calls.jsonl", stamped, "segment")
        app.identity.catch_up()
        found = persons(app)
    assert found["u1"][0] == found["a1"][0]
    assert found["u1"][1] == {"plan": "pro"}
    assert found["u2"][0] == found["b2"][0]
    assert "a3" not in found


@pytest.mark.parametrize("name", ["unknown", "n/a", "-1", "Undefined", "00000000-0000-0000-0000-000000000000"])
def test_an_amplitude_id_that_stands_for_nobody_joins_nobody(app: App, tmp_path: Path, name: str) -> None:
    lines: list[dict[str, Any]] = [{"device_id": f"b{n}"} for n in range(3)]
    lines += [{"device_id": f"b{n}", "user_id": name} for n in range(3)]
    lines += [{"device_id": name, "user_id": f"u{n}"} for n in range(3)]
    events = [
        {"uuid": f"e{n}", "event_type": "hit", "time": 1_700_000_000_000 + n, **line} for n, line in enumerate(lines)
    ]
    with app:
        load(app, tmp_path / "events.jsonl", events, "amplitude")
        app.identity.catch_up()
        found = persons(app)
    assert sorted(found) == ["b0", "b1", "b2", "u0", "u1", "u2"]
    assert len({person for person, *_ in found.values()}) == 6


def test_an_amplitude_user_takes_over_what_the_device_did_and_another_user_does_not(app: App, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"device_id": "b1"},
        {"device_id": "b1", "user_id": "u1", "user_properties": {"$set": {"plan": "pro"}}},
        {"device_id": "b1", "user_id": "u2"},
        {"device_id": "b2", "user_id": "u1"},
        {"device_id": "b1", "user_properties": {"$add": {"n": 2}, "$append": {"x": 1}}},  # of u2, seen last on it
        {"user_id": "u2", "user_properties": {"$postInsert": {"x": [1, 2]}, "$setOnce": {"plan": "free"}}},
        {"user_id": "u2", "user_properties": {"$unset": {"n": "-"}, "$remove": {"x": 1}}},
    ]
    with app:
        lines = [
            {"uuid": f"e{n}", "event_type": "hit", "event_time": "2026-01-01 00:00:00.000000", **event}
            for n, event in enumerate(events)
        ]
        load(app, tmp_path / "export.json", lines, "amplitude")
        app.identity.catch_up()
        found = persons(app)
    assert found["b1"][0] == found["u1"][0] == found["b2"][0] != found["u2"][0]
    assert found["u1"][1] == {"plan": "pro"}
    assert found["u2"][1] == {"plan": "free", "x": [2]}


def test_who_is_deleted_is_gone_and_comes_back_as_another(app: App, tmp_path: Path) -> None:
    with app:
        load(app, tmp_path / "one.jsonl", [captured(1, "hit", "u1", **{"$set": {"plan": "pro"}})], "posthog")
        assert app.identity.delete(1, "u1")
        before = persons(app)
        assert not app.identity.delete(1, "u1")
        assert not app.identity.delete(1, "u9")
        load(app, tmp_path / "two.jsonl", [captured(2, "hit", "u1")], "posthog")
        app.identity.catch_up()
        after = persons(app)
    assert before["u1"][1] == after["u1"][1] == {}
    assert before["u1"][0] != after["u1"][0]
    assert after["u1"][2:] > before["u1"][2:]


_CATCH_UP = """
import sys
from pathlib import Path
from tidemill.app import App
from tidemill.events.identity.service import IdentityService
from tidemill.settings import Settings
from tidemill.store.people import PeopleBook
with App(Settings(home=Path(sys.argv[1]))) as app:
    service = IdentityService(app.lake, PeopleBook(app.database), batch=40)
    print("ready", flush=True)
    service.catch_up()
"""


def test_killed_at_any_moment_and_two_at_once_nothing_is_applied_twice(app: App, tmp_path: Path) -> None:
    dice = random.Random(7)
    lines = []
    for n in range(2000):
        user = dice.randrange(60)
        if n % 9 == 0:
            lines.append(captured(n, "$identify", f"u{user}", **{"$anon_distinct_id": f"a{dice.randrange(60)}"}))
        else:
            name = dice.choice(("a", "u"))
            lines.append(captured(n, "hit", f"{name}{user}", **{"$set": {"n": n}, "$set_once": {"first": n}}))
    with app:
        load(app, tmp_path / "events.jsonl", lines, "posthog")
        command = [sys.executable, "-c", _CATCH_UP, str(app.settings.home_path)]
        for _ in range(2):
            workers = [subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) for _ in range(2)]
            for worker in workers:
                assert worker.stdout is not None
                worker.stdout.readline()
            goal = PeopleBook(app.database).reached().snapshot + dice.randrange(12)
            while PeopleBook(app.database).reached().snapshot < goal and any(w.poll() is None for w in workers):
                pass
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
                worker.communicate()
        app.identity.catch_up()
        killed = persons(app)
        again = tmp_path / "again"
    with App(Settings(home=again)) as other:
        load(other, tmp_path / "events.jsonl", lines, "posthog")
        IdentityService(other.lake, PeopleBook(other.database)).catch_up()
        assert persons(other) == killed


def test_times_far_from_now_are_kept_to_the_microsecond(app: App, tmp_path: Path) -> None:
    times = ("0001-01-01T00:00:00.000001+00:00", "2300-05-06T07:08:09.123457+00:00", "9999-12-31T23:59:59.999999+00:00")
    lines = [
        {"uuid": f"far-{number}", "event": "hit", "distinct_id": f"far-{number}", "timestamp": time, "properties": {}}
        for number, time in enumerate(times)
    ]
    with app:
        load(app, tmp_path / "events.jsonl", lines, "posthog")
        assert (
            tuple(app.identity.show(1, f"far-{n}").created_at.isoformat(timespec="microseconds") for n in range(3))
            == times
        )


def test_what_a_sender_named_oddly_is_refused_and_stops_nobody(app: App, tmp_path: Path) -> None:
    operation = {"event_type": "x", "user_id": "u1", "uuid": "odd", "time": 1}
    with app:
        line = {**operation, "user_properties": {"$add": {"a\0\ud800": "x"}}}
        load(app, tmp_path / "events.jsonl", [line], "amplitude")
        assert app.identity.show(1, "u1").distinct_ids == ("u1",)
        (refusal,) = app.identity.refusals(limit=5)
        assert (refusal.code, refusal.event_uuid, refusal.distinct_id) == ("operation_refused", "odd", "u1")
        assert app.identity.erase(1, "u1") == ("u1",)
        assert app.identity.refusals(limit=5) == []


def test_persons_of_many_properties_are_not_held_all_at_once(app: App, tmp_path: Path) -> None:
    """Whatever the batch: it is halved until they fit; what is kept is the same."""
    many = [
        {"uuid": f"m-{n}", "event": "hit", "distinct_id": f"p{n % 50}", "timestamp": "2026-01-01T00:00:00Z"}
        | {"properties": {"$set": {f"k{n % 3}": "x" * 400}}}
        for n in range(200)
    ]
    with app:
        load(app, tmp_path / "events.jsonl", many, "posthog")
        app.identity.catch_up()
        again = [{**line, "uuid": f"n-{n}", "properties": {"$set": {"n": n}}} for n, line in enumerate(many)]
        load(app, tmp_path / "more.jsonl", again, "posthog")
        held: list[int] = []

        class Book(PeopleBook):
            @contextlib.contextmanager
            def open(self) -> Iterator[PeopleSession]:
                with super().open() as session:
                    inner = session.persons

                    def persons(keys: Sequence[tuple[int, str]], most: int | None = None) -> Any:
                        found = inner(keys, most and 2_500)
                        held.append(sum(len(row[3]) for row in found or ()))
                        return found

                    monkey.setattr(session, "persons", persons)
                    yield session

        with pytest.MonkeyPatch.context() as monkey:
            service = IdentityService(app.lake, Book(app.database))
            reached = service.catch_up()
        assert len(held) > 30
        assert max(held) <= 2_500
        assert app.identity.catch_up() == reached
        found = persons(app)
        assert all(
            found[f"p{n}"][1] == {"k0": "x" * 400, "k1": "x" * 400, "k2": "x" * 400, "n": n + 150} for n in range(50)
        )


@pytest.mark.parametrize("commit_rows", [1, 40])
def test_who_was_sent_without_a_person_first_has_one_with_the_next_event(tmp_path: Path, commit_rows: int) -> None:
    """However the events were cut into commits."""
    hit = {"event": "hit", "distinct_id": "u1", "timestamp": "2026-01-01T00:00:00Z"}
    lines = [
        {**hit, "uuid": "1", "properties": {"$process_person_profile": False}},
        {**hit, "uuid": "2", "properties": {}},
    ]
    with App(Settings(home=tmp_path / "home", commit_rows=commit_rows)) as app:
        load(app, tmp_path / "events.jsonl", lines, "posthog")
        assert app.identity.show(1, "u1").distinct_ids == ("u1",)
