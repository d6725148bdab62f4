"""Rows as Arrow batches: in the order of their commits, fit for BigQuery, and what is not is told."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.installation import Installation, write_events

from tidemill.app import App
from tidemill.events import batches, sendable
from tidemill.events.sources import custom_sql
from tidemill.events.sources.custom import CustomSource
from tidemill.events.sources.events import EventSource
from tidemill.events.sources.source import Selection
from tidemill.models.events import EVENTS
from tidemill.models.registry import MODELS

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def load(app: App, path: Path) -> None:
    """Take a file into the store."""
    app.events.load(str(path))


def rows_of(
    app: App, model: str, selection: Selection, *, json_type: bool = False, limit: int = 10**6
) -> sendable.Rows:
    """The rows of a model."""
    columns = MODELS[model].columns_for(json_type=json_type)
    return batches.ordered(app.lake, app.sources[model], selection, columns, handed_at=NOW, max_row_bytes=limit)


def odd(path: Path, number: int, properties: str, **more: Any) -> None:
    """A file of one event with these properties, as text."""
    event = {"uuid": f"11111111-0000-7000-8000-{number:012d}", "event": "odd", "distinct_id": "u", **more}
    event["timestamp"] = "2026-01-01T00:00:00Z"
    path.write_text(json.dumps(event)[:-1] + f', "properties": {properties}}}\n')


@pytest.mark.parametrize("model", ["events", "amplitude_events"])
def test_rows_come_in_the_order_of_commits(installation: Installation, tmp_path: Path, model: str) -> None:
    """Whatever the files are like, the place of a row is the same each time, and a slice is in order."""
    with installation.app(commit_rows=40) as app:
        wanted = write_events(tmp_path / "a.jsonl", 100) + write_events(tmp_path / "b.jsonl", 50, first=100)
        load(app, tmp_path / "a.jsonl")
        load(app, tmp_path / "b.jsonl")
        app.sources[model].catch_up()
        upto = app.sources[model].position()
        rows = rows_of(app, model, Selection(0, upto))
        places = list(zip(rows.changes.tolist(), rows.numbers.tolist(), strict=True))
        assert places == sorted(set(places))
        assert sorted(rows.batch.column("uuid").to_pylist()) == sorted(wanted)
        again = rows_of(app, model, Selection(0, upto))
        assert again.batch.column("uuid") == rows.batch.column("uuid")
        part = rows.slice(10, 20)
        assert part.batch.column("uuid").to_pylist() == rows.batch.column("uuid").to_pylist()[10:20]
        assert part.changes.tolist() == rows.changes.tolist()[10:20]


def test_json_is_made_fit(installation: Installation, tmp_path: Path) -> None:
    """Only rows whose JSON the type cannot hold are changed; as text, all go as they came."""
    texts = ['{"a": 1}', '{"a": 123456789012345678901}', '{"a": "\\ud800"}']
    for number, text in enumerate(texts):
        odd(tmp_path / f"{number}.jsonl", number, text)
    with installation.app() as app:
        for number in range(len(texts)):
            load(app, tmp_path / f"{number}.jsonl")
        whole = Selection(0, app.lake.position())
        rows = rows_of(app, "events", whole, json_type=True)
        found = [json.loads(text)["a"] for text in rows.batch.column("properties").to_pylist()]
        assert found == [1, 1.2345678901234568e20, "\ufffd"]
        assert rows.repaired == 1  # half of a surrogate pair is mended when it comes in
        plain = rows_of(app, "events", whole)
        assert plain.batch.num_rows == len(texts)
        assert not plain.repaired


class Mixed(EventSource):
    """Events that come in no order, as they do where files were put together or several threads read."""

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """See EventSource."""
        return f"{super().gathered(cursor, selection, handed_at)} ORDER BY hash(uuid)"


@pytest.mark.parametrize("kind", [EventSource, Mixed])
def test_pieces_are_in_order(installation: Installation, tmp_path: Path, kind: type[EventSource]) -> None:
    """They have as many rows as were asked for, and are the same rows at the same places, however they lie."""
    with installation.app(commit_rows=40) as app:
        write_events(tmp_path / "a.jsonl", 100)
        load(app, tmp_path / "a.jsonl")
        whole = Selection(0, app.lake.position())
        wanted = rows_of(app, "events", whole)
        columns = MODELS["events"].columns_for(json_type=False)
        found = batches.pieces(
            app.lake, kind(app.lake), whole, columns, handed_at=NOW, max_row_bytes=10**6, rows_at_once=30
        )
        assert max(len(rows.sizes) for rows in found) <= 30
        places = [place for rows in found for place in zip(rows.changes.tolist(), rows.numbers.tolist(), strict=True)]
        assert places == list(zip(wanted.changes.tolist(), wanted.numbers.tolist(), strict=True))
        uuids = [uuid for rows in found for uuid in rows.batch.column("uuid").to_pylist()]
        assert uuids == wanted.batch.column("uuid").to_pylist()
        assert sum(int(rows.sizes.sum()) for rows in found) == int(wanted.sizes.sum())


class Odd(EventSource):
    """Events of which one has properties that are no JSON, as the store takes none."""

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """See EventSource."""
        broken = "CASE WHEN uuid LIKE '%1' THEN '{bad' ELSE properties END AS properties"
        return f"SELECT * REPLACE ({broken}) FROM ({super().gathered(cursor, selection, handed_at)})"


def test_what_is_no_json_is_set_aside(installation: Installation, tmp_path: Path) -> None:
    """With its reason and its text; the others stay, in order."""
    with installation.app() as app:
        for number in range(3):
            odd(tmp_path / f"{number}.jsonl", number, "{}")
            load(app, tmp_path / f"{number}.jsonl")
        columns, whole = EVENTS.columns_for(json_type=True), Selection(0, app.lake.position())
        rows = batches.ordered(app.lake, Odd(app.lake), whole, columns, handed_at=NOW, max_row_bytes=10**6)
        assert [one[-1] for one in rows.batch.column("uuid").to_pylist()] == ["0", "2"]
        assert [(row.id[-1], row.code, row.raw) for row in rows.rejected] == [("1", "json_invalid", "{bad")]


def test_a_row_that_is_too_large_is_set_aside(installation: Installation, tmp_path: Path) -> None:
    """The others stay, in order."""
    with installation.app() as app:
        for number, size in enumerate([10, 5000, 10]):
            odd(tmp_path / f"{number}.jsonl", number, json.dumps({"text": "x" * size}))
            load(app, tmp_path / f"{number}.jsonl")
        rows = rows_of(app, "events", Selection(0, app.lake.position()), limit=3000)
        assert [one[-1] for one in rows.batch.column("uuid").to_pylist()] == ["0", "2"]
        assert [(row.id[-1], row.code) for row in rows.rejected] == [("1", "row_too_large")]
        assert "xxx" in rows.rejected[0].raw
        assert max(rows.sizes) < 3000


def test_elements_stay_with_autocapture(installation: Installation, tmp_path: Path) -> None:
    """Unless they are wanted on any event."""
    chain = [{"tag_name": "a"}]
    odd(tmp_path / "0.jsonl", 0, "{}", event="$autocapture", elements=chain)
    odd(tmp_path / "1.jsonl", 1, "{}", event="other", elements=chain)
    with installation.app() as app:
        load(app, tmp_path / "0.jsonl")
        load(app, tmp_path / "1.jsonl")
        upto = app.lake.position()
        kept = rows_of(app, "events", Selection(0, upto)).batch.column("elements").to_pylist()
        assert "tag_name" in kept[0]
        assert "tag_name" in kept[1]
        some = rows_of(app, "events", Selection(0, upto, all_elements=False)).batch.column("elements").to_pylist()
        assert some == [kept[0], "[]"]


def test_an_empty_range_gives_no_rows(installation: Installation) -> None:
    """With the columns all the same."""
    with installation.app() as app:
        rows = rows_of(app, "events", Selection(0, 5))
        assert rows.batch.num_rows == 0
        assert rows.batch.schema == sendable.schema(MODELS["events"].columns_for(json_type=False))


def some(app: App, selection: Selection, *, size: int = 10**6, limit: int = 10**7) -> list[sendable.Rows]:
    """Requests of the rows of events."""
    columns = MODELS["events"].columns_for(json_type=True)
    found = batches.unordered(app.lake, app.sources["events"], selection, columns, handed_at=NOW, max_row_bytes=limit)
    return list(batches.requests(found, size))


def test_rows_of_any_size_come_once_in_requests_of_about_one_size(installation: Installation, tmp_path: Path) -> None:
    wanted = write_events(tmp_path / "small.jsonl", 3_000)
    for number, size in enumerate([40_000, 200_000, 3_000_000] * 4):
        wanted += write_events(tmp_path / f"{number}.jsonl", 1, first=10_000 + number, size=size)
    with installation.app(commit_rows=700) as app:
        load(app, tmp_path / "small.jsonl")
        for number in range(12):
            load(app, tmp_path / f"{number}.jsonl")
        found = some(app, Selection(0, app.lake.position()))
    assert sorted(uuid for rows in found for uuid in rows.batch.column("uuid").to_pylist()) == sorted(wanted)
    assert not any(rows.rejected for rows in found)
    sizes = [int(rows.sizes.sum()) for rows in found]
    for rows, size in zip(found, sizes, strict=True):
        assert rows.batch.num_rows == len(rows.sizes) == len(rows.ids) == len(rows.teams) > 0
        assert rows.ids.to_pylist() == rows.batch.column("uuid").to_pylist()
        assert rows.batch.serialize().size < size * 1.2 + 10_000
        assert size <= 10**6 or rows.batch.num_rows == 1
    assert all(first + second > 10**6 for first, second in itertools.pairwise(sizes))


def test_rows_over_the_limit_are_told_without_being_read(installation: Installation, tmp_path: Path) -> None:
    write_events(tmp_path / "small.jsonl", 5)
    large = write_events(tmp_path / "large.jsonl", 2, first=100, size=500_000)
    with installation.app() as app:
        for name in ("small", "large"):
            load(app, tmp_path / f"{name}.jsonl")
        (rows,) = some(app, Selection(0, app.lake.position()), limit=100_000)
        assert rows.batch.num_rows == 5
        assert [(row.id, row.code) for row in rows.rejected] == [(uuid, "row_too_large") for uuid in large]
        assert {len(row.raw) for row in rows.rejected} == {1000}
        assert some(app, Selection(0, 0)) == []


def test_a_list_that_is_null_is_empty(installation: Installation, tmp_path: Path) -> None:
    """A REPEATED column has no NULL."""
    odd(tmp_path / "0.jsonl", 0, "{}")
    sql = "SELECT uuid, CASE WHEN event = 'none' THEN ['a'] END AS names FROM events"
    with installation.app() as app:
        load(app, tmp_path / "0.jsonl")
        columns = custom_sql.describe(app.lake, sql)
        source = CustomSource(app.lake, sql, columns, ["uuid"], [])
        selection = Selection(0, app.lake.position())
        (rows,) = batches.requests(
            batches.unordered(app.lake, source, selection, columns, handed_at=NOW, max_row_bytes=10**6), 10**6
        )
        assert rows.batch.column("names").to_pylist() == [[]]
