"""Whatever happens to a stream on its way, each event is in the table once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import Installation, write_events
from tests.streams import NAME, caught_up, eventually, make_stream, send_all, streaming

from tidemill.app import App
from tidemill.bigquery import grants
from tidemill.bigquery.local import faults
from tidemill.bigquery.write_connection import Connection
from tidemill.errors import AccessError, Cancelled, ConflictError, TidemillError
from tidemill.exports.stream import sender
from tidemill.exports.stream.journal import Journal
from tidemill.exports.stream.lag import Progress
from tidemill.exports.stream.orders import Orders, StreamProgress
from tidemill.exports.stream.streamer import Streamer
from tidemill.store.streams import Streams

SMALL: dict[str, Any] = {"commit_rows": 100, "stream_window_bytes": 1000}
SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
APPEND, CREATE, FINALIZE = f"{SERVICE}AppendRows", f"{SERVICE}CreateWriteStream", f"{SERVICE}FinalizeWriteStream"


def fault(path: str, kind: str = "status", **more: Any) -> dict[str, Any]:
    """A fault of a call by gRPC."""
    return {"path": path, "method": "GRPC", "fault": kind, **more}


LOST: dict[str, Any] = {"grpc_code": "UNAVAILABLE", "after_commit": True}
PLANS: dict[str, list[dict[str, Any]]] = {
    "the connection breaks after rows were taken": [fault(APPEND, nth=3, **LOST)],
    "the connection breaks before": [fault(APPEND, nth=3, grpc_code="UNAVAILABLE", times=2)],
    "it breaks again and again": [fault(APPEND, nth=n, **LOST) for n in (1, 2, 4, 5, 9)],
    "an answer says that it may be tried again": [fault(APPEND, nth=2, times=3, grpc_code="ABORTED", in_response=True)],
    "an internal error": [fault(APPEND, nth=2, grpc_code="INTERNAL", in_response=True)],
    "a quota": [fault(APPEND, nth=2, grpc_code="RESOURCE_EXHAUSTED", times=2)],
    "tokens that expire": [fault(APPEND, "expire_tokens", nth=3)],
    "the stream is forgotten": [fault(APPEND, "expire_stream", nth=4)],
    "the stream is forgotten at once": [fault(APPEND, "expire_stream", nth=1)],
    "it breaks, and the stream is forgotten": [fault(APPEND, nth=3, **LOST), fault(APPEND, "expire_stream", nth=4)],
    "it breaks, and every call fails for a while": [fault(SERVICE, nth=4, grpc_code="UNAVAILABLE", times=4)],
    "an answer is lost, that of the end as well": [
        fault(APPEND, nth=2, times=1, grpc_code="OUT_OF_RANGE", in_response=True, after_commit=True),
        fault(FINALIZE, nth=1, times=2, **LOST),
    ],
    "rows that were not sent are said to be there": [
        fault(APPEND, nth=2, grpc_code="ALREADY_EXISTS", in_response=True)
    ],
    "the call ends with that, after one that broke": [
        fault(APPEND, nth=2, grpc_code="UNAVAILABLE"),
        fault(APPEND, nth=5, grpc_code="ALREADY_EXISTS"),
    ],
    "rows that were taken are said to be too early": [
        fault(APPEND, nth=3, grpc_code="OUT_OF_RANGE", in_response=True, after_commit=True)
    ],
    "rows that were taken are said to be too early, and the stream is forgotten": [
        fault(APPEND, nth=3, grpc_code="OUT_OF_RANGE", in_response=True, after_commit=True),
        fault(FINALIZE, "expire_stream"),
    ],
    "the same, while others are on their way": [
        fault(APPEND, "delay_response", seconds=1.0),
        fault(APPEND, nth=2, grpc_code="OUT_OF_RANGE", in_response=True, after_commit=True),
        fault(FINALIZE, "expire_stream"),
    ],
    "rows that were taken are said to be there, while others are on their way, and the stream is forgotten": [
        fault(APPEND, "delay_response", seconds=1.0),
        fault(APPEND, nth=2, grpc_code="ALREADY_EXISTS", in_response=True, after_commit=True),
        fault(FINALIZE, "expire_stream"),
    ],
    **{
        f"the same, behind others that were taken, {nth} requests in all": [
            fault(APPEND, nth=2, grpc_code="INTERNAL", in_response=True, after_commit=True),
            fault(APPEND, nth=3, grpc_code="OUT_OF_RANGE", in_response=True, after_commit=True),
            fault(APPEND, "expire_stream", nth=nth),
        ]
        for nth in (5, 7, 9)
    },
    "rows that were not sent are said to be there, and the stream is forgotten": [
        fault(APPEND, nth=2, grpc_code="ALREADY_EXISTS", in_response=True),
        fault(FINALIZE, "expire_stream"),
    ],
    "the table is not known yet": [fault(CREATE, grpc_code="NOT_FOUND", times=2)],
    "the answer to a new stream is lost": [fault(CREATE, times=2, **LOST)],
    "a new stream is not known yet": [fault(APPEND, grpc_code="NOT_FOUND", times=2)],
    "the call ends for no reason": [fault(APPEND, nth=2, grpc_code="CANCELLED", after_commit=True)],
    "nobody knows what happened": [fault(APPEND, nth=2, grpc_code="UNKNOWN", after_commit=True)],
}


def start(installation: Installation, app: App, tmp_path: Path, **permissions: Any) -> list[str]:
    """A thousand events in ten commits, and a stream that has not begun."""
    uuids = write_events(tmp_path / "events.jsonl", 1000)
    app.events.load(str(tmp_path / "events.jsonl"))
    installation.connect(app, **permissions)
    make_stream(app)
    return uuids


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_each_event_is_there_once(installation: Installation, tmp_path: Path, plan: list[dict[str, Any]]) -> None:
    """Without a second start."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults(plan)
        send_all(app)
        assert all(one["fired"] for one in installation.local.faults())
        installation.local.set_faults([])
        assert installation.uuids() == wanted
        assert app.exports.runs.find(NAME, limit=1)[0].rows_done == len(wanted)
        assert app.exports.get(NAME).waiting_rows == 0


@pytest.mark.parametrize("seed", range(3))
def test_seeded_faults_change_nothing(installation: Installation, tmp_path: Path, seed: int) -> None:
    """Several at once, in any order."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults(faults.seeded_stream(seed, 6))
        send_all(app)
        installation.local.set_faults([])
        assert installation.uuids() == wanted
        assert app.exports.runs.find(NAME, limit=1)[0].rows_done == len(wanted)


def test_what_cannot_be_mended_stops_the_stream_which_goes_on_later(installation: Installation, tmp_path: Path) -> None:
    """An error of which BigQuery says that it stays."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults([fault(APPEND, nth=4, grpc_code="INVALID_ARGUMENT")])
        with pytest.raises(TidemillError):
            send_all(app)
        assert app.exports.get(NAME).last_status == "in trouble"
        installation.local.set_faults([])
        send_all(app)
        assert installation.uuids() == wanted
        assert app.exports.get(NAME).last_status == "not streamed"
        assert sum(run.rows_done for run in app.exports.runs.find(NAME, limit=9)) == len(wanted)


def test_a_permission_that_is_taken_away_in_the_middle_is_named(installation: Installation, tmp_path: Path) -> None:
    """And nothing is lost."""
    allowed = list(grants.STREAMING_EXPORT)
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, account="streamer", allow=allowed)
        installation.local.set_faults([fault(APPEND, nth=4, grpc_code="PERMISSION_DENIED")])
        with pytest.raises(AccessError):
            send_all(app)
        installation.local.set_faults([])
        send_all(app)
        assert installation.uuids() == wanted


def test_without_the_right_to_look_a_doubt_stops_the_stream(installation: Installation, tmp_path: Path) -> None:
    """What is in the table is not guessed; with the right to look, it goes on."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, account="streamer", allow=list(grants.STREAMING_EXPORT))
        installation.local.set_faults([fault(APPEND, nth=3, **LOST), fault(APPEND, "expire_stream", nth=4)])
        for _ in range(2):
            with pytest.raises(ConflictError) as doubt:
                send_all(app)
            assert doubt.value.code == "stream_in_doubt"
            assert "bigquery.jobs.create" in doubt.value.message
        installation.local.set_faults([])
        more = ["bigquery.jobs.create", "bigquery.tables.getData"]
        installation.local.key("streamer", allow=[*grants.STREAMING_EXPORT, *more])
        send_all(app)
        assert installation.uuids() == wanted


class Cut(BaseException):
    """The process ends here: nothing catches it."""


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("forgotten", [False, True])
def test_whoever_goes_on_knows_what_is_there(
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    forgotten: bool,
) -> None:
    """A process that ends with requests in flight, whose write stream may be forgotten before another one goes on."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        sent = 0
        original = Connection.send

        def send(self: Connection, *arguments: Any) -> Any:
            nonlocal sent
            sent += 1
            answer = original(self, *arguments)
            if sent > after:
                answer.result(60)  # it is in, and nobody will know
                raise Cut
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Connection, "send", send)
            with pytest.raises(Cut):
                send_all(app)
        if forgotten:
            installation.local.set_faults([fault(FINALIZE, "expire_stream")])
        send_all(app)
        assert installation.uuids() == wanted
        assert sum(run.rows_done for run in app.exports.runs.find(NAME, limit=9)) == len(wanted)


def test_one_that_was_asleep_does_no_harm(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up when another one has gone on: what it sends is refused, and it may record nothing."""
    with installation.app(**SMALL) as app, installation.app(**SMALL) as other:
        wanted = start(installation, app, tmp_path)
        asleep, awake = threading.Event(), threading.Event()
        sleeper: list[int] = []
        original = Connection.send

        def send(self: Connection, *arguments: Any) -> Any:
            if threading.get_ident() in sleeper:
                asleep.set()
                awake.wait()
            return original(self, *arguments)

        monkeypatch.setattr(Connection, "send", send)
        ended: list[BaseException] = []

        def sleeping() -> None:
            sleeper.append(threading.get_ident())
            try:
                _move(app)
            except TidemillError as error:
                ended.append(error)

        thread = threading.Thread(target=sleeping)
        thread.start()
        asleep.wait()
        _move(other)
        assert installation.uuids() == wanted
        awake.set()
        thread.join()
        assert isinstance(ended[0], ConflictError)
        assert installation.uuids() == wanted
        wanted += write_events(tmp_path / "b.jsonl", 200, first=1000)
        other.events.load(str(tmp_path / "b.jsonl"))
        send_all(other)
        assert installation.uuids() == sorted(wanted)


def test_one_that_was_asleep_does_not_disturb_who_needs_quiet(installation: Installation, tmp_path: Path) -> None:
    """It has lost its lock to them, and nobody else streams: it can begin nothing when it wakes."""
    with installation.app(**SMALL) as app:
        start(installation, app, tmp_path)
        send_all(app)
        exports: Any = app.exports
        export = exports._exports.get(NAME)
        asleep = Journal(Streams(app.database), export)
        with app.exports.streaming.quiet(export), pytest.raises(ConflictError):
            asleep.begin_run(spec=export.spec, created_by="tester", attempt=1)


class _Lost:
    """A lock of which nobody says that it is lost."""

    def check(self) -> None:
        """Say nothing."""


def _move(app: App) -> None:
    """Move the stream without its lock, as one does that has lost it."""
    exports: Any = app.exports
    export = exports._exports.get(NAME)
    client = exports._made.client(export)
    client.locate(export.dataset)
    orders = Orders("tester", patient=False, stopping=lambda: False, report=lambda _: None)
    try:
        progress = Progress(exports._made.parts, export)
        Streamer(exports._made.parts, Streams(app.database), export, client, orders, _Lost(), progress).run()
    finally:
        client.close()


def test_two_at_once_are_one_too_many(installation: Installation, tmp_path: Path) -> None:
    """The second is told; it may be asked to wait until the first is gone."""
    with installation.app(**SMALL) as app, installation.app(**SMALL) as other:
        wanted = start(installation, app, tmp_path)
        begun = threading.Event()
        with streaming(app, lambda _: begun.set()) as ended:
            eventually(begun.is_set, "the stream has begun", ended)
            with pytest.raises(ConflictError) as taken:
                send_all(other)
            assert taken.value.code == "stream_running"
            caught_up(other, ended)
        assert not ended
        send_all(other)
        assert installation.uuids() == wanted


def test_a_bigquery_that_is_down_is_waited_for(installation: Installation, tmp_path: Path) -> None:
    """With the reason, until it is back; and who asks to stop need not wait."""
    with installation.app(retry_deadline_seconds=0.2, **SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults([fault(SERVICE, nth=3, grpc_code="UNAVAILABLE", times=100_000)])
        told: list[StreamProgress] = []
        with streaming(app, told.append) as ended:
            eventually(lambda: [state for state in told if state.trouble], "the trouble is told", ended)
            eventually(lambda: app.exports.get(NAME).trouble, "the trouble is written down", ended)
            view, first = app.exports.get(NAME), len(told)
            assert view.waiting_rows > 0
            assert view.lag_seconds > 0
            wanted += write_events(tmp_path / "b.jsonl", 100, first=1000)
            app.events.load(str(tmp_path / "b.jsonl"))
            # What is in the table by now comes to no more than a thousand; the faults begin with the third call.
            eventually(
                lambda: told[-1].trouble and told[-1].waiting == 1100 - told[-1].rows, "what came is told", ended
            )
            assert all(state.waiting > 0 and state.lag_seconds > 0 for state in told[first:])
            before = told[-1]
            eventually(lambda: told[-1].lag_seconds > before.lag_seconds + 1, "the lag grows while it stands", ended)
            installation.local.set_faults([])
            caught_up(app, ended)
        assert not ended
        assert (told[-1].rows, told[-1].waiting, told[-1].lag_seconds, told[-1].trouble) == (1100, 0, 0.0, "")
        assert installation.uuids() == wanted
        assert app.exports.get(NAME).trouble is None


def test_a_long_gap_of_snapshots_without_events_hides_nothing(installation: Installation, tmp_path: Path) -> None:
    """Files are joined, people are deleted: that makes snapshots, too."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        send_all(app)
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            session.execute(
                "INSERT INTO tidemill_events.ducklake_snapshot SELECT snapshot_id + 50000, snapshot_time, "
                "schema_version, next_catalog_id, next_file_id FROM tidemill_events.ducklake_snapshot "
                "ORDER BY snapshot_id DESC LIMIT 1"
            )
        wanted += write_events(tmp_path / "b.jsonl", 50, first=1000)
        app.events.load(str(tmp_path / "b.jsonl"))
        view = app.exports.get(NAME)
        assert view.waiting_rows == 50
        eventually(lambda: app.exports.get(NAME).lag_seconds > view.lag_seconds, "it is told for how long they wait")
        (standing,) = app.exports.streaming.standings()
        assert (standing.name, standing.waiting) == (NAME, 50)
        assert standing.since is not None
        told = send_all(app)
        assert told[0].waiting == 50
        assert installation.uuids() == wanted
        assert app.exports.get(NAME).lag_seconds == 0


def test_what_has_no_answer_is_sent_again(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another connection; it may have been taken, and is not there twice."""
    monkeypatch.setattr(sender, "ANSWERED_WITHIN_SECONDS", 0.5)
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults([fault(APPEND, "delay_response", nth=3, seconds=3600)])
        send_all(app)
        installation.local.set_faults([])
        assert installation.uuids() == wanted


def test_who_leaves_at_once_loses_nothing(installation: Installation, tmp_path: Path) -> None:
    """What is in flight is settled by who goes on."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        installation.local.set_faults([fault(APPEND, nth=3, grpc_code="UNAVAILABLE", times=100_000)])
        streaming = app.exports.streaming
        orders = Orders(
            "tester", patient=True, stopping=lambda: False, report=lambda s: streaming.stop_now() if s.trouble else None
        )
        with pytest.raises((Cancelled, TidemillError)):
            streaming.run(NAME, orders)
        installation.local.set_faults([])
        send_all(app)
        assert installation.uuids() == wanted
