"""What the tables must hold after kills: what one plain run gives."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

from tests.installation import CONNECTION, Installation

from tidemill.app import App

SMALL = {"TIDEMILL_COMMIT_ROWS": "100", "TIDEMILL_CHUNK_BYTES": "8000"}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EVENTS, DAYS = 400, 8


def write(file: Path, chance: random.Random, first: int) -> None:
    """Events of people who turn out to be the same, in sessions, on some days."""
    with file.open("w") as out:
        for number in range(first, first + EVENTS):
            kind = chance.choice(["$pageview", "$identify", "$set"])
            properties: dict[str, Any] = {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(90):012x}"}
            properties |= {"$anon_distinct_id": f"p{chance.randrange(300)}"} if kind == "$identify" else {}
            properties |= {"$set": {"n": number}} if kind == "$set" else {}
            event = {"uuid": str(number), "event": kind, "distinct_id": f"p{chance.randrange(300)}", "team_id": 1}
            time = (START + dt.timedelta(seconds=chance.randrange(DAYS * 86400))).isoformat()
            out.write(json.dumps({**event, "timestamp": time, "properties": properties}) + "\n")


def rows(installation: Installation, table: str) -> list[str]:
    """Of a table, without the times of their hand-over."""
    client = installation.client()
    found = [dict(row) for row in client.google().list_rows(f"{client.project}.{installation.dataset}.{table}")]
    client.close()
    for row in found:
        row.pop("bq_updated_timestamp", None)
        row.pop("bq_ingested_timestamp", None)
    return sorted(map(str, found))


def as_a_plain_run_says(installation: Installation, app: App, model: str, number: int) -> None:
    """The table of the model's export is verified, and is what one run into a table of its own gives."""
    assert app.exports.tables.verify(model, by="t").different == ()
    plain = f"plain_{model}_{number}"
    app.exports.create(CONNECTION, {"name": plain, "model": model, "table": plain, "team_id": 1}, by="t")
    app.exports.run(plain, by="t")
    assert rows(installation, model) == rows(installation, plain)
    client = installation.client()
    assert not [table for table in client.list_tables(installation.dataset) if "stage" in table]
    client.close()
