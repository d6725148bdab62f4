"""Real requests, documentation samples and exports are taken as a whole; see tests/data/SOURCES.md."""

import collections
import itertools
import json
from pathlib import Path

import pytest

from tidemill.errors import RowError
from tidemill.events import files, opening
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event
from tidemill.events.formats.generic import Mapping

PAYLOADS = Path(__file__).parent.parent.parent / "data" / "payloads"


def load(name: str) -> tuple[str, list[Event | RowError], str]:
    reader = files.Reader(opening.open_source(str(PAYLOADS / name), Path()), 20_000_000)
    found: list[Event | RowError] = []
    chosen = told = ""
    for record in itertools.chain.from_iterable(reader):
        assert record.error is None
        if not chosen:
            format_, chosen, told = registry.get("auto", Mapping(), record.data, rows=reader.rows)
        found += format_.parse(record.data, 5)
    return chosen, found, told


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("posthog_form.bin", ["$identify"]),
        ("posthog_array.json.gz", ["$autocapture", "invite members button clicked"]),
        ("posthog_batch_node.json", ["this event", "user signed up"]),
        ("posthog_batch_historical.json", ["test-no-prop-0", "test-1", "test-0", "test-2"]),
    ],
)
def test_requests_that_posthog_recorded(name: str, names: list[str]) -> None:
    chosen, found, _ = load(name)
    events = [event for event in found if isinstance(event, Event)]
    assert (chosen, [event.event for event in events], len(found)) == ("posthog", names, len(names))
    assert all(len(event.uuid) == 36 and event.distinct_id for event in events)
    assert all("phc_" not in (event.envelope or "") for event in events)


def test_the_calls_in_segments_documentation() -> None:
    kinds: collections.Counter[str] = collections.Counter()
    refused: collections.Counter[str] = collections.Counter()
    for line in (PAYLOADS / "segment_docs_calls.jsonl").read_bytes().splitlines():
        call = json.dumps(json.loads(line)["call"]).encode()
        try:
            found = registry.SDK_FORMATS["segment"].parse(call, 5)
        except RowError as error:
            refused[error.code] += 1
            continue
        for event in found:
            if isinstance(event, Event):
                kinds[event.kind] += 1
            else:
                refused[event.code] += 1
    assert kinds == {"track": 52, "identify": 32, "page": 6, "group": 4, "alias": 3, "screen": 2}
    # 20 samples show no user, two have a month of one digit, one is a part of a call
    assert refused == {"distinct_id_missing": 20, "timestamp_invalid": 2, "event_missing": 1}


@pytest.mark.parametrize(
    ("name", "rows", "ids"),
    [("amplitude_event_data.csv", 10, 10), ("mixpanel_event.csv", 5, 3)],  # three of the rows have one insert_id
)
def test_warehouse_tables_of_exports(name: str, rows: int, ids: int) -> None:
    chosen, found, told = load(name)
    events = [event for event in found if isinstance(event, Event)]
    assert (chosen, len(events), len({event.uuid for event in events})) == ("csv", rows, ids)
    assert "uuid from" in told
    assert all(event.has_time and event.envelope for event in events)
