"""An installation whose configuration has something of everything, on the embedded BigQuery."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dbt_syncs import Shop
from tests.installation import Installation
from tests.syncs import Crm, People

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT

#: A secret by which webhooks are signed, as Standard Webhooks has them.
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"

WHOLE = """\
version: 1
connections:
  warehouse:
    project: {project}
    dataset: {dataset}
    key: {{env: WAREHOUSE_KEY}}
    source: {{access: full, state_dataset: {dataset}_state}}
dbt_projects:
  shop:
    folder: {folder}
    refresh: 1h
models:
  people:
    connection: warehouse
    table: {dataset}.people
    key: [id]
    description: All people.
  paying:
    connection: warehouse
    sql: |
      SELECT id, email
      FROM {dataset}.people
      WHERE plan <> 'free'
    key: [id]
    max_bytes_billed: 20GB
  of_dbt: {{connection: warehouse, dbt: shop/people}}
destinations:
  hook: {{kind: webhook, url: {{env: HOOK_URL}}, key: {{env: HOOK_KEY}}, calls_per_second: 20}}
exports:
  daily:
    connection: warehouse
    table: events
    exclude_events: [debug]
    partition_by: timestamp:month
    cluster_by: [event]
    max_bytes_billed: 20GB
    reject_share: 5%
    verify_days: 7
    run_log: true
    schedule: {{interval: day, offset: 3h, time_zone: Europe/Berlin, jitter: 2m, missed: join, pause_after: 5/2d}}
  live: {{connection: warehouse, table: events_live, mode: stream, buffer_seconds: 2.5}}
  counts:
    connection: warehouse
    table: counts
    sql: SELECT event, count(*) AS number FROM events GROUP BY event
    key: [event]
    schedule: {{interval: '0 6 * * 1-5'}}
syncs:
  crm:
    model: people
    destination: hook
    mapping:
      n: {{"@path": $.id}}
      email: {{"@path": $.email}}
    mode: mirror
    delete_brake: 50%
    schedule: {{interval: 6h}}
  crm dbt: {{model: of_dbt, destination: hook, mapping: {{n: {{"@path": $.id}}}}, schedule: {{interval: none}}}}
imports:
  signups:
    connection: warehouse
    table: {dataset}.people
    key: [id]
    kind: events
    identity: email
    event: Signed Up
    properties:
      - {{column: plan, name: plan}}
    skipped: [id]
    schedule: {{interval: hour}}
  members:
    model: people
    kind: people
    identity: email
    properties:
      - {{column: plan, name: plan, type: string}}
    skipped: [id]
    once: true
  draft: {{connection: warehouse, sql: SELECT 1 AS id, key: [id]}}
channels:
  ops: {{kind: webhook, url: {{env: OPS_URL}}, key: {{env: OPS_KEY}}, causes: [failed, paused], exports: [daily]}}
  mail: {{kind: email, to: [ana@example.com], sender: t@example.com, host: smtp.example.com}}
"""


@dataclasses.dataclass
class Configured:
    """An installation that is empty yet, and a configuration for it."""

    app: App
    installation: Installation
    text: str


@pytest.fixture
def configured(
    installation: Installation, people: People, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Configured]:
    """With the table of tests/syncs.py, a server that takes rows, and a dbt project."""
    assert people.rows
    folder = tmp_path / "project"
    folder.mkdir()
    Shop(folder, installation)
    settings = crm.settings()
    secrets = {
        "WAREHOUSE_KEY": json.dumps(installation.local.key("tidemill")),
        "HOOK_URL": settings["url"],
        "HOOK_KEY": settings["key"],
        "OPS_URL": "http://127.0.0.1:1/ops",
        "OPS_KEY": SIGNING,
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    text = WHOLE.format(project=DEFAULT_PROJECT, dataset=installation.dataset, folder=folder)
    with installation.app(outbound_allow="127.0.0.1") as app:
        yield Configured(app, installation, text)
