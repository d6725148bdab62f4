"""Load jobs: a file lands once, whatever goes wrong around it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.fake_bigquery import DATASET, PROJECT, Clock, FakeBigQuery, Fault, google_error
from tests.load_jobs import LOAD, PIECES, ROWS

from tidemill.bigquery import jobs, upload
from tidemill.bigquery.client import Client
from tidemill.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    NotFoundError,
    RetryableError,
    UnavailableError,
)
from tidemill.models.events import EVENTS

FAILED = {"reason": "backendError", "message": "Error encountered during execution. Retrying may solve the problem."}


def test_a_file_is_loaded_and_the_answer_says_what_landed(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    sent: list[int] = []
    loaded = client.load(path, LOAD, sent=sent.append)
    assert (loaded.job_id, loaded.rows, loaded.bytes) == ("run_1", 2, path.stat().st_size)
    assert loaded.ended
    assert sent == [path.stat().st_size]
    assert bigquery.rows["events"] == ROWS
    configuration = bigquery.jobs["run_1"]["configuration"]
    assert configuration["labels"] == {"tidemill_run": "1"}
    assert configuration["load"]["writeDisposition"] == "WRITE_APPEND"
    assert configuration["load"]["createDisposition"] == "CREATE_NEVER"
    assert len(configuration["load"]["schema"]["fields"]) == len(EVENTS.columns)
    assert bigquery.jobs["run_1"]["jobReference"] == {"projectId": PROJECT, "jobId": "run_1", "location": "EU"}


def test_parquet_lists_are_plain_repeated_columns(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    client.load(path, dataclasses.replace(LOAD, format="PARQUET"))
    assert bigquery.jobs["run_1"]["configuration"]["load"]["parquetOptions"] == {"enableListInference": True}


def test_a_second_load_of_the_same_id_finds_the_first(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    first = client.load(path, LOAD)
    again = client.load(path, LOAD)
    assert (again.job_id, again.rows) == (first.job_id, first.rows)
    assert bigquery.rows["events"] == ROWS
    assert len(bigquery.seen("POST", "^/upload/")) == 1


def test_a_large_file_goes_in_pieces(client: Client, bigquery: FakeBigQuery, large: Path) -> None:
    sent: list[int] = []
    client.load(large, LOAD, sent=sent.append)
    assert sent == [upload.PIECE, 2 * upload.PIECE, large.stat().st_size]
    assert bigquery.jobs["run_1"]["fake"]["content"] == large.read_bytes()


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("status", [None, 500, 502, 503, 429])
@pytest.mark.parametrize("path_of", ["^/upload/bigquery/v2/projects/[^/]+/jobs.uploadType=resumable$", PIECES])
def test_a_lost_answer_loads_nothing_twice(
    client: Client, bigquery: FakeBigQuery, path: Path, path_of: str, status: int | None, done: bool
) -> None:
    method = "PUT" if path_of == PIECES else "POST"
    bigquery.faults = [Fault(method, path_of, status, "<html>a proxy", done=done, times=2)]
    assert client.load(path, LOAD).rows == 2
    assert bigquery.rows["events"] == ROWS
    assert list(bigquery.jobs) == ["run_1"]


@pytest.mark.parametrize("done", [True, False])
def test_an_upload_goes_on_where_it_was_cut(client: Client, bigquery: FakeBigQuery, large: Path, done: bool) -> None:
    pieces = 0

    def cut_the_second(method: str, where: str) -> None:
        nonlocal pieces
        pieces += method == "PUT" and PIECES in where
        if pieces == 2 and not bigquery.faults:
            bigquery.faults = [Fault("PUT", PIECES, None, done=done)]

    bigquery.on_request = cut_the_second
    client.load(large, LOAD)
    assert bigquery.jobs["run_1"]["fake"]["content"] == large.read_bytes()
    assert len(bigquery.sessions) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_whose_session_is_gone_starts_anew(
    client: Client, bigquery: FakeBigQuery, large: Path, status: int
) -> None:
    bigquery.faults = [Fault("PUT", PIECES, 503), Fault("PUT", PIECES, status)]
    client.load(large, LOAD)
    assert len(bigquery.sessions) == 2
    assert list(bigquery.jobs) == ["run_1"]
    assert bigquery.jobs["run_1"]["fake"]["content"] == large.read_bytes()


def test_an_upload_that_never_gets_through_ends_at_the_deadline(
    client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock
) -> None:
    bigquery.faults = [Fault("PUT", PIECES, 503, times=10_000)]
    with pytest.raises(UnavailableError):
        client.load(path, LOAD)
    assert clock.now <= 2 * 600
    assert not bigquery.jobs


def test_a_job_that_appears_late_is_waited_for(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    bigquery.hidden_polls = 5
    assert client.load(path, LOAD).rows == 2
    assert bigquery.rows["events"] == ROWS


def test_the_end_of_a_job_is_waited_for(client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock) -> None:
    bigquery.polls_until_done = 30
    assert client.load(path, LOAD).rows == 2
    assert 20 < clock.now < 60  # waits grow to two seconds


@pytest.mark.parametrize("reason", ["backendError", "jobBackendError", "jobInternalError", "jobRateLimitExceeded"])
def test_a_failed_job_is_followed_by_one_of_the_next_id(
    client: Client, bigquery: FakeBigQuery, path: Path, reason: str
) -> None:
    bigquery.results = [{"reason": reason, "message": "try again"}] * 2
    assert client.load(path, LOAD).job_id == "run_1_t2"
    assert list(bigquery.jobs) == ["run_1", "run_1_t1", "run_1_t2"]
    assert bigquery.rows["events"] == ROWS


def test_a_process_that_starts_again_walks_the_same_ids(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    bigquery.results = [FAILED]
    client.load(path, LOAD)
    assert client.load(path, LOAD).job_id == "run_1_t1"
    assert list(bigquery.jobs) == ["run_1", "run_1_t1"]
    assert bigquery.rows["events"] == ROWS


def test_two_processes_at_once_load_it_once(bigquery: FakeBigQuery, path: Path, client: Client) -> None:
    bigquery.results = [FAILED]
    bigquery.polls_until_done = 3
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.load(path, LOAD), range(8)))
    assert {loaded.job_id for loaded in found} == {"run_1_t1"}
    assert bigquery.rows["events"] == ROWS


def test_a_job_that_keeps_failing_is_given_up_and_can_be_gone_on_with_later(
    client: Client, bigquery: FakeBigQuery, path: Path
) -> None:
    bigquery.results = [FAILED] * (jobs.MAX_TRIES + 5)
    client.policy = dataclasses.replace(client.policy, deadline=1e9)
    with pytest.raises(UnavailableError) as caught:
        client.load(path, LOAD)
    assert caught.value.code == "job_keeps_failing"
    assert len(bigquery.jobs) == jobs.MAX_TRIES
    assert client.load(path, LOAD).rows == 2
    assert bigquery.rows["events"] == ROWS


def test_the_time_that_a_job_takes_is_not_taken_from_its_retries(
    client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock
) -> None:
    bigquery.results = [FAILED]
    bigquery.polls_until_done = 400
    assert client.load(path, LOAD).job_id == "run_1_t1"
    assert clock.now > 600


def test_a_file_that_bigquery_cannot_read_is_not_tried_again(
    client: Client, bigquery: FakeBigQuery, path: Path
) -> None:
    bigquery.results = [{"reason": "invalid", "message": "Error while reading data"}]
    with pytest.raises(ConfigError, match="Error while reading data"):
        client.load(path, LOAD)
    assert len(bigquery.jobs) == 1
    assert client.load(path, LOAD).job_id == "run_1_t1"  # what was wrong is mended: a failed id cannot be used again


def test_a_daily_quota_is_not_waited_for(client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock) -> None:
    message = "Quota exceeded: Your table exceeded quota for imports or query appends per table."
    bigquery.results = [{"reason": "quotaExceeded", "message": message}]
    with pytest.raises(RetryableError) as caught:
        client.load(path, LOAD)
    assert caught.value.code == "quota_exceeded"
    assert clock.now < 5
    assert not bigquery.rows["events"]


def test_a_missing_permission_on_jobs_is_named(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    bigquery.denied = {"bigquery.jobs.create"}
    with pytest.raises(AccessError) as caught:
        client.load(path, LOAD)
    assert "bigquery.jobs.create" in caught.value.message
    assert "streaming export" in caught.value.message


def test_a_table_that_is_gone_is_named(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    message = f"Not found: Table {PROJECT}:{DATASET}.events"
    bigquery.faults = [Fault("PUT", PIECES, 404, google_error(404, "notFound", message))]
    with pytest.raises(NotFoundError) as caught:
        client.load(path, LOAD)
    assert caught.value.code == "table_not_found"


HERE = {"projectId": PROJECT, "datasetId": DATASET, "tableId": "events"}


@pytest.mark.parametrize(
    "configuration",
    [
        {"load": {"destinationTable": {**HERE, "tableId": "other"}}, "labels": LOAD.labels},
        {"load": {"destinationTable": {**HERE, "projectId": "other-project"}}, "labels": LOAD.labels},
        {"load": {"destinationTable": HERE}, "labels": {"tidemill_run": "2"}},
        {"load": {"destinationTable": HERE}, "labels": {"tidemill_export": "e"}},
        {"load": {"destinationTable": HERE}},
        {"query": {"query": "SELECT 1"}, "labels": LOAD.labels},
    ],
)
def test_a_job_of_somebody_else_under_our_id_is_not_taken_for_ours(
    client: Client, bigquery: FakeBigQuery, path: Path, configuration: dict[str, Any]
) -> None:
    kind = next(iter(configuration)).upper()
    reference = {"projectId": PROJECT, "jobId": "run_1", "location": "EU"}
    bigquery.tables["other"], bigquery.rows["other"] = {}, []
    bigquery.jobs["run_1"] = {
        "jobReference": reference,
        "configuration": {**configuration, "jobType": kind},
        "fake": {"polls": 0, "error": None, "content": b"", "hidden": 0},
    }
    with pytest.raises(ConflictError):
        client.load(path, LOAD)
    assert not bigquery.rows["events"]


def test_a_job_with_our_labels_and_more_is_ours(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    client.load(path, LOAD)
    bigquery.jobs["run_1"]["configuration"]["labels"]["team"] = "somebody adds labels to every job"
    assert client.load(path, LOAD).rows == 2
    assert list(bigquery.jobs) == ["run_1"]


def test_without_a_location_no_job_is_looked_for_or_started(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    client.location = None
    for start in (lambda: client.load(path, LOAD), lambda: client.query("SELECT 1", job_id="run_1_merge")):
        with pytest.raises(ConfigError) as caught:
            start()
        assert caught.value.code == "location_unknown"
    assert not bigquery.requests
    client.locate(DATASET)
    assert client.load(path, LOAD).rows == 2


def test_an_expired_token_is_renewed_in_the_middle_of_an_upload(
    client: Client, bigquery: FakeBigQuery, large: Path
) -> None:
    bigquery.faults = [Fault("PUT", PIECES, 401, google_error(401, "authError", "Invalid Credentials"))]
    client.load(large, LOAD)
    assert len(bigquery.seen("POST", "^/token")) == 2
    assert bigquery.jobs["run_1"]["fake"]["content"] == large.read_bytes()


def test_a_statement_with_an_id_runs_once(client: Client, bigquery: FakeBigQuery) -> None:
    bigquery.results = [FAILED]
    bigquery.faults = [Fault("POST", "/jobs[?]", 503, done=True)]
    answer = client.query("SELECT 1", job_id="run_1_merge", labels={"tidemill_run": "1"})
    assert answer.job_id == "run_1_merge_t1"
    assert client.query("SELECT 1", job_id="run_1_merge").job_id == "run_1_merge_t1"
    assert list(bigquery.jobs) == ["run_1_merge", "run_1_merge_t1"]


def test_a_statement_may_not_cost_more_than_its_limit(client: Client, bigquery: FakeBigQuery) -> None:
    message = "Query exceeded limit for bytes billed: 20000000. 41943040 or higher required."
    bigquery.results = [{"reason": "bytesBilledLimitExceeded", "message": message}]
    with pytest.raises(ConfigError) as caught:
        client.query("SELECT 1", job_id="run_1_merge", max_bytes_billed=20_000_000)
    assert bigquery.jobs["run_1_merge"]["configuration"]["query"]["maximumBytesBilled"] == "20000000"
    assert caught.value.code == "bytes_billed_limit"
    assert "--max-bytes-billed" in caught.value.hint
    client.query("SELECT 1", job_id="other")
    assert "maximumBytesBilled" not in bigquery.jobs["other"]["configuration"]["query"]


def test_a_statement_on_rows_that_were_just_streamed_is_tried_again_slowly(
    client: Client, bigquery: FakeBigQuery, clock: Clock
) -> None:
    message = "UPDATE or DELETE statement over table p.d.t would affect rows in the streaming buffer"
    bigquery.results = [{"reason": "invalidQuery", "message": message}] * 3
    assert client.query("MERGE", job_id="run_1_merge").job_id == "run_1_merge_t3"
    assert clock.now >= 180
    bigquery.results = [{"reason": "invalidQuery", "message": message}] * jobs.MAX_TRIES
    with pytest.raises(UnavailableError) as late:
        client.query("MERGE", job_id="run_2_merge")
    assert late.value.code == "streaming_buffer"


def test_every_request_says_who_asks(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    client.load(path, LOAD)
    asked = [headers for _, where, headers in bigquery.requests if "/bigquery/v2" in where]
    assert len(asked) >= 4
    assert all(headers["user-agent"].startswith("tidemill/") for headers in asked)
