"""What would be sent: a dry run, and one record that is sent for a try."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import urllib.parse
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tidemill.destinations import deliver
from tidemill.destinations.port import Mode, Op, Outcome, Record
from tidemill.errors import Cancelled, NotFoundError, TidemillError
from tidemill.outbound import network
from tidemill.outbound.client import Seen
from tidemill.reverse_etl import brake, costs, line
from tidemill.reverse_etl.outward import record_of
from tidemill.reverse_etl.plan.port import Planner, PlanRow
from tidemill.reverse_etl.spec import Extraction
from tidemill.reverse_etl.syncs import SyncService
from tidemill.reverse_etl.views import Estimate, Tried, counted
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job, Parts, since
from tidemill.schedules import telling
from tidemill.store.records_sync import Sync, SyncRun

#: A plan and a state.
_COMMIT_TABLES = 2
_SAMPLES = 5
#: Of a sync whose next run begins anew.
_ALL = {"extraction": Extraction.FULL.value, "cursor": None, "cursor_unit": "none", "cursor_overlap": 0}
#: Characters of a request and an answer that are shown.
_SHOWN = 20_000
#: So many bytes of a body are unpacked: what is secret behind the end is blotted out as a whole.
_UNPACKED = 8 * _SHOWN


class Trials:
    """Of an installation's syncs. Nothing of what they do is remembered."""

    def __init__(self, parts: Parts, syncs: SyncService) -> None:
        self._parts, self._syncs = parts, syncs

    def estimate(self, name: str, watch: Watch) -> Estimate:
        """What a run would do now, with some rows of each operation. It makes the plan, which is billed, and sends
        nothing."""
        with self.planned(name, watch) as (job, planner):
            planned = planner.plan(job.wanted)
            ops = [op for op in Op if planned.pieces and getattr(planned.counts, op.value)]
            rows = [row for op in ops for row in planner.samples(job.wanted, op, _SAMPLES)]
            committed = costs.billed(planner.commit_bytes(job.wanted, planned.pieces), _COMMIT_TABLES)
            billed = planned.bytes_billed + planner.billed()
        stopped = brake.of(job, planned)
        samples = tuple({"key": row.key, "op": row.op.value, **_shown(record_of(job, row))} for row in rows)
        price = self._parts.settings.price_query_tib
        found = dataclasses.asdict(planned)
        why = {name: number for name, number in found["counts"].items() if name.startswith("invalid_")}
        return Estimate(
            counts={**counted(found), **why},
            known=planned.known,
            samples=samples,
            bytes_billed=billed,
            dollars=costs.dollars(billed, price),
            resends=job.sync.pending in {"resend", "forget"},
            stopped=_said(stopped) if stopped else None,
            run_bytes=planned.bytes_billed + committed,
            run_dollars=costs.dollars(planned.bytes_billed + committed, price),
        )

    def send_one(self, name: str, watch: Watch, key: str | None = None) -> Tried:
        """Send one row that a run would send: that with the key, or any. The next run that sends anything sends it
        again, with the same identity; unless it is stopped before it comes to it.

        Raises
        ------
        NotFoundError
            There is no such row.
        """
        with self.planned(name, watch, key) as (job, planner):
            row = self._chosen(job, planner, key)
            made = record_of(job, row)
            if isinstance(made, Outcome):
                return Tried(row.key, {}, (), made.status.value, made.message)
            exchanges: list[Seen] = []
            try:
                outcome, error = self._sent(job, made, watch, exchanges), None
            except Cancelled:
                raise
            except TidemillError as failed:  # what was asked for, and answered, says most of why
                outcome, error = None, _said(failed)
            secrets = self._parts.settings_of(job.account).secrets
        told = tuple(_told(one, secrets) for one in exchanges)
        if outcome is None:
            return Tried(row.key, dict(made.fields), told, "failed", "", error)
        return Tried(row.key, dict(made.fields), told, outcome.status.value, outcome.message)

    def _chosen(self, job: Job, planner: Planner, key: str | None) -> PlanRow:
        planned = planner.plan(job.wanted)
        if key is not None:
            for piece in planned.pieces:  # one, but by a cursor
                rows = planner.rows(job.wanted, piece)
                if key in rows.keys:
                    return rows[rows.keys.index(key)]
        elif planned.pieces:
            for op in Op:
                if found := planner.samples(job.wanted, op, 1):
                    return found[0]
        raise NotFoundError(
            "row_unknown",
            f"No row with the key {key!r} is to be sent: it is delivered as it is, or the model has no such row."
            if key is not None
            else "No row is to be sent: none has changed.",
            hint=f"{telling.of(job.sync, 'preview')} says what is.",
        )

    def _sent(self, job: Job, record: Record, watch: Watch, exchanges: list[Seen]) -> Outcome:
        outcomes: list[tuple[Record, Outcome]] = []
        with line.opened(self._parts, job, watch, exchanges.append) as way:
            deliver.deliver(way, [record], outcomes.extend)
        return outcomes[0][1]

    @contextlib.contextmanager
    def planned(self, name: str, watch: Watch, key: str | None = None) -> Iterator[tuple[Job, Planner]]:
        """A job that is like that of the next run, whose plan is thrown away in the end. `key`: of the only row that it
        is about; by a cursor all are planned that it has not passed, for a run would not send others."""
        job = self.job(self._parts.books.syncs.get(name), key)
        with self._parts.planning(job, watch.cancelled) as planner:
            try:
                watch.check()
                yield job, planner
            finally:
                with contextlib.suppress(TidemillError):
                    planner.clean(job.wanted)

    def job(self, sync: Sync, key: str | None = None) -> Job:
        """Such a job. If the next run of an import is to begin anew, it is one of all rows."""
        runs = self._parts.books.runs.find(sync.id, limit=1)
        spec = {**self._syncs.spec_of(sync), "since": since(runs[0] if runs else None)}
        if sync.pending in {"resend", "forget"} and spec["sync"]["taken"] is not None:
            spec["sync"] = {**spec["sync"], **_ALL}
            if spec["sync"]["mode"] in {Mode.MIRROR, Mode.DELETE}:
                spec["sync"]["mode"] = Mode.UPSERT.value
        if key is not None and spec["sync"]["extraction"] != Extraction.CURSOR:
            spec["only"] = [key]
        number = runs[0].number + (runs[0].status != "running") if runs else 1
        return self._parts.job(sync, _run(sync.id, number, spec, self._parts.books.syncs.now()))


def _run(sync: uuid.UUID, number: int, spec: dict[str, Any], now: dt.datetime) -> SyncRun:
    """A run that nobody knows of."""
    return SyncRun(
        id=uuid.uuid4(),
        sync_id=sync,
        number=number,
        status="running",
        step="plan",
        spec=spec,
        plan=None,
        written=0,
        rejected=0,
        to_retry=0,
        bytes_billed=0,
        error=None,
        notes=[],
        cancel_requested=False,
        began_at=now,
        began_by="",
        finished_at=None,
    )


def _said(error: TidemillError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _shown(made: Record | Outcome) -> dict[str, Any]:
    if isinstance(made, Outcome):
        return {"refused": made.message}
    return {"id": made.identity, "fields": dict(made.fields)}


def _told(seen: Seen, secrets: tuple[str, ...]) -> dict[str, Any]:
    """A request and its answer, without secrets. `body`, `answer`: None, if it is no text."""

    def clean(text: str) -> str:
        return network.scrubbed(text, secrets)[:_SHOWN]

    def read(body: bytes) -> str | None:
        try:
            return clean(_unpacked(body).decode())
        except (UnicodeDecodeError, OSError, EOFError, zlib.error):
            return None

    hidden = {"authorization", "x-api-key", "api-key", "cookie"}
    headers = {name: "********" if name.lower() in hidden else clean(value) for name, value in seen.headers.items()}
    return {
        "request": f"{seen.method} {_address(seen.url, clean)}",
        "headers": headers,
        "body": read(seen.body),
        "bytes": len(seen.body),
        "status": seen.status,
        "answer": read(seen.answer),
    }


def _unpacked(body: bytes) -> bytes:
    """As much of it as is shown, and a little: a few bytes may stand for gigabytes."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    found = unpack.decompress(body, _UNPACKED)
    if not unpack.eof and not unpack.unconsumed_tail:
        raise EOFError
    return found if unpack.eof else found.decode("utf-8", "ignore").encode()  # it may end within a letter


def _address(url: str, clean: Callable[[str], str]) -> str:
    """An address without what is secret of it. Which server it is, is no secret."""
    parts = urllib.parse.urlsplit(url)
    cleaned = clean(url)
    if not parts.netloc or cleaned.startswith(f"{parts.scheme}://{parts.netloc}"):
        return cleaned
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/********"
