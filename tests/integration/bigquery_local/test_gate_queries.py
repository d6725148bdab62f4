"""Query jobs through the gate: once, all or nothing, and with BigQuery's own refusals."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, load_bytes, load_lines, make, rows

JOBS = "/bigquery/v2/projects/[^/]+/jobs$"


@pytest.fixture
def events(client: bigquery.Client, warehouse: Warehouse) -> str:
    name = warehouse.name("events")
    make(client, name, "a INT64", "b STRING")
    client.query_and_wait(f"INSERT INTO `{name}` VALUES (1, 'x'), (2, 'y')")
    return name


def stage(client: bigquery.Client, warehouse: Warehouse, *values: str) -> str:
    name = warehouse.name("stage")
    make(client, name, "a INT64", "b STRING")
    client.query_and_wait(f"INSERT INTO `{name}` VALUES {', '.join(values)}")
    return name


MANY = {
    "merge": "MERGE `{t}` AS t USING `{s}` AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = s.b",
    "merge with conditions": "MERGE `{t}` t USING (SELECT * FROM `{s}`) s ON t.a = s.a "
    "WHEN MATCHED AND s.b = 'none' THEN DELETE WHEN MATCHED AND s.b >= 'p' THEN UPDATE SET b = s.b "
    "WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, s.b)",
    "merge that deletes": "MERGE `{t}` t USING `{s}` s ON t.a = s.a WHEN MATCHED THEN DELETE",
    "merge without aliases": "MERGE `{t}` USING `{s}` AS s ON events.a = s.a WHEN MATCHED THEN DELETE",
    "update": "UPDATE `{t}` t SET b = s.b FROM `{s}` s WHERE t.a = s.a",
    "in a script": "BEGIN UPDATE `{t}` t SET b = s.b FROM `{s}` s WHERE t.a = s.a; END",
}


@pytest.mark.parametrize("statement", MANY)
def test_a_target_row_that_matches_two_source_rows_fails_the_statement(
    client: bigquery.Client, warehouse: Warehouse, events: str, statement: str
) -> None:
    source = stage(client, warehouse, "(1, 'p')", "(1, 'q')", "(3, 'r')")
    with pytest.raises(api.BadRequest, match="must match at most one source row for each target row"):
        client.query_and_wait(MANY[statement].format(t=events, s=source))
    assert rows(client, events) == [(1, "x"), (2, "y")]


ONE = {
    "one row each": ("WHEN MATCHED AND s.b = 'p' THEN UPDATE SET b = s.b", [(1, "p"), (2, "y")]),
    "inserts only": (
        "WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, s.b)",
        [(1, "x"), (2, "y"), (3, "r")],
    ),
    "not by source": ("WHEN NOT MATCHED BY SOURCE THEN DELETE", [(1, "x")]),
}


@pytest.mark.parametrize("clause", ONE)
def test_two_source_rows_do_no_harm_where_at_most_one_counts(
    client: bigquery.Client, warehouse: Warehouse, events: str, clause: str
) -> None:
    source = stage(client, warehouse, "(1, 'p')", "(1, 'q')", "(3, 'r')")
    client.query_and_wait(f"MERGE `{events}` t USING `{source}` s ON t.a = s.a {ONE[clause][0]}")
    assert rows(client, events) == ONE[clause][1]


def test_parameters_count_in_the_check_too(client: bigquery.Client, warehouse: Warehouse, events: str) -> None:
    source = stage(client, warehouse, "(1, 'p')", "(1, 'q')")
    merge = f"MERGE `{events}` t USING `{source}` s ON t.a = s.a AND s.b != @no WHEN MATCHED THEN UPDATE SET b = @new"

    def parameters(no: str) -> bigquery.QueryJobConfig:
        named = {"new": "changed", "no": no}
        return bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in named.items()]
        )

    with pytest.raises(api.BadRequest, match="at most one source row"):
        client.query_and_wait(merge, job_config=parameters("z"))
    client.query_and_wait(merge, job_config=parameters("p"))
    assert rows(client, events) == [(1, "changed"), (2, "y")]


def test_a_statement_that_fails_changes_nothing_and_its_id_is_taken(client: bigquery.Client, events: str) -> None:
    job_id = "fails" + events.split(".")[1]
    job = client.query(f"INSERT INTO `{events}` SELECT 1, ERROR('no') FROM `{events}`", job_id=job_id, job_retry=None)
    with pytest.raises(api.GoogleAPICallError):
        job.result(retry=None)
    assert client.get_job(job_id).error_result
    with pytest.raises(api.Conflict):
        client.query("SELECT 1", job_id=job_id, job_retry=None)
    assert rows(client, events) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("statement", ["INSERT INTO `{t}` VALUES (9, 'z')", "SELECT 1", "DROP TABLE `{t}`"])
def test_a_job_error_is_what_becomes_of_a_query(
    client: bigquery.Client, warehouse: Warehouse, events: str, statement: str
) -> None:
    fault = {"path": JOBS, "fault": "job_error", "reason": "backendError", "message": "It broke."}
    warehouse.local.set_faults([fault])
    job = client.query(statement.format(t=events), job_retry=None)
    found = client.get_job(job.job_id)
    assert found.error_result == {"reason": "backendError", "message": "It broke."}
    assert warehouse.local.faults()[0]["fired"] == 1
    assert rows(client, events) == [(1, "x"), (2, "y")]


def test_a_job_error_on_the_post_of_an_upload_is_what_becomes_of_its_job(
    client: bigquery.Client, warehouse: Warehouse, events: str
) -> None:
    fault = {"path": "/upload/", "method": "POST", "fault": "job_error", "reason": "rateLimitExceeded"}
    warehouse.local.set_faults([fault])
    job = load_lines(client, events, {"a": 5})
    assert job.error_result is not None
    assert job.error_result["reason"] == "rateLimitExceeded"
    assert load_lines(client, events, {"a": 5}).output_rows == 1
    assert len(rows(client, events)) == 3


def test_a_request_id_makes_one_query(warehouse: Warehouse, client: bigquery.Client, events: str) -> None:
    session = warehouse.session()
    body = {"query": f"INSERT INTO `{events}` VALUES (3, 'z')", "requestId": events, "useLegacySql": False}
    answers = [session.post(f"{warehouse.address}/queries", json=body).json() for _ in range(3)]
    assert answers[0]["numDmlAffectedRows"] == "1"
    assert answers[0] == answers[1] == answers[2]
    assert len(rows(client, events)) == 3
    other = session.post(f"{warehouse.address}/queries", json={**body, "requestId": "other"}).json()
    assert other["jobReference"] != answers[0]["jobReference"]


@pytest.mark.usefixtures("events")
def test_jobs_query_gives_rows_pages_and_errors(warehouse: Warehouse) -> None:
    session = warehouse.session()
    dataset = {"projectId": "tidemill-local", "datasetId": warehouse.dataset}
    body: dict[str, Any] = {"query": "SELECT a FROM events ORDER BY a", "defaultDataset": dataset, "maxResults": 1}
    first = session.post(f"{warehouse.address}/queries", json=body).json()
    assert (first["kind"], first["totalRows"]) == ("bigquery#queryResponse", "2")
    assert [row["f"][0]["v"] for row in first["rows"]] == ["1"]
    reference = first["jobReference"]
    assert reference["location"] == "EU"
    asked = {"pageToken": first["pageToken"], "location": "EU"}
    rest = session.get(f"{warehouse.address}/queries/{reference['jobId']}", params=asked).json()
    assert [row["f"][0]["v"] for row in rest["rows"]] == ["2"]
    wrong = session.post(f"{warehouse.address}/queries", json={"query": "SELECT nothing FROM (SELECT 1 AS a)"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_jobs_are_listed_by_state_and_shown_with_nulls(client: bigquery.Client, events: str) -> None:
    labelled = bigquery.QueryJobConfig(labels={"tidemill_run": "7"})
    good = client.query(f"SELECT a FROM `{events}`", job_config=labelled)
    good.result()
    bad = load_lines(client, events, {"c": 1})
    assert {job.job_id for job in client.list_jobs(state_filter="done", max_results=5)} >= {good.job_id, bad.job_id}
    assert list(client.list_jobs(state_filter="running")) == []
    pages = client.list_jobs(page_size=1, max_results=3)
    assert len({job.job_id for job in pages}) == 3
    sql = (
        "SELECT job_id, labels, error_result.reason AS reason, error_result IS NULL AS good, statement_type, "
        "destination_table.table_id AS into_table, destination_table IS NULL AS nowhere "
        "FROM `region-eu`.INFORMATION_SCHEMA.JOBS"
    )
    found = {row["job_id"]: row for row in client.query_and_wait(sql)}
    select, load = found[good.job_id], found[bad.job_id]
    assert select["labels"] == [{"key": "tidemill_run", "value": "7"}]
    assert (select["reason"], select["good"], select["statement_type"]) == (None, True, "SELECT")
    assert (select["into_table"], select["nowhere"]) == (None, True)
    assert (load["labels"], load["reason"], load["good"], load["statement_type"]) == ([], "invalid", False, None)
    assert (load["into_table"], load["nowhere"]) == ("events", False)


def test_a_query_into_a_destination_table_is_refused_rather_than_forgotten(
    client: bigquery.Client, warehouse: Warehouse, events: str
) -> None:
    config = bigquery.QueryJobConfig(destination=warehouse.name("made"))
    with pytest.raises(api.MethodNotImplemented, match="CREATE TABLE"):
        client.query(f"SELECT * FROM `{events}`", job_config=config, retry=None, job_retry=None)


def test_a_broken_gzip_is_the_jobs_error_and_its_id_is_known(client: bigquery.Client, events: str) -> None:
    job_id = "gzip" + events.split(".")[1]
    options = {"source_format": "NEWLINE_DELIMITED_JSON", "job_id": job_id}
    job = load_bytes(client, events, b"\x1f\x8b\x08\x00 this is none", **options)
    assert job.error_result is not None
    assert job.error_result["reason"] == "invalid"
    with pytest.raises(api.Conflict):
        load_bytes(client, events, b"{}", **options)


def test_a_refused_job_leaves_its_id_free(client: bigquery.Client, warehouse: Warehouse, events: str) -> None:
    job_id = "refused" + events.split(".")[1]
    limited = warehouse.client("no-writes", deny=["bigquery.tables.updateData"])
    try:
        with pytest.raises(api.Forbidden):
            load_lines(limited, events, {"a": 1}, job_id=job_id)
        with pytest.raises(api.Forbidden):
            limited.query(f"DELETE FROM `{events}` WHERE TRUE", job_id=job_id, job_retry=None)
    finally:
        limited.close()
    with pytest.raises(api.NotFound):
        client.get_job(job_id)
    assert load_lines(client, events, {"a": 3}, job_id=job_id).output_rows == 1


def test_a_query_that_is_nested_too_deep_is_refused(client: bigquery.Client) -> None:
    with pytest.raises(api.BadRequest, match="too deep"):
        client.query_and_wait("SELECT " + "(" * 5000 + "1" + ")" * 5000)


def test_the_result_of_a_query_is_a_table_whose_rows_can_be_counted(client: bigquery.Client) -> None:
    job = client.query("SELECT n FROM UNNEST([1, 2, 3]) AS n")
    job.result()
    assert client.get_table(job.destination).num_rows == 3
