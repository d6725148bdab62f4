"""How long lists of the API take in a large installation: 10,000 exports and 1,000,000 runs, asked one page at a time;
and 10,000 syncs with 20 runs each, source models, destinations, users, tokens, keys and channels.

    python benchmarks/api_lists.py [--exports 10000] [--runs 1000000] [--home FOLDER]

Requests go through the whole application, within this process; the limit is 50 ms at the 95th percentile. For comparison:
how long a page deep in the list takes by OFFSET and LIMIT, in the same run. Writes docs/benchmarks-api.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import sqlalchemy as sa

from report import DOCS, processor
from tidemill.access.permissions import Permission
from tidemill.api.v1.application import application
from tidemill.api.v1.bodies import Guarded
from tidemill.app import App
from tidemill.settings import Settings

LIMIT_MS = 50.0
PAGE = """# Benchmarks of the API's lists

Measured by `python benchmarks/api_lists.py` on {date}: {processor}, on which the application and PostgreSQL run, {load}. {exports:,} exports and {runs:,} runs are in
the database; {times} pages of each list are asked for, one behind the other, through the whole application: token, database, JSON. Without the network, and without what the first request opens.

| list | items a page | p50, ms | p95, ms | of the limit, {limit:g} ms |
|---|---|---|---|---|
{rows}

By OFFSET and LIMIT instead of a key, as the database alone takes: {offsets}.
"""
_FILL = """
    INSERT INTO tidemill.exports (id, name, connection_id, model, project, dataset, table_id, spec, created_by)
    SELECT gen_random_uuid(), 'export ' || lpad(n::text, 6, '0'), c.id, 'events', 'p', 'd', 't' || n,
        jsonb_set(:spec, '{name}', to_jsonb('export ' || lpad(n::text, 6, '0'))), 'me'
    FROM generate_series(1, :exports) n, tidemill.connections c;
    INSERT INTO tidemill.runs (id, export_id, number, status, mode, spec, snapshot_after, snapshot_upto, rows_planned,
        created_by, created_at, started_at, finished_at, error_code, error_message, error_hint)
    SELECT gen_random_uuid(), e.id, n, s.status, 'append', '{}', n, n + 1, 100, 'schedule', s.at, s.at, s.at,
        CASE s.status WHEN 'failed' THEN 'permission_missing' END, 'It may not.', 'Grant it.'
    FROM generate_series(1, :each) n, tidemill.exports e, LATERAL (
        SELECT CASE WHEN n % 100 = 7 THEN 'failed' ELSE 'completed' END AS status,
            now() - (:each - n) * interval '1 hour' - (abs(hashtext(e.id::text)) % 3600) * interval '1 second' AS at) s;
    INSERT INTO tidemill.chunks (run_id, number, snapshot_after, snapshot_upto, rows_planned, status, rows_loaded, bytes)
    SELECT id, 0, snapshot_after, snapshot_upto, 100, 'loaded', 100, 10000 FROM tidemill.runs;
    INSERT INTO tidemill.run_totals (export_id, completed, last_status, last_finished_at, last_rows)
    SELECT e.id, :each, 'completed', now(), 100 FROM tidemill.exports e;
    INSERT INTO tidemill.schedules (export_id, next_start, next_end, expected_from)
    SELECT e.id, now(), now() + interval '1 hour', now() FROM tidemill.exports e;
    INSERT INTO tidemill.sources (connection_id, access, made_by) SELECT id, 'read-only', 'me' FROM tidemill.connections;
    INSERT INTO tidemill.source_models (id, name, connection_id, spec, made_by)
    SELECT gen_random_uuid(), 'model ' || n, c.id, '{"name": "m", "key": ["id"], "table": "d.t"}', 'me'
    FROM generate_series(1, :exports) n, tidemill.connections c;
    INSERT INTO tidemill.destinations (id, name, kind, account, settings, made_by)
    SELECT gen_random_uuid(), 'destination ' || n, (ARRAY['webhook', 'braze'])[1 + n % 2], 'a', '{}', 'me'
    FROM generate_series(1, :exports) n;
    INSERT INTO tidemill.syncs (id, name, model_id, destination_id, spec, made_by, next_at, paused_at)
    SELECT gen_random_uuid(), 'sync ' || d.name, m.id, d.id,
        '{"name": "s", "action": "send", "mapping": {}, "mode": "upsert", "taken": null}', 'me',
        now() + interval '1 hour', CASE WHEN random() < 0.01 THEN now() END
    FROM tidemill.source_models m JOIN tidemill.destinations d ON d.name = replace(m.name, 'model', 'destination');
    INSERT INTO tidemill.sync_runs (id, sync_id, number, status, step, spec, plan, written, began_at, finished_at,
        began_by)
    SELECT gen_random_uuid(), s.id, n, (ARRAY['completed', 'completed', 'skipped', 'failed'])[1 + n % 4], 'done', '{}',
        '{"counts": {"added": 10}, "pieces": [{"rows": 10}]}', 9, now() - (20 - n) * interval '1 hour', now(),
        'schedule' FROM generate_series(1, 20) n, tidemill.syncs s;
    INSERT INTO tidemill.sync_totals (sync_id, completed, last_status, last_finished_at, last_began_at, last_taken)
    SELECT s.id, 20, 'completed', now(), now() - random() * interval '1 day', 9000 FROM tidemill.syncs s;
    INSERT INTO tidemill.users (id, name, role, created_by) SELECT gen_random_uuid(), 'user ' || n, 'viewer', 'me'
    FROM generate_series(1, :exports) n;
    INSERT INTO tidemill.tokens (id, name, hash, start, scopes, created_by)
    SELECT gen_random_uuid(), 'token ' || n, decode(md5(n::text), 'hex'), 'tm', ARRAY['exports:read'], 'me'
    FROM generate_series(1, :exports) n;
    INSERT INTO tidemill.keys (id, name, team_id, hash, start, created_by)
    SELECT gen_random_uuid(), 'key ' || n, 1, decode(md5(n::text), 'hex'), 'tm', 'me'
    FROM generate_series(1, :exports) n;
    INSERT INTO tidemill.channels (id, name, kind, address, settings, made_by)
    SELECT gen_random_uuid(), 'channel ' || n, 'slack', 'x', '{}', 'me' FROM generate_series(1, :exports) n;
"""


def fill(app: App, exports: int, runs: int) -> None:
    app.connections.add(app.connections.draft(name="warehouse", dataset="d", project="project-a", adc=True), by="me")
    spec = json.dumps({"name": "x", "model": "events", "table": "t", "mode": "batch", "schedule": {"interval": "hour"}})
    values = {"spec": spec, "exports": exports, "each": runs // exports}
    with app.database.begin() as connection:
        for statement in _FILL.split(";"):
            text = statement.strip().replace(":spec", "CAST(:spec AS jsonb)").replace("::", r"\:\:")
            if text:
                connection.execute(sa.text(text), {k: v for k, v in values.items() if f":{k}" in text})
    with app.database._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


async def timed(client: httpx.AsyncClient, path: str, times: int) -> tuple[list[float], int]:
    """Milliseconds of each of so many pages, one behind the other, from the beginning again at the end; and how many
    items they had."""
    found, cursor, items = [], None, 0
    for _ in range(times + 2):
        page = f"/api/v1{path}" + (f"{'&' if '?' in path else '?'}cursor={cursor}" if cursor else "")
        began = time.perf_counter()
        answer = await client.get(page)
        found.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
        cursor = answer.json()["next"]
        items += len(answer.json()["items"])
    return found[2:], items  # the first ones open what is needed


def by_offset(app: App, table: str, order: str, where: int) -> float:
    with app.database.begin() as connection:
        began = time.perf_counter()
        connection.execute(sa.text(f"SELECT * FROM tidemill.{table} ORDER BY {order} LIMIT 50 OFFSET {where}")).all()
        return (time.perf_counter() - began) * 1000


async def measure(app: App, times: int, exports: int, runs: int) -> bool:
    token, _ = app.tokens.create(
        name=f"bench {time.time():.0f}", scopes=tuple(Permission), expires_seconds=None, by="me"
    )
    api: Guarded = application(app)
    headers = {"authorization": f"Bearer {token}"}
    name = f"export {exports // 2:06}"
    paths = {
        "exports": "/exports",
        "exports, 200 a page": "/exports?limit=200",
        "exports of a connection": "/exports?connection=warehouse",
        "exports, search": "/exports?search=9",
        "exports, failed (none)": "/exports?status=failed",
        "runs of all": "/runs",
        "runs of all, 200 a page": "/runs?limit=200",
        "runs of all, failed": "/runs?status=failed",
        "runs of all, cancelled (none)": "/runs?status=cancelled",
        "runs of all, a while ago": "/runs?created_before=" + _days_ago(2),
        "runs of an export": f"/exports/{name}/runs",
        "runs of an export, failed": f"/exports/{name}/runs?status=failed",
        "connections": "/connections",
        "backfills": f"/exports/{name}/backfills",
        "source models": "/source-models",
        "destinations, by their tools": "/destinations?sort=title",
        "syncs": "/syncs",
        "syncs, by their last run": "/syncs?sort=-last",
        "syncs, by how they stand": "/syncs?sort=status",
        "syncs, by their models": "/syncs?sort=model",
        "syncs, search (none)": "/syncs?search=zzz",
        "syncs, in trouble (none)": "/syncs?status=trouble",
        "imports (none)": "/imports",
        "runs of syncs": "/sync-runs",
        "runs of syncs, failed": "/sync-runs?status=failed",
        "users, last seen first": "/users?sort=-last_seen_at",
        "tokens": "/tokens",
        "keys": "/keys",
        "channels": "/channels",
    }
    good, rows = True, []
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
        for what, path in paths.items():
            took, items = await timed(client, path, times)
            found = sorted(took)
            p95 = found[int(len(found) * 0.95) - 1]
            good &= p95 <= LIMIT_MS
            said = f"{items:6,} items   p50 {statistics.median(found):6.1f} ms   p95 {p95:6.1f} ms   of {LIMIT_MS:g} ms: {p95 / LIMIT_MS:5.2f}"
            print(f"{what:32} {said}", flush=True)
            each = items / (times + 2)
            rows.append(f"| {what} | {each:.0f} | {statistics.median(found):.1f} | {p95:.1f} | {p95 / LIMIT_MS:.0%} |")
    deep = (("runs", "created_at DESC, id DESC", runs * 9 // 10), ("exports", "lower(name)", exports * 9 // 10))
    offsets = ", ".join(f"{table} at {at:,} {by_offset(app, table, by, at):.0f} ms" for table, by, at in deep)
    print("by OFFSET:", offsets)
    said = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "exports": exports,
        "runs": runs,
        "times": times,
    }
    load = f"whose load average was {os.getloadavg()[0]:.1f}"
    page = PAGE.format(**said, load=load, limit=LIMIT_MS, rows="\n".join(rows), offsets=offsets)
    (DOCS / "benchmarks-api.md").write_text(page)
    return good


def _days_ago(days: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--exports", type=int, default=10_000)
    words.add_argument("--runs", type=int, default=1_000_000)
    words.add_argument("--times", type=int, default=60)
    words.add_argument("--home", type=Path)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or Path(folder) / "home"
        with App(Settings(home=home)) as app:
            if not app.connections.find():
                began = time.perf_counter()
                fill(app, asked.exports, asked.runs)
                print(f"{asked.exports:,} exports and {asked.runs:,} runs: {time.perf_counter() - began:.0f} s to make")
            return 0 if asyncio.run(measure(app, asked.times, asked.exports, asked.runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
