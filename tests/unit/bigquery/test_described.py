"""What a dry run tells of a statement, and what is told of one that is refused."""

from __future__ import annotations

import dataclasses

import pytest
from tests.fake_bigquery import ACCOUNT, PROJECT, Clock, FakeBigQuery, Fault, google_error

from tidemill.bigquery import describe
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants_source import SourceUse
from tidemill.errors import AccessError, ConfigError, NotFoundError

SQL = "SELECT * FROM a.t"
STATISTICS = {
    "query": {
        "totalBytesProcessed": "1234",
        "statementType": "SELECT",
        "schema": {
            "fields": [
                {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
                {"name": "tags", "type": "STRING", "mode": "REPEATED"},
                {"name": "at", "type": "TIMESTAMP"},
            ]
        },
        "referencedTables": [{"projectId": "other", "datasetId": "a", "tableId": "t"}],
    }
}
JOB = {
    "jobReference": {"projectId": PROJECT, "jobId": "j", "location": "EU"},
    "configuration": {"dryRun": True, "query": {"query": SQL}},
    "status": {"state": "DONE"},
    "statistics": STATISTICS,
}


def _refused(bigquery: FakeBigQuery, status: int, reason: str, message: str) -> None:
    bigquery.faults = [Fault("POST", "/jobs", status, google_error(status, reason, message))]


def test_columns_bytes_tables_and_the_kind_of_statement(bigquery: FakeBigQuery, client: Client) -> None:
    bigquery.faults = [Fault("POST", "/jobs", 200, JOB)]
    found = describe.described(client, SQL)
    assert [dataclasses.astuple(column)[:3] for column in found.columns] == [
        ("id", "INT64", "REQUIRED"),
        ("tags", "STRING", "REPEATED"),
        ("at", "TIMESTAMP", "NULLABLE"),
    ]
    assert (found.bytes, found.statement_type, found.location) == (1234, "SELECT", "EU")
    assert found.tables == (("other", "a", "t"),)


def test_it_is_asked_in_the_clients_location_or_in_any(bigquery: FakeBigQuery, client: Client) -> None:
    for anywhere, location in ((False, "EU"), (True, None)):
        bigquery.faults = [Fault("POST", "/jobs", 200, JOB)]
        describe.described(client, SQL, anywhere=anywhere)
        sent = bigquery.log[-1]["body"]
        assert sent["jobReference"].get("location") == location
        assert sent["configuration"]["dryRun"] is True


@pytest.mark.parametrize(
    ("named", "project", "table"),
    [
        ("other:a.t", "other", "other.a.t"),
        ("example.com:other:a.t", "example.com:other", "example.com:other.a.t"),
        (f"{PROJECT}:a.t", PROJECT, f"{PROJECT}.a.t"),
    ],
)
def test_a_table_that_may_not_be_read_is_named_with_what_grants_it(
    bigquery: FakeBigQuery, clock: Clock, named: str, project: str, table: str
) -> None:
    message = f"Access Denied: Table {named}: User does not have permission to query table {named}, or perhaps …"
    _refused(bigquery, 403, "accessDenied", message)
    client = Client(Auth(bigquery.key()), PROJECT, "EU", policy=clock.policy(), use=SourceUse(False, "state"))
    with pytest.raises(AccessError) as caught:
        describe.described(client, SQL)
    client.close()
    assert caught.value.message == f"The permission bigquery.tables.getData is missing on the table {table}."
    assert f"gcloud iam roles create tidemillReverseEtl --project={project} " in caught.value.hint
    assert f"serviceAccount:{ACCOUNT}" in caught.value.hint
    assert "Batch exports" not in caught.value.message


def test_who_may_run_no_jobs_is_told_that(bigquery: FakeBigQuery, client: Client) -> None:
    bigquery.denied = {"bigquery.jobs.create"}
    with pytest.raises(AccessError, match=r"bigquery\.jobs\.create is missing on the project"):
        describe.described(client, SQL)


def test_bigquerys_words_with_line_and_column_are_kept(bigquery: FakeBigQuery, client: Client) -> None:
    _refused(bigquery, 400, "invalidQuery", "Unrecognized name: nope at [3:8]")
    with pytest.raises(ConfigError, match=r"Unrecognized name: nope at \[3:8\]"):
        describe.described(client, SQL)
    _refused(bigquery, 404, "notFound", f"Not found: Dataset {PROJECT}:a was not found in location EU")
    with pytest.raises(NotFoundError) as caught:
        describe.described(client, SQL)
    assert caught.value.code == "wrong_location"
