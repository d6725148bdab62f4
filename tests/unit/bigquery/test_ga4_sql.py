"""The statement over an export of Google Analytics 4, and which of its tables and days are looked at."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.zetasql_check import analyze

from tidemill.bigquery import ga4
from tidemill.errors import ConfigError

_VALUE = "STRUCT<string_value STRING, int_value INT64, float_value FLOAT64, double_value FLOAT64>"
OLD = {
    "event_date": "STRING",
    "event_timestamp": "INT64",
    "event_name": "STRING",
    "event_params": f"ARRAY<STRUCT<key STRING, value {_VALUE}>>",
    "event_bundle_sequence_id": "INT64",
    "user_pseudo_id": "STRING",
    "user_id": "STRING",
    "device": "STRUCT<category STRING, web_info STRUCT<browser STRING>>",
    "items": "ARRAY<STRUCT<item_id STRING, price FLOAT64>>",
}
NEW = {**OLD, "batch_event_index": "INT64", "batch_page_id": "INT64", "batch_ordering_id": "INT64"}


@pytest.mark.parametrize("columns", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize("since", [None, dt.date(2026, 1, 2)])
@pytest.mark.parametrize("intraday", [True, False])
def test_it_is_a_statement_for_exports_of_any_age(
    columns: dict[str, str], since: dt.date | None, intraday: bool
) -> None:
    sql, key = ga4.model("project-1", "analytics_1", since, columns, intraday=intraday)
    given = ", ".join(
        f"CAST(NULL AS {kind}) AS {name}" for name, kind in {**columns, "_TABLE_SUFFIX": "STRING"}.items()
    )
    analyze(sql.replace("`project-1.analytics_1.events_*`", f"(SELECT {given})"), {})
    assert key == ("ga4_key",)
    if since is not None:
        assert "BETWEEN '20260102' AND" in sql
        assert ("BETWEEN 'intraday_20260102' AND" in sql) == intraday


def test_what_is_no_export_is_told() -> None:
    with pytest.raises(ConfigError, match="event_params") as caught:
        ga4.model("project-1", "other", None, ["event_timestamp", "event_name", "user_pseudo_id"])
    assert caught.value.code == "ga4_columns"


def test_columns_are_those_of_the_newest_day() -> None:
    names = [
        "events_20260101",
        "events_20260102",
        "events_intraday_20260102",
        "events_99",
        "events_fresh_20260109",
        "x",
    ]
    assert ga4.newest(names) == "events_20260102"
    assert ga4.newest([*names, "events_intraday_20260103"]) == "events_intraday_20260103"
    assert ga4.newest([*names, "events_intraday_20260103"], intraday=False) == "events_20260102"
    assert ga4.newest(["events_intraday_20260103"], intraday=False) is None
    assert ga4.newest(["people"]) is None


def test_a_run_reads_three_days_before_the_newest_that_was_seen() -> None:
    wanted = dt.date(2026, 1, 2)
    assert ga4.first_day(None, wanted) == wanted
    assert ga4.first_day("2026-01-04", wanted) == wanted
    assert ga4.first_day("2026-01-20", wanted) == dt.date(2026, 1, 17)
    assert ga4.first_day("2026-01-20", None) == dt.date(2026, 1, 17)
