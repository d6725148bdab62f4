"""The doctor: looks at every part of an installation and says how it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import importlib.util
import platform
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.schedules import telling

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.service import ExportView
    from tidemill.notify.service import ChannelView
    from tidemill.reverse_etl.views import SyncView

_LOW_DISK_BYTES = 2_000_000_000
#: So soon a worker begins what somebody has asked for, if there is one.
_BEGUN_WITHIN = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True)
class Check:
    """How one part is. `status`: ok, warning or wrong."""

    name: str
    status: str
    detail: str
    hint: str = ""


class Health:
    """How an installation is, for who may see it."""

    def __init__(self, app: App) -> None:
        self._app = app

    def examine(self) -> list[Check]:
        """Look at every part."""
        return examine(self._app)


def examine(app: App) -> list[Check]:
    """Look at every part. A part that fails does not hide the others."""
    checks: list[tuple[str, Callable[[App], Check | list[Check]]]] = [
        ("Python packages", _packages),
        ("home directory", _home),
        ("PostgreSQL", _postgres),
        ("secret key", _secrets),
        ("event data", _event_data),
        ("event store", _events),
        ("exports", _exports),
        ("syncs", _syncs),
        ("operations", _operations),
        ("notifications", _notifications),
        ("embedded BigQuery", _local),
    ]
    found: list[Check] = []
    for name, check in checks:
        try:
            said = check(app)
            found += said if isinstance(said, list) else [said]
        except TidemillError as error:
            found.append(Check(name, "wrong", error.message, error.hint))
        except Exception as error:  # noqa: BLE001 - whatever is broken, the doctor says so and looks at the rest
            found.append(Check(name, "wrong", f"{type(error).__name__}: {error}", "Please report this."))
    return found


def _packages(_: App) -> Check:
    names = ("tidemill", "duckdb", "dbos", "google-cloud-bigquery", "pyarrow")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return Check("Python packages", "ok", f"Python {platform.python_version()}, {versions}")


def _home(app: App) -> Check:
    home = app.settings.home_path
    free = shutil.disk_usage(home).free
    detail = f"{home}, {free / 1e9:.1f} GB free"
    if free < _LOW_DISK_BYTES:
        return Check("home directory", "warning", detail, "Less than 2 GB is left: loads and exports may stop.")
    return Check("home directory", "ok", detail)


def _postgres(app: App) -> Check:
    from tidemill.store import embedded_upgrade

    version, durable = app.database.server()
    kind = "embedded" if app.postgres.embedded else "given by TIDEMILL_DATABASE_URL"
    if not durable:
        return Check(
            "PostgreSQL", "wrong", f"{version}, {kind}", "fsync is off: a power cut would lose events. Turn it on."
        )
    if app.postgres.embedded and (old := embedded_upgrade.kept(app.settings.home_path / "postgres")):
        said = f"{version}, {kind}; that of before the upgrade is in {', '.join(map(str, old))}"
        return Check("PostgreSQL", "warning", said, f"When all is well: rm -r {' '.join(map(str, old))}")
    return Check("PostgreSQL", "ok", f"{version}, {kind}")


def _secrets(app: App) -> Check:
    token = app.secrets.encrypt("x")
    app.secrets.decrypt(token)
    if app.settings.secret_keys:
        return Check("secret key", "ok", "from TIDEMILL_SECRET_KEYS")
    mode = app.secrets.path.stat().st_mode & 0o777
    if mode & 0o077:
        return Check(
            "secret key", "warning", f"{app.secrets.path} can be read by others", f"chmod 600 {app.secrets.path}"
        )
    return Check("secret key", "ok", str(app.secrets.path))


def _event_data(app: App) -> list[Check]:
    """How the place of event data is, and what is to be said about it."""
    steps, marks = list(app.event_data.test()), {"passed": "ok", "failed": "wrong"}
    odd = [
        Check("event data", marks.get(step.status, step.status), f"{step.title}: {step.message}", step.hint)
        for step in steps
        if step.status != "passed"
    ]
    if any(check.status == "wrong" for check in odd):
        return odd
    return [Check("event data", "ok", f"{app.event_data.objects.place} can be used"), *odd]


def _events(app: App) -> Check:
    count = app.events.count()[0][1]
    rejects = len(app.events.rejects(limit=1000))
    detail = f"{count:,} events in {app.event_data.objects.place}"
    if rejects:
        return Check("event store", "warning", f"{detail}, {rejects:,} set aside", "tidemill events rejects list")
    return Check("event store", "ok", detail)


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _exports(app: App) -> list[Check]:
    """How many there are, and each of which something is to be said."""
    exports = app.exports.find()
    detail = f"{_number(len(exports), 'export')}, {_number(len(app.connections.find()), 'connection')}"
    return [Check("exports", "ok", detail), *filter(None, map(_export, exports))]


_BY_HAND = "tidemill export edit {} --interval none"


def _export(export: ExportView) -> Check | None:
    name = f"export {export.name}"
    match export.last_status:
        case "in trouble":
            what = "The stream stands still" if export.mode == "stream" else "No run can be made"
            return Check(name, "wrong", f"{what}: {export.trouble}", export.what_to_do or "")
        case "paused" if export.trouble:
            return Check(name, "wrong", f"It is paused: {export.trouble}", export.what_to_do or "")
        case "paused":
            return Check(name, "warning", f"It is paused {export.paused}.", export.what_to_do or "")
        case "failed":
            return Check(name, "wrong", f"The last run failed: {export.trouble}", export.what_to_do or "")
        case "interrupted":
            return Check(name, "warning", "The last run was interrupted.", export.what_to_do or "")
        case "not streamed" if export.waiting_rows:
            waiting = f"{_number(export.waiting_rows, 'row')} {'waits' if export.waiting_rows == 1 else 'wait'}"
            return Check(name, "warning", f"{waiting}.", export.what_to_do or "")
    if export.missing_intervals:
        start, end = export.missing_intervals[0]
        said = f"No run was made of {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC."
        return Check(name, "wrong", said, "The next run holds its rows. This is a bug in Tidemill: please report it.")
    if export.overdue_since:
        said = f"A run should have begun at {export.overdue_since:%Y-%m-%d %H:%M} UTC, and has not."
        return Check(name, "warning", said, f"tidemill serve runs it. By hand alone: {_BY_HAND.format(export.name)}")
    return _worth_knowing(export, name)


def _worth_knowing(export: ExportView, name: str) -> Check | None:
    """Of one that goes on."""
    if export.in_doubt_since:
        said = f"Restored from a backup of {export.in_doubt_since:%Y-%m-%d %H:%M} UTC: rows are merged."
        how = f"tidemill export verify {export.name} tells whether that is needed; tidemill export settle {export.name}"
        how += " ends it."
        return Check(name, "warning", said, how)
    if export.set_aside:
        said = f"{_number(export.set_aside, 'row')} set aside"
        return Check(name, "warning", said, f"tidemill export rejects list {export.name}")
    return None


def _syncs(app: App) -> list[Check]:
    """How many there are, and each of which something is to be said."""
    found = []
    for group, imports in (("sync", False), ("import", True)):
        syncs = app.reverse_etl.syncs.find(imports=imports)
        found += [Check(f"{group}s", "ok", _number(len(syncs), group)), *filter(None, map(_sync, syncs))]
    return found


def _sync(sync: SyncView) -> Check | None:
    name, last = f"{sync.group} {sync.name}", sync.last
    if sync.status == "paused":
        reason = sync.pause_reason
        if reason is not None and reason.get("code") == "stopped":
            return Check(name, "warning", reason["message"], telling.of(sync, "unpause"))
        if reason is None:
            return Check(name, "warning", f"It is paused by {sync.paused_by}.", telling.of(sync, "unpause"))
        how = f"{reason.get('hint', '')} Then: {telling.of(sync, 'unpause')}".strip()
        return Check(name, "wrong", f"It is paused: {reason['message']}", how)
    for trouble in sync.troubles:
        status = "wrong" if trouble.cause == "failed" else "warning"
        return Check(name, status, f"Since {trouble.since:%Y-%m-%d %H:%M} UTC: {trouble.message}", trouble.what_to_do)
    if last is not None and last.status == "failed" and last.error:
        return Check(name, "wrong", f"The last run failed: {last.error['message']}", last.error.get("hint", ""))
    if sync.overdue_since:
        said = f"A run should have begun at {sync.overdue_since:%Y-%m-%d %H:%M} UTC, and has not."
        by_hand = f"{telling.of(sync, 'edit' if sync.group == 'sync' else 'schedule')} --interval none"
        return Check(name, "warning", said, f"tidemill serve runs it. By hand alone: {by_hand}")
    if number := sum(sync.rejects.values()):
        said = f"{_number(number, 'row')} not delivered"
        return Check(name, "warning", said, telling.of(sync, "rejects list"))
    return None


def _operations(app: App) -> Check:
    """What workers are to do to its end."""
    number, since = app.operations.waiting()
    if since is not None and dt.datetime.now(dt.UTC) - since > _BEGUN_WITHIN:
        said = f"One waits for a worker since {since:%Y-%m-%d %H:%M} UTC."
        return Check("operations", "warning", said, "tidemill serve --role worker")
    return Check("operations", "ok", f"{_number(number, 'operation')} at work or waiting")


def _notifications(app: App) -> list[Check]:
    """How many channels there are, and each that does not work."""
    found = app.notify.find()
    if not found:
        return [Check("notifications", "ok", "nobody is told what is wrong (tidemill notify add --help)")]
    waiting = sum(channel.waiting for channel in found)
    detail = _number(len(found), "channel") + (f", {_number(waiting, 'message')} on the way" if waiting else "")
    return [Check("notifications", "ok", detail), *filter(None, map(_channel, found))]


def _channel(channel: ChannelView) -> Check | None:
    name, lost = f"channel {channel.name}", f"{_number(channel.given_up, 'message')} lately given up"
    if channel.trouble:
        since = f" since {channel.failing_since:%Y-%m-%d %H:%M} UTC" if channel.failing_since else ""
        more = f" ({lost})" if channel.given_up else ""
        then = f"Then: tidemill notify test {channel.name}"
        return Check(name, "wrong", f"It fails{since}: {channel.trouble}{more}", f"{channel.what_to_do} {then}".strip())
    if channel.given_up:
        return Check(name, "warning", f"{lost}; it works now.", f"tidemill notify show {channel.name}")
    return None


def _local(app: App) -> Check:
    if importlib.util.find_spec("bqemulator") is None:
        how = "pip install 'tidemill[local]'; in a checkout of Tidemill: pip install '.[local]'"
        return Check("embedded BigQuery", "ok", f"not installed ({how})")
    status = app.local.status()
    where = f"runs at {status.url}" if status.running else "not running (tidemill local start)"
    return Check("embedded BigQuery", "ok", where)
