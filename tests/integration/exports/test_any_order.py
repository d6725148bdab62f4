"""Whatever happens in whatever order - loads, runs by either delivery, faults, backfills, rows that somebody deletes -
the tables of all models end as one plain pass over all events says."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.installation import CONNECTION, Installation
from tests.people_reference import people
from tests.session_reference import sessions

from tidemill.app import App
from tidemill.errors import TidemillError

#: Each with the text by which rows are lost.
MODELS = {
    "events": "uuid",
    "sessions": "session_id",
    "persons": "distinct_id",
    "amplitude_events": "uuid",
    "merge_ids": "CAST(CAST(amplitude_id AS INT64) AS STRING)",
}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAYS = 4
SMALL = {"commit_rows": 10, "chunk_bytes": 3_000, "parallel_loads": 2}
UPLOAD, JOBS, TABLES = "/upload/bigquery/", "/bigquery/v2/projects/[^/]+/jobs", "/bigquery/v2/.*/tables"
DELIVERIES = ["load", "storage-write"]

#: Faults that end a run, and faults that it must survive.
FAULTS: list[dict[str, Any]] = [
    {"path": UPLOAD, "method": "PUT", "fault": "job_error", "reason": "invalid"},
    {"path": JOBS, "method": "POST", "fault": "job_error", "reason": "invalidQuery"},
    {"path": JOBS, "method": "POST", "fault": "job_error", "reason": "backendError"},
    {"path": JOBS, "method": "POST", "fault": "status", "status": 503, "after_commit": True},
    {"path": JOBS, "method": "POST", "fault": "cut", "after_commit": True},
    {"path": UPLOAD, "method": "PUT", "fault": "cut", "after_commit": True},
    {"path": TABLES, "method": "POST", "fault": "status", "status": 502, "after_commit": True},
    {"path": TABLES, "method": "DELETE", "fault": "status", "status": 403, "reason": "accessDenied"},
    {"path": "/AppendRows", "fault": "status", "grpc_code": "INVALID_ARGUMENT", "in_response": True},
    {"path": "/AppendRows", "fault": "cut", "after_commit": True},
    {"path": "/FinalizeWriteStream", "fault": "expire_stream"},
    {"path": "/BatchCommitWriteStreams", "fault": "status", "grpc_code": "PERMISSION_DENIED", "after_commit": True},
]

model = st.sampled_from(list(MODELS))
fault = st.one_of(st.none(), st.sampled_from(FAULTS))
nth = st.integers(1, 2)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.integers(1, 25)),
        st.tuples(st.just("run"), model, fault, nth),
        st.tuples(st.just("backfill"), model, fault, nth, st.integers(0, DAYS - 1), st.integers(1, DAYS)),
        st.tuples(st.just("resume"), model, fault, nth),
        st.tuples(st.just("again"), model, fault, nth),
        st.tuples(st.just("cancel"), model, st.none(), nth),
        st.tuples(st.just("lose"), model, st.integers(0, 3)),
        st.tuples(st.just("two"), model),
        st.tuples(st.just("deliver"), model, st.sampled_from(DELIVERIES)),
    ),
    min_size=3,
    max_size=10,
)


@dataclasses.dataclass
class World:
    """One installation; each example has exports and tables of its own, and a team."""

    installation: Installation
    app: App
    folder: Path
    numbers: Iterator[int]
    number: int = 0
    sent: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def begin(self) -> None:
        """A new example."""
        self.number, self.sent = next(self.numbers), []
        self.installation.local.set_faults([])
        for name, delivery in zip(MODELS, itertools.cycle(DELIVERIES), strict=False):
            self.create(name, self.name(name), delivery=delivery)
        self.load(20)
        for name in MODELS:
            self.app.exports.run(self.name(name), by="t")

    def name(self, what: str) -> str:
        """Of an export, and of its table."""
        return f"{what}_{self.number}"

    def create(self, what: str, name: str, **more: str) -> None:
        fields = {"name": name, "model": what, "table": name, "team_id": self.number, **more}
        self.app.exports.create(CONNECTION, fields, by="t")

    def load(self, count: int) -> None:
        """Events of a few people, who turn out to be the same, and of a few sessions."""
        chance = random.Random(len(self.sent) * 1000 + count)
        people, rows = [f"p{number}" for number in range(8)], []
        for n in range(count):
            properties: dict[str, Any] = {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(12):012x}"}
            properties |= {"$current_url": f"https://a.example/{chance.randrange(4)}"}
            kinds = ["$pageview", "seen", "$identify", "$set", "$set", "$create_alias", "$merge_dangerously"]
            kind = chance.choice(kinds)
            match kind:
                case "$identify":
                    properties["$anon_distinct_id"] = chance.choice(people)
                case "$set":
                    properties["$set"] = {"n": chance.randrange(9)}
                    properties["$set_once"] = {"first": chance.randrange(9)}
                    properties["$unset"] = ["n"] if chance.randrange(4) == 0 else []
                case "$create_alias":
                    properties["alias"] = "p7"
                case "$merge_dangerously" if chance.randrange(3) == 0:
                    properties["alias"] = chance.choice(people)
            rows.append(
                {
                    "uuid": f"{self.number}-{len(self.sent) + n}",
                    "event": kind,
                    "distinct_id": chance.choice(people),
                    "timestamp": (START + dt.timedelta(seconds=chance.randrange(DAYS * 86400))).isoformat(),
                    "team_id": self.number,
                    "properties": properties,
                }
            )
        file = self.folder / f"{self.number}-{len(self.sent)}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        assert self.app.events.load(str(file), "posthog").rows == count
        self.sent += rows

    def do(self, what: str, *given: Any) -> None:
        """One action. What cannot be done now is refused, and changes nothing."""
        match what, given:
            case "load", (count,):
                self.load(count)
            case "lose", (name, rest):
                if self.app.exports.get(self.name(name)).position:  # else there is no table yet
                    self.change(name, f"DELETE FROM TABLE_ WHERE MOD(ASCII(SUBSTR({MODELS[name]}, -1)), 4) = {rest}")
            case "deliver", (name, delivery):
                self.app.exports.edit(self.name(name), {"delivery": delivery})
            case "two", (name,):  # processes at once
                self.load(10)
                other = self.installation.start("export", "run", self.name(name))
                with contextlib.suppress(TidemillError):
                    self.app.exports.run(self.name(name), by="t")
                other.communicate(timeout=120)
            case _, (name, fault, nth, *days):
                self.installation.local.set_faults([{**fault, "nth": nth}] if fault else [])
                with contextlib.suppress(TidemillError):
                    self.move(what, name, *days)
                self.installation.local.set_faults([])

    def move(self, what: str, name: str, first: int = 0, days: int = 0) -> None:
        """Rows go into the table, if nothing is wrong."""
        exports, own = self.app.exports, self.name(name)
        match what:
            case "run":
                self.load(5)
                exports.run(own, by="t")
            case "backfill":
                start, end = ((START + dt.timedelta(days=day)).date().isoformat() for day in (first, first + days))
                whole = name in {"persons", "merge_ids"}
                estimate = exports.backfills.estimate(
                    own, "earliest" if whole else start, None if whole else end, "day"
                )
                exports.backfills.begin(own, estimate, by="t", parallel=2, progress=lambda _: None)
            case "again":
                done = [run for run in exports.runs.find(own, limit=99) if run.status == "completed"]
                if done:
                    exports.runs.again(done[-1].short_id, by="t")
            case "cancel":
                exports.backfills.stop(own, cancel=True)
            case "resume":
                exports.backfills.resume(own, by="t", parallel=1, progress=lambda _: None)
            case _:
                raise AssertionError(what)

    def change(self, name: str, statement: str) -> None:
        """Somebody else changes the table."""
        client = self.installation.client()
        table = f"`{self.installation.dataset}.{self.name(name)}`"
        try:
            client.query(statement.replace("TABLE_", table), job_id=f"test_{random.getrandbits(64):x}")
        finally:
            client.close()

    def settle(self, name: str) -> None:
        """All is finished that was begun, what is new is exported, what is missing is repaired."""
        exports, own = self.app.exports, self.name(name)
        exports.run(own, by="t")
        if any(one.status not in {"completed", "cancelled"} for one in exports.backfills.find(own, limit=1)):
            assert exports.backfills.resume(own, by="t", parallel=2, progress=lambda _: None).status == "completed"
        if not exports.get(own).position:  # nobody was merged
            assert name == "merge_ids"
            return
        found = exports.tables.verify(own, by="t")
        if found.different:
            estimate = exports.tables.repair(own, found)
            assert estimate
            exports.backfills.begin(own, estimate, by="t", parallel=2, progress=lambda _: None)
            assert exports.tables.verify(own, by="t").different == ()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Of a table, in the order of their texts, without the times of their hand-over."""
        found = self.installation.rows(name)
        for row in found:
            row.pop("bq_ingested_timestamp", None), row.pop("bq_updated_timestamp", None)
        return sorted(found, key=str)


def orders(examples: int, *, same: bool) -> settings:
    """So many of them, each of which takes a quarter of a minute; each time the same, or others."""
    return settings(
        max_examples=examples,
        derandomize=same,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@given(steps=actions)
@orders(2, same=True)
def test_the_tables_end_as_a_plain_pass_says(world: World, steps: list[tuple[Any, ...]]) -> None:
    assert_ends_as_a_plain_pass(world, steps)


@pytest.mark.torture
@given(steps=actions)
@orders(40, same=False)
def test_the_tables_end_as_a_plain_pass_says_in_many_orders(world: World, steps: list[tuple[Any, ...]]) -> None:
    assert_ends_as_a_plain_pass(world, steps)


def assert_ends_as_a_plain_pass(world: World, steps: list[tuple[Any, ...]]) -> None:
    world.begin()
    for step in steps:
        world.do(*step)
    for name in MODELS:
        world.settle(name)
    for name in MODELS:
        plain = f"plain_{world.name(name)}"
        world.create(name, plain)
        if not world.app.exports.run(plain, by="t"):
            assert (name, world.app.exports.get(world.name(name)).position) == ("merge_ids", 0)
            continue
        assert world.rows(world.name(name)) == world.rows(plain)
    for name in ("events", "amplitude_events"):
        assert sorted(row["uuid"] for row in world.rows(world.name(name))) == sorted(e["uuid"] for e in world.sent)
    assert_people(world)
    expected = sessions(world.sent)
    found = {(row["team_id"], row["session_id"]): row for row in world.rows(world.name("sessions"))}
    assert {key: {name: row[name] for name in expected[key]} for key, row in found.items()} == expected


def assert_people(world: World) -> None:
    """Persons, and Amplitude's numbers by their merges, say who is who as a plain list of people does."""
    expected = people(world.sent)
    rows = {row["distinct_id"]: row for row in world.rows(world.name("persons"))}
    assert sorted(rows) == sorted(name for one in expected for name in one.ids)
    merges = world.rows(world.name("merge_ids")) if world.app.exports.get(world.name("merge_ids")).position else []
    into = {row["amplitude_id"]: row["merged_amplitude_id"] for row in merges}
    numbers: dict[str, set[Any]] = {}
    for event in world.rows(world.name("amplitude_events")):
        number = event["amplitude_id"]
        while number in into:
            number = into[number]
        numbers.setdefault(event["user_id"] or event["device_id"], set()).add(number)
    assert sorted(numbers) == sorted({event["distinct_id"] for event in world.sent})
    seen = list[Any]()
    for one in expected:
        assert len({rows[name]["person_id"] for name in one.ids}) == 1
        for name in one.ids:
            row = rows[name]
            known = {name: json.loads(value) for name, value in one.properties.items()}
            created = (row["created_at"] - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
            assert (json.loads(row["properties"]), created, row["is_deleted"]) == (known, one.created, False)
        found = set[Any]().union(*(numbers.get(name, set()) for name in one.ids))
        assert len(found) <= 1, "a person has one number after all merges"
        seen += found
    assert len(seen) == len(set(seen)), "two persons have two numbers"
    assert len({row["person_id"] for row in rows.values()}) == len(expected)


@pytest.fixture
def world(installation: Installation, tmp_path: Path) -> Iterator[World]:
    """For all examples of a test."""
    with installation.app(**SMALL) as app:
        installation.connect(app)
        yield World(installation, app, tmp_path, itertools.count(1))
        installation.local.set_faults([])
