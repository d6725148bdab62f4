"""What the state of a sync has, wherever it is kept: for tests alone, for nothing of the product asks for one row."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tidemill.bigquery.names import quoted
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planner
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner


def of(planner: Planner) -> dict[str, dict[str, Any]]:
    """Its rows, by key."""
    if not planner.remembers():
        return {}
    if isinstance(planner, WarehousePlanner):
        statement = f"SELECT * FROM {quoted(*planner._state)}"
        found = planner._client.query(statement, job_id=f"test_{uuid.uuid4().hex}")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    else:
        assert isinstance(planner, LocalPlanner)
        newest = planner._files.newest()
        assert newest is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.parquet"
            planner._files.get_state(newest, path)
            rows = pq.read_table(path).to_pylist()
    return {row["key"]: row for row in rows}
