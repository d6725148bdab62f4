"""The client's plain calls: datasets, tables, rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from tests.fake_bigquery import ACCOUNT, DATASET, PROJECT, Clock, FakeBigQuery, Fault, google_error

from tidemill.bigquery.client import Client, Dataset
from tidemill.bigquery.tables import Layout
from tidemill.errors import AccessError, NotFoundError, UnavailableError
from tidemill.models.events import EVENTS

LAYOUT = Layout(
    EVENTS.columns_for(json_type=True),
    partition=("timestamp", "DAY"),
    cluster_by=("event",),
    description="Events",
    labels={"tidemill_export": "e"},
)


def test_a_dataset_tells_its_location_and_expiration(client: Client, bigquery: FakeBigQuery) -> None:
    assert client.get_dataset(DATASET) == Dataset("EU", None)
    bigquery.datasets["short"] = {"location": "US", "defaultTableExpirationMs": "3600000"}
    assert client.get_dataset("short") == Dataset("US", dt.timedelta(hours=1))
    assert client.list_datasets() == [(DATASET, "EU"), ("short", "US")]


def test_a_dataset_that_is_not_there_is_an_error_that_says_how_to_make_it(client: Client) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.get_dataset("nope")
    assert caught.value.code == "dataset_not_found"
    assert f"CREATE SCHEMA `{PROJECT}.nope`" in caught.value.hint


def test_a_dataset_is_made_once(client: Client, bigquery: FakeBigQuery) -> None:
    assert client.create_dataset("new", "europe-west1") == "europe-west1"
    assert client.create_dataset("new", "US") == "europe-west1"
    assert bigquery.datasets["new"] == {"location": "europe-west1"}


def test_a_table_that_is_not_there_is_none(client: Client) -> None:
    assert client.get_table(DATASET, "nope") is None


def test_a_table_in_a_dataset_that_is_not_there_is_an_error(client: Client, bigquery: FakeBigQuery) -> None:
    message = f"Not found: Dataset {PROJECT}:nope"
    bigquery.faults = [Fault("GET", "/datasets/nope/", 404, google_error(404, "notFound", message))]
    with pytest.raises(NotFoundError) as caught:
        client.get_table("nope", "events")
    assert caught.value.code == "dataset_not_found"


def test_a_table_is_made_as_laid_out_and_one_that_is_there_stays(client: Client, bigquery: FakeBigQuery) -> None:
    made = client.create_table(DATASET, "events", LAYOUT)
    assert made.partition == ("timestamp", "DAY")
    assert made.cluster_by == ("event",)
    assert [(field.name, field.type) for field in made.fields] == [(c.name, c.type.value) for c in LAYOUT.columns]
    sent = bigquery.tables["events"]
    assert sent["labels"] == {"tidemill_export": "e"}
    assert all(field["description"] for field in sent["schema"]["fields"])
    assert "expirationTime" not in sent
    assert len(client.create_table(DATASET, "events", Layout(LAYOUT.columns[:1])).fields) == len(LAYOUT.columns)


def test_a_table_that_must_not_stay_expires(client: Client, bigquery: FakeBigQuery) -> None:
    client.create_table(DATASET, "scratch", Layout(LAYOUT.columns, expires_seconds=3600))
    left = int(bigquery.tables["scratch"]["expirationTime"]) / 1000 - dt.datetime.now(dt.UTC).timestamp()
    assert 3000 < left <= 3600


def test_legacy_type_names_are_understood(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.add_table("old", ("a", "INTEGER"), ("b", "FLOAT"), ("c", "BOOLEAN"), ("d", "STRING"), numRows="5")
    found = client.get_table(DATASET, "old")
    assert found
    assert [field.type for field in found.fields] == ["INT64", "FLOAT64", "BOOL", "STRING"]
    assert found.rows == 5


@pytest.mark.parametrize("kind", ["TABLE", "VIEW", "EXTERNAL"])
def test_what_kind_of_table_it_is_is_read(client: Client, bigquery: FakeBigQuery, kind: str) -> None:
    bigquery.add_table("thing", ("a", "STRING"), type=kind)
    found = client.get_table(DATASET, "thing")
    assert found
    assert found.kind == kind


def test_deleting_a_table_that_is_not_there_is_no_error(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.add_table("events", ("event", "STRING"))
    assert client.list_tables(DATASET) == ["events"]
    client.delete_table(DATASET, "events")
    client.delete_table(DATASET, "events")
    assert client.list_tables(DATASET) == []


@pytest.mark.parametrize("permission", ["get", "create", "list", "delete"])
def test_a_missing_permission_is_named_with_the_account_it_is_for(
    client: Client, bigquery: FakeBigQuery, permission: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: client.get_table(DATASET, "t"),
        "create": lambda: client.create_table(DATASET, "t", LAYOUT),
        "list": lambda: client.list_tables(DATASET),
        "delete": lambda: client.delete_table(DATASET, "t"),
    }
    bigquery.denied = {f"bigquery.tables.{permission}"}
    with pytest.raises(AccessError) as caught:
        calls[permission]()
    assert f"bigquery.tables.{permission}" in caught.value.message
    assert f'ON SCHEMA `{PROJECT}.{DATASET}` TO "serviceAccount:{ACCOUNT}"' in caught.value.hint


def test_a_service_that_is_down_for_a_moment_is_not_noticed(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.faults = [Fault("GET", "/datasets/", None, times=2), Fault("GET", "/datasets/", 503, times=2)]
    assert client.get_dataset(DATASET).location == "EU"


def test_a_service_that_is_down_for_long_is_told(client: Client, bigquery: FakeBigQuery, clock: Clock) -> None:
    bigquery.faults = [Fault("GET", "/datasets/", 503, times=1000)]
    with pytest.raises(UnavailableError):
        client.get_dataset(DATASET)
    assert clock.now <= 600


def test_a_token_endpoint_that_is_down_for_a_moment_is_not_noticed(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.faults = [Fault("POST", "/token", None), Fault("POST", "/token", 503)]
    client.get_token()


def test_a_deleted_key_is_explained(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.faults = [Fault("POST", "/token", 400, {"error": "invalid_grant", "error_description": "Invalid JWT"})]
    with pytest.raises(AccessError) as caught:
        client.get_token()
    assert caught.value.code == "credential_refused"


def test_a_dry_run_needs_and_shows_the_right_to_run_jobs(client: Client, bigquery: FakeBigQuery) -> None:
    assert client.dry_run("SELECT 1") == 7
    assert not bigquery.jobs
    bigquery.denied = {"bigquery.jobs.create"}
    with pytest.raises(AccessError, match="streaming export"):
        client.dry_run("SELECT 1")
