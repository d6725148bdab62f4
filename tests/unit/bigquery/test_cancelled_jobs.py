"""Jobs that are cancelled: at once, for good, and so that a later call knows what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fake_bigquery import DATASET, Clock, FakeBigQuery, Fault
from tests.load_jobs import LOAD, PIECES, ROWS

from tidemill.bigquery import jobs
from tidemill.bigquery.client import Client
from tidemill.errors import Cancelled


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


class DiedError(Exception):
    """Stands for a kill."""


def test_what_a_dead_process_left_at_work_is_stopped_and_waited_for(
    client: Client, bigquery: FakeBigQuery, path: Path
) -> None:
    client.settle("run_1", DATASET, "events")
    bigquery.polls_until_done = 1000

    def die() -> bool:
        if "run_1" in bigquery.jobs:
            raise DiedError
        return False

    with pytest.raises(DiedError):
        client.load(path, LOAD, cancelled=die)
    assert bigquery.jobs["run_1"]["fake"]["polls"] > 0
    client.settle("run_1", DATASET, "events")
    assert len(bigquery.seen("POST", "/jobs/run_1/cancel")) == 1
    assert bigquery.jobs["run_1"]["fake"]["polls"] <= 0
    assert not bigquery.rows["events"]
    client.settle("run_1", DATASET, "events")
    assert len(bigquery.seen("POST", "/jobs/run_1/cancel")) == 1
