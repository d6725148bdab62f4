"""Syncs, their runs and trials, as they are printed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from tidemill.cli import named, output, progress, session

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.dbt_models import AfterRun
    from tidemill.reverse_etl.service import Estimate, RunState, RunView, SyncView, Tried, Triggered, Watch

Result = TypeVar("Result")
_FAILED = {"failed": 1, "cancelled": 130}
_REFUSED = 6


def follow(name: str, work: Callable[[Watch], Result]) -> Result:
    """Do it with a progress bar. Ctrl-C cancels; a second one leaves the run to the next command."""
    from tidemill.reverse_etl.service import Watch

    stopping = threading.Event()
    asked = threading.Event()

    def stop(*_: Any) -> None:
        if asked.is_set():
            stopping.set()
        asked.set()

    with progress.bar(name) as bar:
        watch = Watch(bar.counting, stopping.is_set, output.note)
        watch.stop_when(asked.is_set)
        before = signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        try:
            return work(watch)
        finally:
            signal.signal(signal.SIGINT, before)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def print_run(run: RunView, *, as_json: bool, whole: bool = False) -> None:
    """A run that is over. Raises Exit with the code that says how it ended."""
    if as_json:
        output.print_json(run)
    elif whole:
        output.print_fields(_fields(run))
    else:
        _say(run)
    if whole:
        return
    if code := _FAILED.get(run.status):
        raise typer.Exit(code)
    if run.rejected or run.to_retry:  # those with an invalid key are said in each run alike, also in a skipped one
        raise typer.Exit(_REFUSED)


def triggered(opened: App, name: str, *, wait: bool, force: bool, as_json: bool) -> None:
    """Have a worker run it. Raises as `print_state`, if its end is waited for."""
    found = opened.sync_triggers.trigger(name, by=session.user(), force=force)
    if not as_json:
        say_triggered(found, waits=wait)
    elif not wait:
        output.print_json(found)
    if wait:
        print_state(opened.sync_triggers.wait(name, found.number), as_json=as_json)


def say_triggered(found: Triggered, *, waits: bool) -> None:
    """That a run was asked for."""
    number = f"run {found.number} of {found.sync}"
    if found.already:
        output.done(f"{found.sync} is at work or waits already, as {number}. Nothing more is begun.")
    else:
        output.done(f"A worker is to do {number}.")
    if not waits:
        shown = output.command(f"{named.group()} run show", found.sync)
        output.note(f"tidemill serve does it. How it stands: {shown} {found.number}")


def print_state(state: RunState, *, as_json: bool) -> None:
    """A run that was waited for. Raises Exit with the code that says how it ended, or why it could not begin."""
    from tidemill.errors import TidemillError

    if state.run is not None:
        print_run(state.run, as_json=as_json)
    elif state.error is not None:
        raise TidemillError(state.error["code"], state.error["message"], hint=state.error["hint"])


def _say(run: RunView) -> None:
    changed = f"{run.added:,} added, {run.updated:,} updated, {run.deleted:,} deleted, {run.retried:,} retried"
    became = f"{run.written:,} written, {run.rejected:,} rejected, {run.to_retry:,} to retry"
    became += f", {run.unsent:,} not sent" if run.unsent else ""
    if run.status == "skipped":
        output.done(f"{run.sync}: no table of the model has changed. Nothing was read. (--force runs it all the same.)")
        return
    if run.error:
        output.say(f"[red]✗[/] {output.safe(run.error['message'])}")
        if run.error.get("hint"):
            output.say(output.safe(run.error["hint"]))
    else:
        given_up = f", {run.dropped:,} given up" if run.dropped else ""
        of = "" if run.chosen is None else f", for {output.number(run.chosen, 'row')} alone"
        output.done(f"Run {run.number} of {run.sync}{of}: {changed}, {run.unchanged:,} unchanged{given_up}.")
    output.say(f"  {run.extracted:,} extracted: {became}; billed for {output.size(run.bytes_billed)}.")
    if run.noted:
        output.say(f"  {output.number(run.noted, 'change')} noted, and not sent: it is not to deliver them.")
    for remark in run.notes:
        output.note(remark)
    if why := _not_taken(run):
        output.note(f"{why} See why: {output.command(f'{named.group()} rejects list', run.sync)}")


def _not_taken(run: RunView) -> str:
    """Which rows were not delivered, in words."""
    found = [f"{output.number(run.rejected, 'row')} rejected."] if run.rejected else []
    found += [f"{output.number(run.to_retry, 'row')} to retry."] if run.to_retry else []
    found += (
        [f"{output.number(run.invalid, 'row')} of the model cannot be delivered (keys, cursors)."]
        if run.invalid
        else []
    )
    return " ".join(found)


def _fields(run: RunView) -> dict[str, Any]:
    hidden = {"error", "notes", "step"} if run.finished_at else {"error", "notes"}
    known = {**vars(run), "chosen": "all rows" if run.chosen is None else f"{output.number(run.chosen, 'row')} alone"}
    labels = {"chosen": "looked at", "sync": named.group()}
    shown = {labels.get(name, name.replace("_", " ")): value for name, value in known.items() if name not in hidden}
    shown["bytes billed"] = output.size(run.bytes_billed)
    if run.status == "skipped":  # nothing was counted
        shown = {name: value for name, value in shown.items() if value != 0}
        shown["because"] = "no table of the model has changed; nothing was read"
    if run.notes:
        shown["notes"] = " ".join(run.notes)
    return shown | _why(run)


def _why(run: RunView) -> dict[str, str]:
    """Why a run did not come to its end, and what to do."""
    if run.error is None:
        return {}
    return {"error": f"{run.error['message']} [{run.error['code']}]", "what to do": run.error.get("hint") or "-"}


def print_runs(found: Sequence[RunView], *, as_json: bool, of_all: bool) -> None:
    """Runs. `of_all`: of all syncs, and not of one."""
    if as_json:
        output.print_json(found)
        return
    changes, outcomes = ("added", "updated", "deleted", "retried"), ("written", "rejected", "to_retry")
    counts = [*changes, *outcomes]
    whose = ("SYNC",) if of_all else ()
    columns = (*whose, "RUN", "STATUS", *(name.upper().replace("_", " ") for name in counts), "BEGAN")
    rows = [
        (*((r.sync,) if of_all else ()), r.number, r.status, *(getattr(r, name) for name in counts), r.began_at)
        for r in found
    ]
    output.print_table(columns, rows, empty=f"No runs. Begin one: tidemill {named.group()} run NAME")


def print_syncs(found: Sequence[SyncView], *, as_json: bool) -> None:
    """Syncs."""
    if as_json:
        output.print_json(found)
        return
    columns = ("NAME", "MODEL", "DESTINATION", "MODE", "STATUS", "LAST RUN", "NEXT RUN", "NOT DELIVERED")
    rows = [
        (
            s.name,
            s.model,
            s.destination,
            s.spec.mode.value,
            _status(s),
            s.last.status if s.last else None,
            s.next_at,
            _number_left(s),
        )
        for s in found
    ]
    output.print_table(columns, rows, empty="No syncs. Make one: tidemill sync create --help")


def _status(sync: SyncView) -> str:
    """How it stands, with what is wrong with it."""
    overdue = ["overdue"] if sync.overdue_since else []
    return ", ".join([sync.status, *(trouble.cause for trouble in sync.troubles), *overdue])


def print_sync(sync: SyncView, *, as_json: bool) -> None:
    """One sync."""
    if as_json:
        output.print_json(sync)
        return
    fields: dict[str, Any] = {
        "name": sync.name,
        "model": sync.model,
        "destination": f"{sync.destination} ({sync.kind})",
        "action": sync.spec.action,
        "mode": sync.spec.mode.value,
        "extraction": _extraction(sync),
        "mapping": json.dumps(sync.spec.mapping, ensure_ascii=False),
        "schedule": str(sync.spec.schedule),
        "delete brake": f"{sync.spec.delete_brake:.0%} of the rows",
        "max bytes billed": output.size(sync.spec.max_bytes_billed) if sync.spec.max_bytes_billed else "no limit",
        "write-back": f"{sync.spec.write_back_days} days" if sync.spec.write_back_days else None,
        "status": sync.status,
        "next run": sync.next_at,
        "told of": _told_of(sync),
        "not delivered": _not_delivered(sync),
        "made": f"{output.text(sync.made_at)} by {sync.made_by}",
    }
    if sync.pause_reason:
        fields["paused because"] = f"{sync.pause_reason['message']} {sync.pause_reason.get('hint', '')}"
    if sync.pending:
        fields["before the next run"] = sync.pending
    if sync.last:
        fields["last run"] = f"{sync.last.number}, {sync.last.status}, {output.text(sync.last.began_at)}"
        fields |= {f"its {name}" if name == "error" else name: said for name, said in _why(sync.last).items()}
    if sync.overdue_since:
        fields["overdue since"] = sync.overdue_since
    for trouble in sync.troubles:
        since = f"since {output.text(trouble.since)}"
        fields[f"trouble ({trouble.cause})"] = f"{since}: {trouble.message} {trouble.what_to_do}".strip()
    output.print_fields(fields)


def _extraction(sync: SyncView) -> str:
    """How rows are found."""
    spec = sync.spec
    said = [f"cursor {spec.cursor}"] if spec.cursor else [spec.extraction.value]
    said += [f"in {spec.cursor_unit}"] if spec.cursor_unit != "none" else []
    said += [f"overlap {spec.cursor_overlap:,}"] if spec.cursor_overlap else []
    return ", ".join(said)


def _unsent(sync: SyncView) -> int:
    """How many rows its last run, which is over, has not come to."""
    return sync.last.unsent if sync.last and sync.last.finished_at else 0


def _number_left(sync: SyncView) -> int:
    return sum(sync.rejects.values()) + _unsent(sync)


def _not_delivered(sync: SyncView) -> str:
    """How many rows there are of each kind."""
    words = {"retry": "to retry", "invalid": "with an invalid key", "unsent": "not sent"}
    numbers = {**sync.rejects, **({"unsent": _unsent(sync)} if _unsent(sync) else {})}
    return ", ".join(f"{number:,} {words.get(status, status)}" for status, number in numbers.items()) or "0"


def _told_of(sync: SyncView) -> str:
    """Of which runs people are told."""
    share, deviation = sync.spec.reject_share, sync.spec.deviation
    said = [f"more than {100 * share:.3g}% of new rows refused"] if share < 1 else []
    said += [f"rows that differ by more than {100 * deviation:.3g}%"] if deviation is not None else []
    return ", ".join(said) or "-"


def print_estimate(found: Estimate, *, as_json: bool) -> None:
    """A dry run."""
    if as_json:
        output.print_json(found)
        return
    shown = {name: number for name, number in found.counts.items() if number or not name.startswith("invalid_")}
    output.print_fields({name.replace("_", " "): number for name, number in shown.items()})
    output.say(f"This dry run is billed for {output.size(found.bytes_billed)}, ${found.dollars:.4f}.")
    output.say(
        f"A run is billed for about {output.size(found.run_bytes)}, ${found.run_dollars:.4f}: it makes the plan again, "
        "and remembers what was delivered."
    )
    if found.stopped is not None:
        output.note(f"It would stop before anything is sent. {found.stopped['message']} {found.stopped['hint']}")
    if found.resends:
        output.note("The next run sends unchanged rows, too, for it was asked to: tidemill sync reset.")
    for sample in found.samples:
        output.print_json(sample)
    if not found.samples and not found.resends:
        output.say("No row is to be sent.")


def print_tried(tried: Tried, *, as_json: bool) -> None:
    """A test record."""
    if as_json:
        output.print_json(tried)
        return
    for one in tried.requests:
        output.out.print(output.safe(f"{one['request']}"), style="bold")
        for name, value in one["headers"].items():
            output.out.print(output.safe(f"{name}: {value}"))
        output.out.print(output.safe(f"\n{_body(one, tried)}\n"))
        output.out.print(output.safe(f"{one['status']}"), style="bold")
        output.out.print(output.safe(f"{one['answer'] or ''}\n"))
    if tried.error is not None:
        output.say(f"[red]✗[/] {output.safe(tried.error['message'])}")
        output.say(output.safe(tried.error["hint"]))
        raise typer.Exit(_FAILED["failed"])
    said = f"The row {tried.key}: {tried.status}{f', {tried.message}' if tried.message else ''}"
    if tried.status == "written":
        output.done(said)
        return
    output.say(output.safe(said))
    raise typer.Exit(_REFUSED)


def _body(one: dict[str, Any], tried: Tried) -> str:
    """What was sent; of what is no text, such as Parquet, the fields that are in it."""
    if one["body"] is not None:
        return str(one["body"])
    fields = json.dumps(output.plain(tried.fields), ensure_ascii=False)
    return f"({one['bytes']:,} bytes that are no text, of: {fields})"


def print_after_dbt(found: list[AfterRun], *, as_json: bool) -> None:
    """What a run of dbt means for syncs."""
    if as_json:
        output.print_json(found)
        return
    rows = [(one.sync, one.model, f"run {one.number}" if one.number else "not triggered", one.reason) for one in found]
    output.print_table(("SYNC", "DBT MODEL", "", "NOTE"), rows, empty="No sync delivers a model of that run.")
