"""An installation in which a lot has happened, as it is shown: written into the database, without BigQuery."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tidemill.access.permissions import Permission
from tidemill.access.roles import Role
from tidemill.app import App

_HOUR = dt.timedelta(hours=1)
PASSWORD = "correct horse battery staple"
EVIL = "<img src=x onerror=alert(1)>"


def fill(app: App, *, hostile: bool = True) -> None:
    """Make users, keys, tokens, channels, exports with runs, and troubles. `hostile`: some names try to be markup."""
    evil = EVIL if hostile else "purchases"
    users = app.users
    if not users.any():
        users.begin(users.setup_token(), "root", PASSWORD, address="127.0.0.1", agent="tests")
    for name, role in (("ben", Role.EDITOR), ("carla", Role.VIEWER), (evil, Role.VIEWER)):
        users.create(name, role=role, password=PASSWORD, by="root")
    users.edit("carla", disabled=True)
    for number in range(60):
        app.keys.create(team_id=1, name=f"app-{number:02}", events_per_second=None, by="root")
    app.keys.revoke("app-03")
    scopes = [Permission.SYNCS_READ, Permission.SYNCS_TRIGGER, Permission.EXPORTS_READ, Permission.EXPORTS_WRITE]
    app.tokens.create(name="airflow", scopes=scopes, expires_seconds=90 * 86_400, by="root")
    mail = {"to": ("ana@example.com",), "sender": "tidemill@example.com", "host": "smtp.example.com"}
    app.notify.add("email", "on-call", mail, by="root")
    number = app.audit.begin(
        actor="ben", actor_kind="user", address="203.0.113.9", action="export.edit", kind="export", name="daily",
        details={"interval": "1h"}, before={"interval": "1d", "note": evil}, after={"interval": "1h"},
    )  # fmt: skip
    app.audit.end(number, outcome="done")
    with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
        _exports(session, evil)


def _exports(session: psycopg.Connection[Any], evil: str) -> None:
    now = dt.datetime.now(dt.UTC)
    connection = uuid.uuid4()
    session.execute(
        "INSERT INTO tidemill.connections (id, name, project, dataset, adc, connected_by) "
        "VALUES (%s, 'warehouse', 'acme', 'product', true, 'root')",
        [connection],
    )
    for number, (name, status) in enumerate(
        (("events", "completed"), ("persons", "failed"), ("sessions", "running"), (evil, "failed"))
    ):
        export = uuid.uuid4()
        session.execute(
            "INSERT INTO tidemill.exports (id, name, connection_id, model, project, dataset, table_id, spec, "
            "created_by) VALUES (%s, %s, %s, 'events', 'acme', 'product', %s, %s, 'root')",
            [
                export,
                name,
                connection,
                f"table_{number}",
                Jsonb({"name": f"spec-{number}", "table": f"table_{number}"}),
            ],
        )
        for run in range(1, 25):
            ended = now - run * _HOUR
            _run(session, export, 25 - run, "completed", ended, 1_000 * (25 - run) * (number + 1))
        if status != "completed":
            _run(session, export, 25, status, None if status == "running" else now, 4_000)
        error = ("completed", None) if status == "running" else (status, now)
        session.execute(
            "INSERT INTO tidemill.run_totals (export_id, completed, rows, last_status, last_finished_at, last_rows, "
            "covered_until) VALUES (%s, 24, 300000, %s, %s, 24000, %s)",
            [export, error[0], error[1], now - (number + 1) * _HOUR],
        )
        if status == "failed":
            facts = {
                "message": f"The table {name} is gone.",
                "hint": "tidemill export show persons",
                "code": "table_gone",
            }
            session.execute(
                "INSERT INTO tidemill.troubles (export_id, cause, began_at, seen_at, facts) "
                "VALUES (%s, 'failed', %s, %s, %s)",
                [export, now - _HOUR, now, json.dumps(facts)],
            )


def _run(
    session: psycopg.Connection[Any], export: uuid.UUID, number: int, status: str, ended: dt.datetime | None, rows: int
) -> None:
    run = uuid.uuid4()
    failed = status == "failed"
    session.execute(
        "INSERT INTO tidemill.runs (id, export_id, number, status, mode, spec, snapshot_after, snapshot_upto, "
        "rows_planned, created_by, started_at, finished_at, error_code, error_message, error_hint) "
        "VALUES (%s, %s, %s, %s, 'append', '{}', 0, 1, %s, 'root', now() - interval '2 minutes', %s, %s, %s, %s)",
        [
            run, export, number, status, rows, ended, "table_gone" if failed else None,
            "The table is gone." if failed else None, "Make it again, or choose another." if failed else None,
        ],
    )  # fmt: skip
    session.execute(
        "INSERT INTO tidemill.chunks (run_id, number, snapshot_after, snapshot_upto, rows_planned, status, "
        "rows_loaded) VALUES (%s, 0, 0, 1, %s, 'loaded', %s)",
        [run, rows, rows // 2 if status == "running" else rows],
    )
