"""A load job for tests: two rows into the table `events`."""

from __future__ import annotations

from tests.fake_bigquery import DATASET

from tidemill.bigquery.jobs import Load
from tidemill.models.events import EVENTS

ROWS = [b'{"event":"a"}', b'{"event":"b"}']
LOAD = Load(
    "run_1", DATASET, "events", EVENTS.columns_for(json_type=True), "NEWLINE_DELIMITED_JSON", {"tidemill_run": "1"}
)
#: In the address of each piece of an upload.
PIECES = "upload_id="
