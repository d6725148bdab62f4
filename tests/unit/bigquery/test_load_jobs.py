"""Load jobs: a file lands once, whatever goes wrong around it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.fake_bigquery import DATASET, PROJECT, Clock, FakeBigQuery, Fault, google_error

from tidemill.bigquery import jobs, upload
from tidemill.bigquery.client import Client
from tidemill.bigquery.jobs import Load
from tidemill.errors import (
    AccessError,
    Cancelled,
    ConfigError,
    ConflictError,
    NotFoundError,
    RetryableError,
    UnavailableError,
)
from tidemill.models.events import EVENTS

ROWS = [b'{"event":"a"}', b'{"event":"b"}']
LOAD = Load(
    "run_1", DATASET, "events", EVENTS.columns_for(json_type=True), "NEWLINE_DELIMITED_JSON", {"tidemill_run": "1"}
)
PIECES = "upload_id="
FAILED = {"reason": "backendError", "message": "Error encountered during execution. Retrying may solve the problem."}


@pytest.fixture
def path(tmp_path: Path, bigquery: FakeBigQuery) -> Path:
    bigquery.add_table("events", ("event", "STRING"))
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(ROWS) + b"\n")
    return file


@pytest.fixture
def large(path: Path) -> Path:
    """A file of three pieces."""
    path.write_bytes(b"x" * (2 * upload.PIECE + 5))
    return path


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


def test_a_cancel_stops_the_job_and_nothing_lands(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    bigquery.polls_until_done = 1000
    with pytest.raises(Cancelled):
        client.load(path, LOAD, cancelled=lambda: "run_1" in bigquery.jobs)
    assert len(bigquery.seen("POST", "/jobs/run_1/cancel")) == 1
    assert not bigquery.rows["events"]
    bigquery.polls_until_done = 0
    assert client.load(path, LOAD).job_id == "run_1_t1"


def test_a_job_that_was_done_before_the_cancel_counts_as_loaded(
    client: Client, bigquery: FakeBigQuery, path: Path
) -> None:
    assert client.load(path, LOAD, cancelled=lambda: "run_1" in bigquery.jobs).rows == 2
    assert bigquery.rows["events"] == ROWS


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


DOWN = {
    "while the job is looked for": ("GET", "/jobs/run_1", 0),
    "while it is waited for": ("GET", "/jobs/run_1", 3),
}


@pytest.mark.parametrize(("method", "where", "after"), DOWN.values(), ids=DOWN.keys())
def test_a_cancel_is_seen_at_once_also_when_bigquery_is_down(
    client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock, method: str, where: str, after: int
) -> None:
    bigquery.polls_until_done = 1000
    asked: list[float] = []

    def go_down(verb: str, asked_for: str) -> None:
        if verb == method and where in asked_for:
            asked.append(clock.now)
            if len(asked) > after:
                bigquery.faults = [Fault(method, where, 503, times=10_000), Fault("POST", "/cancel", 503, times=10_000)]

    bigquery.on_request = go_down
    with pytest.raises(Cancelled) as caught:
        client.load(path, LOAD, cancelled=lambda: bool(bigquery.faults) and clock.now > asked[after] + 1)
    assert clock.now - asked[after] < 2 + jobs.STOPS_WITHIN
    if after:
        assert "run_1" in caught.value.message
        assert len(bigquery.seen("POST", "/jobs/run_1/cancel")) > 1
    bigquery.faults, bigquery.on_request, bigquery.polls_until_done = [], lambda _verb, _where: None, 0
    if after:
        bigquery.jobs["run_1"]["fake"]["polls"] = 0
    assert client.load(path, LOAD).job_id == "run_1"
    assert bigquery.rows["events"] == ROWS


def test_a_cancel_while_the_upload_waits_leaves_no_job_that_runs_on(
    client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock
) -> None:
    bigquery.faults = [Fault("PUT", PIECES, 503, times=10_000)]
    with pytest.raises(Cancelled):
        client.load(path, LOAD, cancelled=lambda: clock.now > 3)
    assert clock.now < 9
    assert not bigquery.jobs


def test_a_cancel_when_it_cannot_be_seen_whether_the_job_began_says_so(
    client: Client, bigquery: FakeBigQuery, path: Path, clock: Clock
) -> None:
    bigquery.polls_until_done = 1000

    def go_down(_verb: str, _where: str) -> None:
        if bigquery.jobs and not bigquery.faults:
            bigquery.faults = [Fault("GET", "/jobs/run_1", 503, times=10_000)]

    bigquery.on_request = go_down
    with pytest.raises(Cancelled, match="run_1 may be done all the same"):
        client.load(path, LOAD, cancelled=lambda: bool(bigquery.faults) and clock.now > 3)
    assert clock.now < 5 + jobs.STOPS_WITHIN
    bigquery.faults, bigquery.on_request, bigquery.polls_until_done = [], lambda _verb, _where: None, 0
    bigquery.jobs["run_1"]["fake"]["polls"] = 0
    assert client.load(path, LOAD).job_id == "run_1"
    assert bigquery.rows["events"] == ROWS


def test_plain_calls_stop_waiting_when_the_client_is_told_to(
    client: Client, bigquery: FakeBigQuery, clock: Clock
) -> None:
    bigquery.faults = [Fault("GET", "/datasets/", 503, times=10_000)]
    client.cancelled = lambda: clock.now > 3
    with pytest.raises(Cancelled):
        client.get_dataset(DATASET)
    assert clock.now < 4
    bigquery.faults = []
    assert client.get_dataset(DATASET).location == "EU"  # a call that does not have to wait is not refused


def test_a_cancel_is_seen_between_two_pieces(client: Client, bigquery: FakeBigQuery, large: Path) -> None:
    sent: list[int] = []
    with pytest.raises(Cancelled):
        client.load(large, LOAD, sent=sent.append, cancelled=lambda: bool(sent))
    assert len(sent) == 1
    assert not bigquery.jobs
    assert not bigquery.seen("GET", "/jobs/run_1")[1:]  # what was sent is not all of it: there is no job to look for


def test_a_cancel_after_a_lost_answer_finds_the_job_and_cancels_it(
    client: Client, bigquery: FakeBigQuery, path: Path
) -> None:
    bigquery.polls_until_done = 1000
    bigquery.hidden_polls = 2
    bigquery.faults = [Fault("PUT", PIECES, 503, done=True), Fault("PUT", PIECES, 503, times=100)]
    with pytest.raises(Cancelled):
        client.load(path, LOAD, cancelled=lambda: "run_1" in bigquery.jobs)
    assert len(bigquery.seen("POST", "/jobs/run_1/cancel")) == 1
    assert bigquery.jobs["run_1"]["fake"]["error"]["reason"] == "stopped"


def test_nothing_is_started_once_it_is_cancelled(client: Client, bigquery: FakeBigQuery, path: Path) -> None:
    with pytest.raises(Cancelled):
        client.load(path, LOAD, cancelled=lambda: True)
    assert not bigquery.jobs
    assert not bigquery.seen("POST", "^/upload/")


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
