"""Who may do what through the gate, and how it says no."""

from __future__ import annotations

import time
import urllib.parse
from pathlib import Path

import psutil
import pytest
import requests
from google.api_core import exceptions as api
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, load_lines, make, rows

from tidemill.errors import ConfigError

NEEDS = {
    "ALTER TABLE {d}.t ADD COLUMN c INT64": "bigquery.tables.update",
    "TRUNCATE TABLE {d}.t": "bigquery.tables.updateData",
    "DELETE FROM {d}.t WHERE TRUE": "bigquery.tables.getData",
    "CREATE VIEW {d}.v AS SELECT 1 AS a": "bigquery.tables.create",
    "DROP VIEW {d}.v": "bigquery.tables.delete",
    "DROP TABLE {d}.t": "bigquery.tables.delete",
    "CREATE TABLE {d}.u AS SELECT 1 AS a": "bigquery.tables.updateData",
    "CREATE SCHEMA {d}_more": "bigquery.datasets.create",
    "DROP SCHEMA {d}": "bigquery.datasets.delete",
    "SELECT table_name FROM {d}.INFORMATION_SCHEMA.TABLES": "bigquery.tables.list",
    "SELECT a FROM {d}.t": "bigquery.tables.getData",
}


@pytest.mark.parametrize("statement", NEEDS)
def test_a_statement_needs_its_permission(client: bigquery.Client, warehouse: Warehouse, statement: str) -> None:
    make(client, warehouse.name("t"), "a INT64")
    load_lines(client, warehouse.name("t"), {"a": 1})
    limited = warehouse.client("limited", deny=[NEEDS[statement]])
    try:
        with pytest.raises(api.Forbidden, match="Access Denied") as caught:
            limited.query(statement.format(d=warehouse.dataset), job_retry=None)
    finally:
        limited.close()
    assert NEEDS[statement] in str(caught.value)
    assert rows(client, warehouse.name("t")) == [(1,)]


OPAQUE = [
    "BEGIN DELETE FROM {d}.t WHERE TRUE; END",
    "EXECUTE IMMEDIATE 'DELETE FROM {d}.t WHERE TRUE'",
    "IF TRUE THEN DELETE FROM {d}.t WHERE TRUE; END IF",
    "CREATE SNAPSHOT TABLE {d}.s CLONE {d}.t",
    "DECLARE x INT64; DELETE FROM {d}.t WHERE TRUE",
]


def test_what_cannot_be_read_is_left_to_who_may_do_everything(client: bigquery.Client, warehouse: Warehouse) -> None:
    make(client, warehouse.name("t"), "a INT64")
    load_lines(client, warehouse.name("t"), {"a": 1})
    limited = warehouse.client("only-jobs", allow=["bigquery.jobs.create"])
    for statement in OPAQUE:
        with pytest.raises(api.Forbidden, match="Access Denied"):
            limited.query(statement.format(d=warehouse.dataset), job_retry=None)
    assert [tuple(row) for row in limited.query_and_wait("SELECT 1")] == [(1,)]
    limited.close()
    assert rows(client, warehouse.name("t")) == [(1,)]
    client.query_and_wait(OPAQUE[0].format(d=warehouse.dataset))
    assert rows(client, warehouse.name("t")) == []


def test_errors_say_their_canonical_status(warehouse: Warehouse) -> None:
    session = warehouse.session()
    asked = {
        "datasets/none": (404, "NOT_FOUND"),
        "datasets": (401, "UNAUTHENTICATED"),
        f"datasets/{warehouse.dataset}/tables": (503, "UNAVAILABLE"),
    }
    warehouse.local.set_faults([{"path": "/tables$", "fault": "status", "status": 503}])
    for path, expected in asked.items():
        get = requests.get if expected[0] == 401 else session.get
        answer = get(f"{warehouse.address}/{path}", timeout=30)
        assert (answer.status_code, answer.json()["error"]["status"]) == expected
        assert answer.json()["error"]["errors"][0]["reason"] in {"notFound", "authError", "backendError"}
    logged = warehouse.local.requests()[-1]
    assert (logged["status"], logged["fault"], logged["method"]) == (503, "status", "GET")


@pytest.mark.parametrize(
    "plan",
    [
        [{"path": "x"}],
        [{"path": "(", "fault": "cut"}],
        [{"path": "x", "fault": "explode"}],
        [{"path": "x", "fault": "cut", "nth": "1"}],
        [{"path": "x", "fault": "status", "grpc_code": "BROKEN"}],
        [{"path": "x", "fault": "cut", "colour": "red"}],
        ["cut"],
    ],
)
def test_a_plan_that_is_none_is_refused_and_the_one_before_stays(warehouse: Warehouse, plan: list[object]) -> None:
    warehouse.local.set_faults([{"path": "nothing", "fault": "cut"}])
    with pytest.raises(ConfigError, match="fault plan"):
        warehouse.local.set_faults(plan)  # type: ignore[arg-type]  # that is the test
    assert [fault["path"] for fault in warehouse.local.faults()] == ["nothing"]


def test_an_answer_may_come_late(warehouse: Warehouse, client: bigquery.Client) -> None:
    warehouse.local.set_faults([{"path": "/datasets/", "fault": "delay_response", "seconds": 0.2}])
    began = time.monotonic()
    assert client.get_dataset(warehouse.dataset).location == "EU"
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("after_bytes", [0, 10, 1_000_000])
def test_a_request_that_is_cut_off_in_its_body_is_not_done(
    warehouse: Warehouse, client: bigquery.Client, after_bytes: int
) -> None:
    fault = {"path": "/tables$", "method": "POST", "fault": "cut", "after_bytes": after_bytes}
    warehouse.local.set_faults([fault])
    body = {"tableReference": {"datasetId": warehouse.dataset, "tableId": "t"}}
    with pytest.raises(requests.RequestException):
        warehouse.session().post(f"{warehouse.address}/datasets/{warehouse.dataset}/tables", json=body)
    assert list(client.list_tables(warehouse.dataset)) == []
    cut = [line for line in warehouse.local.requests() if line["method"] == "POST" and line["path"].endswith("/tables")]
    assert (cut[-1]["status"], cut[-1]["fault"]) == (0, "cut")


def test_another_project_is_known_once_it_is_named(warehouse: Warehouse) -> None:
    session = warehouse.session()
    address = warehouse.address.replace("tidemill-local", "another-project")
    assert session.get(f"{address}/datasets").status_code == 404
    with pytest.raises(ConfigError):
        warehouse.local.project("No Project")
    warehouse.local.project("another-project")
    assert session.get(f"{address}/datasets").status_code == 200
    body = {"datasetReference": {"datasetId": warehouse.dataset}, "location": "US"}
    assert session.post(f"{address}/datasets", json=body).json()["location"] == "US"
    assert session.get(f"{address}/datasets/{warehouse.dataset}").status_code == 200


def test_sign_in_refuses_what_is_no_assertion(warehouse: Warehouse) -> None:
    where = f"{warehouse.local.status().url}/token"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}
    answer = requests.post(where, data=urllib.parse.urlencode(form), timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_only_the_gate_listens(warehouse: Warehouse) -> None:
    """The emulator's own ports would ask nobody for a token."""
    process = psutil.Process(warehouse.local.status().pid)
    own = [each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    listening = {f"{at.ip.removeprefix('::ffff:')}:{at.port}" for at in own}  # gRPC's socket is of IPv6
    status = warehouse.local.status()
    assert listening == {status.url.removeprefix("http://"), status.storage}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT content FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_csv('{file}')",
        "COPY (SELECT 1) TO '{file}'",
        "ATTACH '{file}' AS other",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
    ],
)
def test_sql_reaches_no_files(client: bigquery.Client, tmp_path: Path, statement: str) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("secret\n")
    with pytest.raises(api.GoogleAPICallError) as caught:
        client.query_and_wait(statement.format(file=file)).to_arrow(create_bqstorage_client=False)
    assert "secret\n" not in str(caught.value)
    assert file.read_text() == "secret\n"
