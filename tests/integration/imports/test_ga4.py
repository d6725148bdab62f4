"""An export of Google Analytics 4 whose tables are rewritten: each event comes once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation
from tests.syncs import NAME, Crm, People, run

from tidemill.app import App
from tidemill.bigquery import ga4
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.errors import ConfigError

_PARAM = "STRUCT('{}' AS key, STRUCT({} AS string_value, {} AS int_value) AS value)"


def event(name: str, at: int, page: str = "/", *, swapped: bool = False, more: str = "") -> str:
    """An event as GA4 has it. `swapped`: its parameters are in another order; `more`: columns of newer exports."""
    params = [_PARAM.format("page", f"'{page}'", "CAST(NULL AS INT64)"), _PARAM.format("n", "CAST(NULL AS STRING)", at)]
    listed = ", ".join(reversed(params) if swapped else params)
    return (
        f"SELECT {at} AS event_timestamp, '{name}' AS event_name, [{listed}] AS event_params, "
        f"7 AS event_bundle_sequence_id, 'u1' AS user_pseudo_id{more}"
    )


class Export:
    """The tables of an export, and a sync of it."""

    def __init__(self, installation: Installation, people: People, crm: Crm) -> None:
        self.dataset, self._people, self._crm, self._installation = installation.dataset, people, crm, installation

    def save(self, shard: str, *events: str) -> None:
        """Write the table of a day anew."""
        self._people.ask(f"CREATE OR REPLACE TABLE `{self.dataset}.events_{shard}` AS {' UNION ALL '.join(events)}")

    def drop(self, shard: str) -> None:
        """Delete the table of a day."""
        self._people.ask(f"DROP TABLE `{self.dataset}.events_{shard}`")

    def model(self, since: dt.date | None = None, *, intraday: bool = True) -> str:
        """The statement."""
        client = self._installation.client()
        columns = ga4.columns_of(client, self.dataset, intraday=intraday)
        sql, key = ga4.model(DEFAULT_PROJECT, self.dataset, since, columns, intraday=intraday)
        client.close()
        assert key == ga4.KEY
        return sql

    def found(self, since: dt.date | None = None, *, intraday: bool = True) -> list[tuple[Any, ...]]:
        """What the statement gives: names, times and days of events."""
        asked = f"SELECT event_name, event_timestamp, table_date FROM ({self.model(since, intraday=intraday)})"
        return sorted(tuple(map(str, row)) for row in self._people.ask(asked))

    def keys(self) -> set[str]:
        """The keys that the statement gives."""
        return {str(row[0]) for row in self._people.ask(f"SELECT ga4_key FROM ({self.model()})")}

    def prepare(self, app: App, **access: Any) -> None:
        """A sync of it."""
        self._installation.connect(app)
        list(app.reverse_etl.sources.enable(CONNECTION, access, by="me"))
        app.reverse_etl.models.add(CONNECTION, {"name": "ga4", "sql": self.model(), "key": ga4.KEY}, by="me")
        settings = app.reverse_etl.destinations.make("webhook", self._crm.settings())
        app.reverse_etl.destinations.add("webhook", "hook", settings, by="me")
        given = {
            "name": NAME,
            "mapping": {"name": {"@path": "$.event_name"}, "at": {"@path": "$.event_timestamp"}},
            "mode": "upsert",
            "interval": "none",
            "extraction": "cursor",
            "cursor": ga4.CURSOR,
            "cursor_overlap": ga4.OVERLAP_DAYS,
        }
        app.reverse_etl.syncs.create("ga4", "hook", given, by="me")

    def sent(self) -> list[tuple[str, int, str]]:
        """What has come since it was asked last: names and times of events, and what was done."""
        found = sorted((one["data"]["name"], one["data"]["at"], one["op"]) for one in self._crm.sent)
        self._crm.sent.clear()
        return found


@pytest.fixture
def export(installation: Installation, people: People, crm: Crm) -> Export:
    return Export(installation, people, crm)


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_each_event_comes_once_though_tables_are_rewritten(
    installation: Installation, export: Export, access: str
) -> None:
    kept = {} if access == "read-only" else {"state_dataset": f"{installation.dataset}_state"}
    # Two clicks that are alike in all are two.
    export.save("20240101", event("open", 1), event("click", 2), event("click", 2))
    export.save("intraday_20240102", event("open", 11), event("click", 12))
    with installation.app(outbound_allow="127.0.0.1") as app:
        export.prepare(app, access=access, **kept)
        run(app)
        first = [("click", 2, "added"), ("click", 2, "added"), ("click", 12, "added"), ("open", 1, "added")]
        assert export.sent() == [*first, ("open", 11, "added")]
        # The day is over: its table is there, with an event more, and that of the hours before is not gone yet. The day
        # before is rewritten, with an event that came late, by an export that has a column more.
        more = ", CAST(NULL AS INT64) AS batch_event_index"
        export.save("20240102", event("open", 11), event("click", 12, swapped=True), event("buy", 13))
        export.save(
            "20240101",
            *(event("click", 2, swapped=swapped, more=more) for swapped in (True, False)),
            event("late", 3, more=more),
            event("open", 1, more=more),
        )
        over = run(app)
        assert (over.invalid, export.sent()) == (0, [("buy", 13, "added"), ("late", 3, "added")])
        export.drop("intraday_20240102")
        export.save("intraday_20240103", event("open", 21))
        run(app)
        assert export.sent() == [("open", 21, "added")]
        run(app)
        assert export.sent() == []


def test_an_event_that_moves_to_another_day_is_the_same(export: Export) -> None:
    export.save("20240101", event("open", 1), event("click", 2))
    export.save("20240102", event("click", 2), event("open", 11))
    export.save("intraday_20240103", event("open", 11), event("open", 21))
    day = "2024-01-0"
    assert export.found() == [
        *(("click", "2", f"{day}2"), ("open", "1", f"{day}1"), ("open", "11", f"{day}2"), ("open", "21", f"{day}3"))
    ]


def placed(name: str, at: int, page: str, index: str | int = 1) -> str:
    """An event as newer exports have it: with its place in the batch that it was sent in, or `index`: NULL, without."""
    index = f"CAST({index} AS INT64)"
    return event(name, at, page, more=f", 5 AS batch_page_id, 6 AS batch_ordering_id, {index} AS batch_event_index")


def test_an_event_that_has_a_place_in_a_batch_is_the_same_with_other_parameters(export: Export) -> None:
    first = (placed("open", 11, "/"), placed("open", 11, "/", 2), placed("open", 12, "/", "NULL"))
    export.save("intraday_20240102", *first)
    before = export.keys()
    export.save("20240102", placed("open", 11, "/a"), placed("open", 11, "/b", 2), placed("open", 12, "/c", "NULL"))
    after = export.keys()
    assert (len(before), len(after), len(before & after)) == (3, 3, 2), "without a place, parameters tell it apart"


def test_a_column_more_leaves_keys_as_they_are(export: Export) -> None:
    export.save("20240102", event("open", 11, "/"), event("open", 11, "/a"))
    before = export.keys()
    more = ", CAST(NULL AS INT64) AS batch_page_id, CAST(NULL AS INT64) AS batch_ordering_id"
    more += ", CAST(NULL AS INT64) AS batch_event_index"
    export.save("20240102", event("open", 11, "/", more=more), event("open", 11, "/a", more=more))
    assert export.keys() == before


def test_days_that_are_not_over_may_be_left_out(installation: Installation, export: Export) -> None:
    export.save("20240101", event("open", 1))
    export.save("intraday_20240102", event("open", 11))
    assert export.found(intraday=False) == [("open", "1", "2024-01-01")]
    with installation.app() as app:
        installation.connect(app)
        list(app.reverse_etl.sources.enable(CONNECTION, {"access": "read-only"}, by="me"))
        for name, intraday, found in (("whole", False, 1), ("all", True, 2)):
            of = (export.dataset, None, intraday)
            made = app.imports.create(name, connection=CONNECTION, source={"max_bytes_billed": 10**9}, ga4=of, by="me")
            assert made.max_bytes_billed == 10**9
            assert len(app.imports.preview(name, 10).rows) == found


def test_an_export_whose_first_day_is_not_over_has_nothing_else(export: Export) -> None:
    export.save("intraday_20240102", event("open", 11))
    assert export.found() == [("open", "11", "2024-01-02")]
    with pytest.raises(ConfigError) as caught:
        export.found(intraday=False)
    assert caught.value.code == "ga4_tables"


def test_other_tables_and_earlier_days_are_left_out(export: Export) -> None:
    export.save("20240101", event("open", 1))
    export.save("20240102", event("open", 11))
    export.save("intraday_20240101", event("open", 2))
    for other in ("fresh_20240102", "20240102_backup", "20249999", "backup"):
        export.save(other, event("other", 99))
    assert export.found(dt.date(2024, 1, 2)) == [("open", "11", "2024-01-02")]
    assert export.found() == [("open", "1", "2024-01-01"), ("open", "11", "2024-01-02")]


def test_a_dataset_without_an_export_is_told(export: Export) -> None:
    with pytest.raises(ConfigError) as caught:
        export.model()
    assert caught.value.code == "ga4_tables"
