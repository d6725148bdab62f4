"""Rows of BigQuery become people and events here: what comes of it is what a plain computation gives."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.imports import Shop, make, prepare, properties, quiet, run, stored
from tests.installation import CONNECTION, Installation, write_events
from tests.syncs import Killed

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.imports.spec import Kind
from tidemill.imports.taking import Taking
from tidemill.reverse_etl.plan.port import Wanted
from tidemill.reverse_etl.work import Job

EVENTS: dict[str, Any] = {
    "identity": "user_id",
    "event": "Signed Up",
    "time": "created_at",
    "properties": [{"column": "amount", "name": "price", "type": "float"}, {"column": "plan", "name": "plan"}],
    "skipped": ["id"],
}
PEOPLE: dict[str, Any] = {
    "identity": "id",
    "properties": [{"column": "email", "name": "email"}, {"column": "age", "name": "age"}],
}
#: When the first row of the table was made, each other one a minute after that before.
FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        yield opened


@pytest.fixture(params=["full", "read-only"])
def shop(app: App, installation: Installation, request: pytest.FixtureRequest) -> Shop:
    return prepare(app, installation, request.param)


def signups(shop: Shop, number: int, *, bad: int | None = None) -> None:
    """A table of so many rows, of ten people. The amount of one may be no number."""
    shop.ask(
        "CREATE OR REPLACE TABLE `{d}.signups` AS SELECT n AS id, CONCAT('user-', CAST(MOD(n, 10) AS STRING)) AS "
        "user_id, TIMESTAMP_ADD(TIMESTAMP '2026-01-01', INTERVAL n MINUTE) AS created_at, "
        f"IF(n = {-1 if bad is None else bad}, 'abc', CAST(n AS STRING)) AS amount, IF(MOD(n, 2) = 0, 'pro', 'free') "
        f"AS plan FROM UNNEST(GENERATE_ARRAY(0, {number - 1})) AS n"
    )


def expected(numbers: range) -> list[tuple[Any, ...]]:
    """What the store should hold of the table."""
    return sorted(
        (
            f"user-{n % 10}",
            (FIRST + dt.timedelta(minutes=n)).isoformat(),
            float(n),
            "pro" if n % 2 == 0 else "free",
        )
        for n in numbers
    )


def found(app: App) -> list[tuple[Any, ...]]:
    """What it does hold."""
    return sorted(
        (one["distinct_id"], one["timestamp"].isoformat(), one["properties"]["price"], one["properties"]["plan"])
        for one in stored(app, "Signed Up")
    )


def people_table(shop: Shop, rows: dict[str, tuple[str, int | None]]) -> None:
    """A table of people."""
    some = ", ".join(
        f"STRUCT('{name}' AS id, '{email}' AS email, {'NULL' if age is None else age} AS age)"
        for name, (email, age) in rows.items()
    )
    none = "SELECT '' AS id, '' AS email, 0 AS age LIMIT 0"
    shop.ask(
        "CREATE OR REPLACE TABLE `{d}.people` AS SELECT id, email, CAST(age AS INT64) AS age FROM "
        + (f"UNNEST([{some}])" if rows else f"({none})")
    )


def small_pieces(monkeypatch: pytest.MonkeyPatch, rows: int = 7) -> None:
    """Pieces of few rows, so that there are several."""
    asked = vars(Job)["wanted"].fget

    def wanted(job: Job) -> Wanted:
        import dataclasses

        made: Wanted = dataclasses.replace(asked(job), piece_rows=rows)
        return made

    monkeypatch.setattr(Job, "wanted", property(wanted))


def test_events_are_those_of_the_table_however_often_it_is_imported(app: App, shop: Shop) -> None:
    signups(shop, 40)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    over = run(app, "signups")
    assert (over.written, over.rejected) == (40, 0)
    assert found(app) == expected(range(40))
    app.reverse_etl.syncs.reset("signups", "resend")
    run(app, "signups", force=True)
    app.reverse_etl.syncs.reset("signups", "forget")
    run(app, "signups", force=True)
    assert found(app) == expected(range(40))
    signups(shop, 55)
    assert run(app, "signups").written == 15
    assert found(app) == expected(range(55))


def test_an_event_tells_where_it_came_from(app: App, shop: Shop) -> None:
    signups(shop, 3)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    run(app, "signups")
    told = {tuple(one["properties"][name] for name in ("$import", "$import_id", "$import_run")) for one in stored(app)}
    assert told == {("signups", str(app.imports.get("signups").id), 1)}


def dying(take: Any, after: int, *, committed: bool) -> Any:
    """Takes so many pieces, and dies at the next one: when it has committed it, or before."""
    calls: list[int] = []

    def dies(self: Taking, *arguments: Any) -> Any:
        calls.append(0)
        if len(calls) > after and not committed:
            raise Killed
        done = take(self, *arguments)
        if len(calls) > after:
            raise Killed
        return done

    return dies


def test_an_import_that_is_killed_anywhere_and_gone_on_with_is_as_one_that_was_not(
    app: App, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    signups(shop, 40)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    small_pieces(monkeypatch)
    take = Taking.keep
    for after, committed in ((0, True), (1, False), (1, True), (0, False), (1, True)):
        patch = dying(take, after, committed=committed)
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(Taking, "keep", patch)
            run(app, "signups")
    over = run(app, "signups")
    assert (over.number, over.status, over.written) == (1, "completed", 40)
    assert found(app) == expected(range(40))


def test_rows_that_do_not_fit_are_told_repaired_and_imported_once(app: App, shop: Shop, tmp_path: Path) -> None:
    signups(shop, 20, bad=7)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    over = run(app, "signups")
    assert (over.written, over.rejected) == (19, 1)
    view = app.imports.get("signups")
    assert (view.health, view.succeeded) == ("yellow", 95.0)
    [refused] = app.reverse_etl.rejects.find("signups")
    assert (refused.key, refused.code) == ("7", "property_type")
    assert "abc" in refused.message
    app.reverse_etl.rejects.export("signups", tmp_path / "refused.jsonl")
    row = json.loads((tmp_path / "refused.jsonl").read_text())
    row["row"]["amount"] = "still bad"
    assert app.imports.repair("signups", [row], quiet())[0] == 0
    row["row"]["amount"] = "7"
    assert app.imports.repair("signups", [row], quiet()) == (1, [])
    assert found(app) == expected(range(20))
    run(app, "signups", force=True)
    assert found(app) == expected(range(20))
    assert list(app.reverse_etl.rejects.find("signups")) == []
    assert app.imports.get("signups").health == "green"
    number, [error] = app.imports.repair("signups", [{"key": "5", "row": {}}], quiet())
    assert (number, error.key, error.code) == (0, "5", "row_unknown")


def test_people_are_set_changed_and_deleted_as_their_rows_are(app: App, shop: Shop) -> None:
    people_table(shop, {"ana": ("ana@x.org", 30), "bo": ("bo@x.org", None)})
    make(app, shop, "people", "people", Kind.PEOPLE, {**PEOPLE, "mode": "mirror", "delete_brake": 1.0})
    run(app, "people")
    assert properties(app, "ana") == {"email": "ana@x.org", "age": 30}
    assert properties(app, "bo") == {"email": "bo@x.org"}
    people_table(shop, {"ana": ("new@x.org", None)})
    over = run(app, "people")
    assert (over.updated, over.deleted, over.written) == (1, 1, 2)
    assert properties(app, "ana") == {"email": "new@x.org"}
    with pytest.raises(NotFoundError):
        properties(app, "bo")
    people_table(shop, {"ana": ("new@x.org", None), "bo": ("back@x.org", 5)})
    run(app, "people")
    assert properties(app, "bo") == {"email": "back@x.org", "age": 5}


def test_people_who_are_not_known_are_left_out_if_that_is_wanted(app: App, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 3)  # of user-0, user-1 and user-2
    app.events.load(str(file))
    people_table(shop, {"user-1": ("one@x.org", 1), "nobody": ("no@x.org", 2)})
    make(app, shop, "people", "people", Kind.PEOPLE, {**PEOPLE, "existing_only": True})
    over = run(app, "people")
    assert over.written == 2
    assert over.notes == ("1 row is of people who are not known, and was left out.",)
    assert properties(app, "user-1")["email"] == "one@x.org"
    with pytest.raises(NotFoundError):
        properties(app, "nobody")


def test_people_are_found_by_their_id_in_tidemill(app: App, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 2)
    app.events.load(str(file))
    known = app.identity.show(1, "user-1").id
    people_table(shop, {known: ("one@x.org", 1), "5c1b2c1e-0d4f-4c55-9a8e-6f2f3e1d7a90": ("no@x.org", 2)})
    fields = {**PEOPLE, "identity": None, "person_id": "id"}
    make(app, shop, "people", "people", Kind.PEOPLE, fields)
    over = run(app, "people")
    assert (over.written, over.rejected) == (1, 1)
    assert properties(app, "user-1")["email"] == "one@x.org"
    assert [one.code for one in app.reverse_etl.rejects.find("people")] == ["person_unknown"]


def test_who_is_gone_from_a_mirror_and_is_not_known_is_no_trouble(app: App, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 2)
    app.events.load(str(file))
    known = app.identity.show(1, "user-1").id
    people_table(shop, {known: ("one@x.org", 1)})
    fields = {**PEOPLE, "identity": None, "person_id": "id", "mode": "mirror", "delete_brake": 1.0}
    make(app, shop, "people", "people", Kind.PEOPLE, fields)
    run(app, "people")
    app.identity.delete(1, "user-1")
    people_table(shop, {})
    over = run(app, "people")
    assert (over.deleted, over.written, over.rejected) == (1, 1, 0)


def test_rows_that_name_nobody_are_refused_whatever_they_are_for(app: App, shop: Shop) -> None:
    people_table(shop, {"null": ("one@x.org", 1)})
    make(app, shop, "people", "people", Kind.PEOPLE, {**PEOPLE, "existing_only": True})
    make(app, shop, "gone", "people", Kind.DELETIONS, {"identity": "id", "skipped": ["email", "age"]})
    for name in ("people", "gone"):
        assert (run(app, name).written, run(app, name, force=True).rejected) == (0, 1)


def test_who_is_named_by_a_row_of_deletions_is_deleted(app: App, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 3)
    app.events.load(str(file))
    shop.ask("CREATE OR REPLACE TABLE `{d}.gone` AS SELECT 'user-1' AS id")
    make(app, shop, "gone", "gone", Kind.DELETIONS, {"identity": "id"})
    assert run(app, "gone").written == 1
    with pytest.raises(NotFoundError):
        app.identity.show(1, "user-1")
    assert app.identity.show(1, "user-2").distinct_ids == ("user-2",)


def test_mirrored_events_leave_a_tombstone(app: App, shop: Shop) -> None:
    signups(shop, 4)
    make(app, shop, "signups", "signups", Kind.EVENTS, {**EVENTS, "mode": "mirror", "delete_brake": 1.0})
    run(app, "signups")
    shop.ask("UPDATE `{d}.signups` SET plan = 'team' WHERE id = 1")
    shop.ask("DELETE FROM `{d}.signups` WHERE id = 2")
    run(app, "signups")
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(stored(app), key=lambda event: event["inserted_at"]):
        rows.setdefault(one["properties"]["$import_row"], []).append(one)
    last = [versions[-1] for versions in rows.values()]
    assert len(rows) == 4
    assert sorted(str(one["properties"].get("plan")) for one in last if one["event"] != "$deleted") == [
        *("free", "pro", "team"),
    ]
    assert len([one for one in last if one["event"] == "$deleted"]) == 1


def test_what_an_import_has_brought_can_be_taken_back(
    app: App, shop: Shop, installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    kept = write_events(file, 3)  # of user-0, user-1 and user-2
    app.events.load(str(file))
    before = app.identity.show(1, "user-1").properties
    signups(shop, 40)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    run(app, "signups")
    people_table(shop, {"user-1": ("one@x.org", 1), "only-here": ("no@x.org", 2)})
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    run(app, "people")
    app.exports.create(CONNECTION, {"name": "events", "table": "events", "interval": "none"}, by="tester")
    people = {"name": "persons", "model": "persons", "table": "persons", "interval": "none"}
    app.exports.create(CONNECTION, people, by="tester")
    for export in ("events", "persons"):
        app.exports.run(export, by="tester")
    assert len(installation.uuids("events")) == 3 + 40 + 2
    places: list[Any] = []
    app.imports.undo("people", by="tester", told=places.append)
    assert properties(app, "user-1") == json.loads(before)
    with pytest.raises(NotFoundError):
        app.identity.show(1, "only-here")
    assert (places[0].place, places[0].rows) == ("events", 2)
    app.imports.undo("signups", by="tester", told=places.append)
    assert sorted(str(one["uuid"]) for one in stored(app)) == sorted(kept)
    assert installation.uuids("events") == sorted(kept)
    with pytest.raises(NotFoundError):
        app.identity.show(1, "user-7")  # of whom the import alone told
    app.exports.run("persons", by="tester")
    living = {str(row["distinct_id"]) for row in installation.rows("persons") if not row["is_deleted"]}
    assert living == {"user-0", "user-1", "user-2"}
    assert app.imports.get("signups").status == "stopped"
    app.reverse_etl.syncs.unpause("signups")
    run(app, "signups", force=True)
    assert found(app) == expected(range(40)), "it can be imported again"


def test_a_dry_run_stores_nothing_and_says_what_does_not_fit(app: App, shop: Shop) -> None:
    signups(shop, 20, bad=7)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    tried = app.imports.dry_run("signups", quiet())
    assert (tried.rows, tried.good, tried.written) == (20, 19, False)
    assert [(one.column, one.bad) for one in tried.verdicts] == [
        ("user_id", 0),
        ("created_at", 0),
        ("amount", 1),
        ("plan", 0),
    ]
    assert [(one.key, one.column) for one in tried.errors] == [("7", "amount")]
    assert stored(app) == []
    assert app.imports.dry_run("signups", quiet(), number=5, write=True).rows == 5
    assert len(stored(app)) in {4, 5}
    run(app, "signups")
    assert found(app) == sorted([*expected(range(7)), *expected(range(8, 20))])


def test_what_is_wrong_with_an_import_is_said(app: App, shop: Shop) -> None:
    signups(shop, 3)
    app.imports.create(
        "signups", connection=CONNECTION, source={"table": shop.name("signups"), "key": ("id",)}, by="tester"
    )
    assert app.imports.get("signups").status == "draft"
    with pytest.raises(ConfigError, match="draft"):
        run(app, "signups")
    with pytest.raises(ConfigError, match="draft"):
        app.imports.edit("signups", {"interval": "hour"})
    with pytest.raises(ConfigError, match="what becomes of amount, plan"):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "properties": []})
    with pytest.raises(ConfigError, match="no column 'nothing'"):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "time": "nothing"})
    with pytest.raises(ConfigError, match="what the events are called"):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "event": None})
    with pytest.raises(ConfigError, match="its key must be user_id alone"):
        app.imports.map(
            "signups",
            Kind.PEOPLE,
            {"identity": "user_id", "skipped": ["id", "created_at", "amount", "plan"], "mode": "mirror"},
        )
    with pytest.raises(ConflictError):
        app.imports.create(
            "signups", connection=CONNECTION, source={"table": shop.name("signups"), "key": ("id",)}, by="tester"
        )
    with pytest.raises(TidemillError, match="is an import"):
        app.reverse_etl.syncs.create("signups", "tidemill", {"name": "x", "action": "events", "mapping": {}}, by="me")
    app.imports.map("signups", Kind.EVENTS, EVENTS)
    run(app, "signups")
    with pytest.raises(ConfigError, match="The mapping changes"):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "event": "Other"})
    with pytest.raises(ConfigError, match="stay as they are"):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "event": "Other"}, reset="resend")


def test_an_import_is_run_once_if_that_is_wanted(app: App, shop: Shop) -> None:
    signups(shop, 3)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    assert app.imports.edit("signups", {}, once=True).status == "ready"
    run(app, "signups")
    assert app.imports.get("signups").status == "completed"
    with pytest.raises(ConflictError, match="once"):
        run(app, "signups")
    assert run(app, "signups", again=True).status == "skipped"


def test_imports_are_found_by_what_they_are(app: App, shop: Shop) -> None:
    signups(shop, 3)
    people_table(shop, {"ana": ("a@x.org", 1)})
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    app.reverse_etl.syncs.pause("people", "tester")
    assert list(app.imports.listed.imports().items) == app.imports.find()
    assert not app.reverse_etl.listed.syncs().items, "they are no syncs to other tools"
    assert list(app.reverse_etl.listed.models().items) == app.reverse_etl.models.find()
    names = [one.name for one in app.imports.find(kind="people")]
    assert names == [one.name for one in app.imports.find(status=["paused"])] == ["people"]
    assert len(app.imports.find(connection="WAREHOUSE", created_by="tester")) == 2
    day = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert app.imports.find(created_on=(day, day + dt.timedelta(days=1))) == []
    assert app.reverse_etl.syncs.find() == [], "they are no syncs to other tools"
    assert app.reverse_etl.destinations.find() == []
    app.imports.delete("people")
    assert [one.name for one in app.imports.find()] == ["signups"]
    assert [one.name for one in app.reverse_etl.models.find()] == ["signups"], "its model went with it"


def test_people_of_a_connection_come_before_its_events(app: App, shop: Shop) -> None:
    signups(shop, 3)
    people_table(shop, {"ana": ("a@x.org", 1)})
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    books = app.reverse_etl.syncs.parts.books
    ago = books.syncs.now() - dt.timedelta(minutes=2)
    ids = {one.name: one.id for one in app.imports.find()}
    books.syncs.settle(ids["signups"], next_at=ago)
    books.syncs.settle(ids["people"], next_at=ago + dt.timedelta(minutes=1))
    [first] = books.syncs.take("worker", 5)
    assert first.name == "people"
    assert not books.syncs.any_due()
    books.syncs.done(first, None)
    assert [sync.name for sync in books.syncs.take("worker", 5)] == ["signups"]


def test_rows_of_a_dry_run_that_were_taken_in_are_not_doubled(app: App, shop: Shop) -> None:
    signups(shop, 5)
    make(app, shop, "signups", "signups", Kind.EVENTS, {**EVENTS, "mode": "mirror"})
    people_table(shop, {"ana": ("a@x.org", 1), "bo": ("b@x.org", 2)})
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    for name in ("signups", "people"):
        app.imports.dry_run(name, quiet(), write=True)
        run(app, name)
    assert found(app) == expected(range(5))
    assert len(stored(app, "$set")) == 2


def test_a_dry_run_knows_who_is_known(app: App, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 2)
    app.events.load(str(file))
    known = app.identity.show(1, "user-1").id
    people_table(shop, {"user-1": ("one@x.org", 1), "nobody": ("no@x.org", 2)})
    make(app, shop, "people", "people", Kind.PEOPLE, {**PEOPLE, "existing_only": True})
    tried = app.imports.dry_run("people", quiet())
    assert (tried.rows, tried.good, tried.left_out, tried.errors) == (2, 1, 1, ())
    shop.ask(
        f"CREATE OR REPLACE TABLE `{{d}}.ids` AS SELECT n AS id, STRUCT(IF(n = 1, '{known}', 'none') AS pid) AS who "
        "FROM UNNEST([1, 2]) AS n"
    )
    make(app, shop, "ids", "ids", Kind.PEOPLE, {"person_id": "who.pid", "skipped": ["id"]})
    tried = app.imports.dry_run("ids", quiet())
    assert (tried.rows, tried.good, [one.code for one in tried.errors]) == (2, 1, ["person_unknown"])
    assert (run(app, "ids").written, run(app, "ids", force=True).rejected) == (1, 1)


def test_a_mapping_that_is_wrong_leaves_the_import_as_it_was(app: App, shop: Shop) -> None:
    signups(shop, 3)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    for wrong in ({"mode": "mirror", "extraction": "cursor", "cursor": "created_at"}, {"mode": "bogus"}):
        with pytest.raises(ConfigError):
            app.imports.map("signups", Kind.EVENTS, {**EVENTS, **wrong})
    with pytest.raises(ConfigError):
        app.imports.map("signups", Kind.EVENTS, {**EVENTS, "extraction": "cursor", "cursor": "nothing"})
    [view] = app.imports.find()
    assert (view.mode, view.extraction, view.cursor) == ("insert", "diff", None)
    with pytest.raises(ConfigError, match="run once"):
        app.imports.edit("signups", {"interval": "hour"}, once=True)
    assert run(app, "signups").written == 3


def test_events_that_are_gone_leave_a_tombstone_also_where_only_known_people_count(
    app: App, shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    write_events(file, 10)
    app.events.load(str(file))
    signups(shop, 3)
    fields = {**EVENTS, "mode": "mirror", "delete_brake": 1.0, "existing_only": True}
    make(app, shop, "signups", "signups", Kind.EVENTS, fields)
    run(app, "signups")
    shop.ask("DELETE FROM `{d}.signups` WHERE id = 2")
    run(app, "signups")
    assert len(stored(app, "$deleted")) == 1


def test_an_import_that_was_interrupted_is_taken_back_as_it_is(
    app: App, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    signups(shop, 40)
    make(app, shop, "signups", "signups", Kind.EVENTS, EVENTS)
    small_pieces(monkeypatch)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Taking, "keep", dying(Taking.keep, 1, committed=True))
        run(app, "signups")
    assert stored(app)
    app.imports.undo("signups", by="tester", told=lambda _: None)
    assert stored(app) == []
    assert app.imports.dry_run("signups", quiet()).rows == 40, "as the next run would take them"
    assert app.imports.get("signups").last is not None
    app.reverse_etl.syncs.unpause("signups")
    run(app, "signups")
    assert found(app) == expected(range(40))
