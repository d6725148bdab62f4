"""Imports take the oldest events first: the pieces of their plans are in order of time, and so are commits."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.imports import Shop, make, prepare, run
from tests.installation import Installation
from tests.syncs import Killed

from tidemill.app import App
from tidemill.bigquery import plan_orders
from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.tables import Field
from tidemill.destinations.port import Mode, Op
from tidemill.events.data.objects import FolderObjects
from tidemill.imports import drafts, times
from tidemill.imports.spec import ImportSpec, Kind, TimeFormat
from tidemill.imports.taking import Taking
from tidemill.imports.unfit import Unfit
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planned, Planner, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.work import Job

_SECOND = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)).map(lambda one: one.replace(microsecond=0))  # noqa: DTZ001
_PYTHON = (("yyyy", "%Y"), ("MMM", "%b"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))
_UNITS = {TimeFormat.SECONDS: 1, TimeFormat.MILLISECONDS: 1_000, TimeFormat.MICROSECONDS: 1_000_000}
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001
_HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_WRONG = st.sampled_from(["", "soon", "31/31/2024", "2024-13-01", "1e99"])


def _written(moment: dt.datetime, form: TimeFormat) -> str:
    text = form.value
    for part, directive in _PYTHON:
        said = f"{moment.year:04}" if part == "yyyy" else moment.strftime(directive)
        text = text.replace(part, said.replace("M", "\0"))  # of Mar and May: no part of a format
    return text.replace("\0", "M")


@st.composite
def _time(draw: st.DrawFn, kind: str, form: TimeFormat) -> tuple[str, Any]:
    """A time as a column of a kind has it: as SQL, and as it comes to an import."""
    moment = draw(_SECOND)
    if kind == "INT64":
        number = (moment - _EPOCH) // dt.timedelta(seconds=1) * _UNITS[form]
        number += draw(st.integers(0, _UNITS[form] - 1)) if number >= 0 else 0
        return f"CAST({number} AS INT64)", number
    if kind == "STRING":
        text = draw(_WRONG | st.just(_text(draw, moment, form)))
        return f"'{text}'", text
    if moment >= _EPOCH:  # before, milliseconds are not always rounded down
        moment = moment.replace(microsecond=draw(st.integers(0, 999_999)))
    text = moment.date().isoformat() if kind == "DATE" else moment.isoformat(" ")
    return f"{kind} '{text}{'+00' if kind == 'TIMESTAMP' else ''}'", text.replace(" ", "T")


def _text(draw: st.DrawFn, moment: dt.datetime, form: TimeFormat) -> str:
    if form in _UNITS:
        return str((moment - _EPOCH) // dt.timedelta(seconds=1) * _UNITS[form])
    if form is not TimeFormat.AUTO:
        return _written(moment, form)
    whole = moment.isoformat(draw(st.sampled_from("T ")))
    return draw(st.sampled_from([whole, f"{whole}.25", f"{whole}Z", f"{whole}+05:30", f" {whole[:10]} "]))


_KINDS = [
    *((kind, TimeFormat.AUTO) for kind in ("TIMESTAMP", "DATETIME", "DATE", "STRING")),
    *(("INT64", form) for form in _UNITS),
    *(("STRING", form) for form in TimeFormat),
]


@pytest.fixture
def client(fresh_installation: Installation) -> Iterator[Client]:
    client = fresh_installation.client()
    client.policy = Policy(deadline=30)
    yield client
    client.close()


@pytest.fixture(params=["warehouse", "read-only"])
def planner(
    client: Client, fresh_installation: Installation, request: pytest.FixtureRequest
) -> Callable[[uuid.UUID], Planner]:
    if request.param == "warehouse":
        return lambda sync: WarehousePlanner(client, fresh_installation.dataset, sync)
    installed = fresh_installation.settings()
    folder = installed.home_path / "events"
    folder.mkdir(parents=True, exist_ok=True)
    return lambda sync: LocalPlanner(client, FolderObjects(folder), installed, sync)


def _model(rows: dict[str, tuple[str, Any]], kind: str, number: int) -> str:
    some = [f"SELECT '{key}' AS id, {number} AS v, {sql} AS t" for key, (sql, _) in rows.items()]
    none = f"SELECT '' AS id, 0 AS v, CAST(NULL AS {kind}) AS t FROM UNNEST(GENERATE_ARRAY(1, 0))"
    return " UNION ALL ".join([none, *some])


def _wanted(sync: uuid.UUID, number: int, sql: str, form: TimeFormat) -> Wanted:
    spec = ImportSpec(kind=Kind.EVENTS, identity="id", event="E", time="t", time_format=form)
    return Wanted(
        sync=sync,
        run=uuid.uuid4(),
        number=number,
        sql=sql,
        key=("id",),
        columns=("id", "t", "v"),
        delivers=Mode.MIRROR.ops,
        order=drafts.order(spec),
    )


def _moment(value: Any, form: TimeFormat) -> float:
    """Milliseconds since 1970; what is no time is after all others."""
    try:
        return float("inf") if value is None else times.reader(form)(value) // 1000
    except Unfit:
        return float("inf")


@given(data=st.data())
@settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],  # nothing is made smaller where it fails: a run takes seconds
    suppress_health_check=_HEALTH,
)
def test_pieces_are_in_order_of_time_and_hold_each_row_once(
    planner: Callable[[uuid.UUID], Planner], data: st.DataObject
) -> None:
    kind, form = data.draw(st.sampled_from(_KINDS), "kind")
    most = data.draw(st.sampled_from([1, 3, 100]), "rows of a piece")
    sync = uuid.uuid4()
    made = planner(sync)
    none = st.just((f"CAST(NULL AS {kind})", None))
    table = st.dictionaries(st.sampled_from("abcdefghij"), st.one_of(_time(kind, form), _time(kind, form), none))
    before: set[str] = set()
    for number in (1, 2):
        rows = data.draw(table, "rows")
        wanted = dataclasses.replace(_wanted(sync, number, _model(rows, kind, number), form), piece_rows=most)
        planned = made.plan(wanted)
        pieces = [list(made.rows(wanted, piece)) for piece in planned.pieces]
        assert sorted(row.key for piece in pieces for row in piece) == sorted({*rows, *before})
        moments = [
            sorted(float("inf") if row.op is Op.DELETED else _moment(rows[row.key][1], form) for row in piece)
            for piece in pieces
        ]
        assert all(one[-1] <= other[0] for one, other in itertools.pairwise(moments)), moments
        assert max(map(len, pieces), default=0) <= most + 1
        made.commit(wanted, [], planned.pieces)
        before = set(rows)
    assert not made.plan(dataclasses.replace(wanted, run=uuid.uuid4(), number=3)).pieces


def test_many_rows_of_one_time_are_several_pieces(planner: Callable[[uuid.UUID], Planner]) -> None:
    sql = "SELECT CAST(n AS STRING) AS id, n AS v, DATE '2024-01-01' AS t FROM UNNEST(GENERATE_ARRAY(1, 300)) AS n"
    wanted = _wanted(uuid.uuid4(), 1, sql, TimeFormat.AUTO)
    made: Planned = planner(wanted.sync).plan(dataclasses.replace(wanted, piece_rows=20))
    assert sum(piece.rows for piece in made.pieces) == 300
    assert max(piece.rows for piece in made.pieces) < 30  # two keys may be in one bucket


@given(data=st.data())
@settings(max_examples=5, phases=[Phase.explicit, Phase.generate], suppress_health_check=_HEALTH)
def test_a_time_is_what_imports_read_of_it(client: Client, data: st.DataObject) -> None:
    columns = {}
    for number, (kind, form) in enumerate(_KINDS):
        columns[f"t{number}"] = data.draw(st.lists(_time(kind, form), min_size=8, max_size=8), f"{kind} {form}")
    rows = zip(*columns.values(), strict=True)
    structs = [", ".join(f"{sql} AS {name}" for name, (sql, _) in zip(columns, row, strict=True)) for row in rows]
    values = []
    for name, (kind, form) in zip(columns, _KINDS, strict=True):
        order = drafts.order(ImportSpec(kind=Kind.EVENTS, identity="id", event="E", time=name, time_format=form))
        assert order is not None
        values.append(str(plan_orders.value({name: Field(name, kind)}, name, order.unit, order.pattern)))
    some = " UNION ALL ".join(f"SELECT {number} AS n, {struct}" for number, struct in enumerate(structs))
    asked = f"SELECT n, {', '.join(values)} FROM ({some}) AS source ORDER BY n"
    found = client.query(asked, job_id=f"test_{uuid.uuid4().hex}").rows
    for place, (name, (_, form)) in enumerate(zip(columns, _KINDS, strict=True), 1):
        expected = [_moment(value, form) for _, value in columns[name]]
        assert [float("inf") if row[place] is None else row[place] for row in found] == expected, columns[name]


ORDERS: dict[str, Any] = {
    "identity": "user_id",
    "event": "Ordered",
    "time": "ordered_at",
    "time_format": "epoch-seconds",
    "properties": [{"column": "id", "name": "n"}],
}


def orders(shop: Shop, number: int) -> None:
    """A table of so many rows, of a minute each; the greater the id, the older."""
    shop.ask(
        f"CREATE OR REPLACE TABLE `{{d}}.orders` AS SELECT n AS id, 'ann' AS user_id, 1700000000 - 60 * n AS "
        f"ordered_at FROM UNNEST(GENERATE_ARRAY(1, {number})) AS n"
    )


def committed(app: App) -> list[list[int]]:
    """Of each commit the events, as they were committed."""
    with app.lake.cursor() as cursor:
        rows = cursor.execute(
            "SELECT snapshot_id, CAST(json_extract(properties, '$.n') AS BIGINT) FROM lake.events "
            "WHERE event = 'Ordered' ORDER BY snapshot_id, n"
        ).fetchall()
    found: dict[int, list[int]] = {}
    for snapshot, number in rows:
        found.setdefault(snapshot, []).append(number)
    return list(found.values())


def _in_pieces(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    asked = vars(Job)["wanted"].fget
    monkeypatch.setattr(Job, "wanted", property(lambda job: dataclasses.replace(asked(job), piece_rows=rows)))


@pytest.mark.parametrize("access", ["full", "read-only"])
@pytest.mark.parametrize("dies_after", [None, 0, 3])
def test_events_are_committed_oldest_first(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, access: str, dies_after: int | None
) -> None:
    """In one order from the first commit to the last, also of a run that was killed and went on."""
    _in_pieces(monkeypatch, 5)
    with installation.app() as app:
        shop = prepare(app, installation, access)
        orders(shop, 40)
        make(app, shop, "orders", "orders", Kind.EVENTS, ORDERS)
        if dies_after is not None:
            calls: list[int] = []
            take = Taking.keep

            def dies(self: Taking, *arguments: Any) -> Any:
                calls.append(0)
                done = take(self, *arguments)
                if len(calls) > dies_after:
                    raise Killed
                return done

            with monkeypatch.context() as patched, pytest.raises(Killed):
                patched.setattr(Taking, "keep", dies)
                run(app, "orders")
        over = run(app, "orders")
        assert (over.status, over.rejected) == ("completed", 0)
        commits = committed(app)
        assert [number for commit in commits for number in commit] == list(range(40, 0, -1))
        assert len(commits) >= 8
