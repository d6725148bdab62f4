"""Imports by the command line that are killed, and what the event store and people must be in the end.

One table is imported three times: as people who are as their rows are (mirror), as events that are there once for all,
and as events that follow their rows (mirror). What must be is computed from dictionaries.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg import sql
from tests.imports import Shop, make, prepare, stored
from tests.installation import Installation
from tests.kill_syncs import command

from tidemill.app import App
from tidemill.imports.spec import Kind
from tidemill.store.postgres import open_postgres

TABLE = "market"
FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
#: Some rows have no time, and an amount that is no number: they are refused. One of so many.
BAD = 97
#: Columns that stay as they are; those that change with the row are `amount` and `note`.
_OF_PEOPLE: dict[str, Any] = {
    "identity": "who",
    "mode": "mirror",
    "delete_brake": 1.0,
    "properties": [{"column": "amount", "name": "amount", "type": "float"}, {"column": "note", "name": "note"}],
    "skipped": ["id", "buyer", "made_at"],
}
_OF_ONCE: dict[str, Any] = {
    "identity": "buyer",
    "event": "Signed Up",
    "time": "made_at",
    "properties": [{"column": "id", "name": "number"}],
    "skipped": ["who", "amount", "note"],
}
_OF_MIRROR: dict[str, Any] = {
    "identity": "buyer",
    "event": "Ordered",
    "time": "made_at",
    "mode": "mirror",
    "delete_brake": 1.0,
    "properties": [{"column": "amount", "name": "amount", "type": "float"}, {"column": "note", "name": "note"}],
    "skipped": ["who", "id"],
}
#: The imports, each with the column by which its rows are known.
IMPORTS: dict[str, tuple[Kind, dict[str, Any], str]] = {
    "people": (Kind.PEOPLE, _OF_PEOPLE, "who"),
    "once": (Kind.EVENTS, _OF_ONCE, "id"),
    "mirror": (Kind.EVENTS, _OF_MIRROR, "id"),
}


class Market:
    """The table. `rows`: amount and note of each row that it has; `ever`: of how many rows it ever had."""

    def __init__(self, shop: Shop, number: int) -> None:
        self._shop, self._turn, self.ever = shop, 0, number
        self.rows: dict[int, tuple[int, str | None]] = {n: (n, None) for n in range(number)}
        shop.ask(f"CREATE OR REPLACE TABLE `{{d}}.{TABLE}` AS {self._new(0, number - 1)}")

    def _new(self, first: int, last: int) -> str:
        made_at = f"IF(MOD(n, {BAD}) = 1, NULL, TIMESTAMP_ADD(TIMESTAMP '{FIRST:%Y-%m-%d}', INTERVAL n SECOND))"
        return (
            "SELECT n AS id, CONCAT('w', CAST(n AS STRING)) AS who, CONCAT('b', CAST(MOD(n, 50) AS STRING)) AS buyer, "
            f"{made_at} AS made_at, IF(MOD(n, {BAD}) = 1, 'bad', CAST(n AS STRING)) AS amount, "
            f"CAST(NULL AS STRING) AS note FROM UNNEST(GENERATE_ARRAY({first}, {last})) AS n"
        )

    def change(self) -> None:
        """Rows come, some are other ones, some as they were once, and some go for ever."""
        self._turn += 1
        turn, first, more = self._turn, self.ever, max(1, self.ever // 10)
        self.ever += more
        note = f"t{turn % 4}" if turn % 4 else None  # in time it is as it was before
        table = f"`{{d}}.{TABLE}`"
        self._shop.ask(f"DELETE FROM {table} WHERE MOD(id, 11) = {turn % 11}")
        set_note = "NULL" if note is None else f"'{note}'"
        amount = f"IF(MOD(id, {BAD}) = 1, 'bad', CAST(id + {turn % 3} AS STRING))"
        self._shop.ask(f"UPDATE {table} SET note = {set_note}, amount = {amount} WHERE MOD(id, 3) = {turn % 3}")
        self._shop.ask(f"INSERT INTO {table} (id, who, buyer, made_at, amount, note) {self._new(first, self.ever - 1)}")
        self.rows = {n: row for n, row in self.rows.items() if n % 11 != turn % 11}
        for n in self.rows:
            if n % 3 == turn % 3:
                self.rows[n] = (n + turn % 3, note)
        self.rows |= {n: (n, None) for n in range(first, self.ever)}

    @property
    def good(self) -> dict[int, dict[str, Any]]:
        """What should be known of each row that is not refused."""
        return {n: properties(amount, note) for n, (amount, note) in self.rows.items() if n % BAD != 1}


def properties(amount: int, note: str | None) -> dict[str, Any]:
    """Nulls are not there."""
    return {"amount": float(amount)} | ({} if note is None else {"note": note})


@contextlib.contextmanager
def made(installation: Installation, number: int) -> Iterator[tuple[App, Market]]:
    """The table, of so many rows, and its imports, of which none was run, for the time of the block."""
    with installation.app() as app:
        shop = prepare(app, installation)
        market = Market(shop, number)
        for name, (kind, fields, key) in IMPORTS.items():
            make(app, shop, name, TABLE, kind, fields, key=(key,))
        app.lake.position()  # the store is made when it is first looked at, and a gate needs its tables
        yield app, market


def import_run(installation: Installation, name: str, *words: str, killed: Callable[[], bool] | None = None) -> int:
    """Run an import by the command line, and kill that as soon as this is so. Gives the code with which it ended."""
    return command(installation, "import", "run", name, *words, killed=killed)


class Gate:
    """Holds who writes into a table of PostgreSQL, until it is dead or let go. So a process can be met at any step."""

    _KEY = 7_001

    def __init__(self, installation: Installation) -> None:
        self._session = psycopg.connect(open_postgres(installation.settings()).dsn, autocommit=True)
        self._guarded: list[sql.Identifier] = []

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a statement."""
        return self._session.execute(statement.encode()).fetchall()

    @contextlib.contextmanager
    def held(self, table: str, when: str) -> Iterator[Callable[[], bool]]:
        """Hold, for the time of the block, who writes a row of which this is so. Gives whether somebody is held."""
        place, condition = sql.Identifier(*table.split(".")), sql.SQL(when)
        self._session.execute(
            f"CREATE OR REPLACE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock({self._KEY}); RETURN NEW; END'".encode()
        )
        made_ = sql.SQL("CREATE TRIGGER held BEFORE INSERT OR UPDATE ON {} FOR EACH ROW WHEN ({}) ")
        statement = made_.format(place, condition) + sql.SQL("EXECUTE FUNCTION public.held()")
        self._session.execute(f"SELECT pg_advisory_lock({self._KEY})".encode())
        try:
            self._session.execute(statement)
            yield self._is_held
        finally:
            self._session.execute(f"SELECT pg_advisory_unlock({self._KEY})".encode())
            self._session.execute(sql.SQL("DROP TRIGGER IF EXISTS held ON {}").format(place))

    def _is_held(self) -> bool:
        asked = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {self._KEY} AND NOT granted"
        return bool(self.ask(asked))

    def close(self) -> None:
        """End the session."""
        self._session.close()


#: Where a run is, by what it writes then: events (and people) are about to be committed; they are, and nobody has
#: written that down; people who are gone are about to be deleted.
COMMITS = ("tidemill_events.ducklake_snapshot", "TRUE")
JOURNALS = ("tidemill.sync_calls", "NEW.positions IS DISTINCT FROM '{}'")
DELETES = ("tidemill.persons", "NEW.deleted")


@contextlib.contextmanager
def gate(installation: Installation) -> Iterator[Gate]:
    """A gate, for the time of the block."""
    with contextlib.closing(Gate(installation)) as opened:
        yield opened


def finish(installation: Installation, app: App, name: str) -> None:
    """Run an import until nothing is left to be done but rows that are refused; what was left is gone on with first."""
    for _ in range(4):
        import_run(installation, name, "--force")
        over = app.reverse_etl.syncs.show_run(name)
        if over.status == "completed" and not over.written + over.to_retry:
            return


def as_it_should_be(app: App, gate_: Gate, market: Market, names: tuple[str, ...] = tuple(IMPORTS)) -> None:
    """Events and people are those of the table, each event once; each row ended once in each run."""
    app.identity.catch_up()
    found = stored(app)
    assert len({one["uuid"] for one in found}) == len(found)
    by_import: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_import.setdefault(one["properties"]["$import_id"], []).append(one)
    for name in names:
        events = by_import[str(app.imports.get(name).id)]
        {"people": _people_are, "once": _events_are, "mirror": _mirror_is}[name](app, gate_, market, events)
        _runs_are(app, name, market)


def _people_are(_: App, gate_: Gate, market: Market, events: list[dict[str, Any]]) -> None:
    """Who has a row is as that is, and nobody else is there; all came by `$set`."""
    asked = (
        "SELECT d.distinct_id, p.properties::text FROM tidemill.distinct_ids d JOIN tidemill.persons p "
        "ON p.team_id = d.team_id AND p.id = d.person_id WHERE NOT p.deleted AND d.distinct_id LIKE 'w%'"
    )
    known = {who: json.loads(text) for who, text in gate_.ask(asked)}
    assert known == {f"w{n}": row for n, row in market.good.items()}
    assert {one["event"] for one in events} == {"$set"}


def _events_are(_: App, __: Gate, market: Market, events: list[dict[str, Any]]) -> None:
    """Each row that is there is an event, and only rows that were there are."""
    numbers = Counter(one["properties"]["number"] for one in events)
    assert set(numbers.values()) == {1}
    assert set(market.good) <= set(numbers) <= {n for n in range(market.ever) if n % BAD != 1}
    for one in events:
        n = one["properties"]["number"]
        seen = (one["event"], one["distinct_id"], one["timestamp"])
        assert seen == ("Signed Up", f"b{n % 50}", FIRST + dt.timedelta(seconds=n))


def _mirror_is(app: App, _: Gate, market: Market, events: list[dict[str, Any]]) -> None:
    """The last event of each row tells how it is, or that it is gone."""
    last: dict[str, dict[str, Any]] = {}
    for one in sorted(events, key=lambda event: event["inserted_at"]):
        last[one["properties"]["$import_row"]] = one
    own = app.imports.get("mirror").id
    rows = {str(uuid.uuid5(own, str(n))): n for n in range(market.ever)}
    assert set(last) <= set(rows)
    living = {rows[row]: one for row, one in last.items() if one["event"] != "$deleted"}
    found = {
        n: {name: value for name, value in one["properties"].items() if not name.startswith("$")}
        for n, one in living.items()
    }
    assert found == market.good
    assert {(one["event"], one["distinct_id"] == f"b{n % 50}") for n, one in living.items()} == {("Ordered", True)}


def _runs_are(app: App, name: str, market: Market) -> None:
    for run in app.reverse_etl.syncs.runs(name, 1_000):
        assert run.status != "running"
        if run.status == "completed":
            assert run.written + run.rejected + run.to_retry == run.extracted
    refused = {n for n in market.rows if n % BAD == 1}
    last = app.reverse_etl.syncs.show_run(name)
    assert (last.status, last.written, last.rejected, last.to_retry) == ("completed", 0, len(refused), 0)
    prefix = "w" if IMPORTS[name][2] == "who" else ""
    assert {reject.key for reject in app.reverse_etl.rejects.find(name)} == {f"{prefix}{n}" for n in refused}


@contextlib.contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread, for the time of the block; at its end it is waited for, and its errors are raised."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]
