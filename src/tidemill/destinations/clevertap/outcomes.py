"""What CleverTap's answer says of each record.

Source: research on reverse ETL, section 3.3 (CleverTap): ``{"status": "success|partial|fail", "processed": n,
"unprocessed": [{"code": 509, "error": "… Skipped record number : 2", "record": {…}}]}``, counted from 1. Others take a
partial answer for the failure of all records; here the rows are found by number, and by what came back of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.port import WRITTEN, BatchRefused, Outcome, Sending, again, rejected

if TYPE_CHECKING:
    from tidemill.destinations.clevertap.client import ClevertapClient
    from tidemill.outbound.client import Answer

_NUMBER = re.compile(r"record number\s*:\s*(\d+)", re.IGNORECASE)
#: "Miscellaneous server error": of the record nothing is wrong.
_SERVER_ERROR = 555
_IDS = ("identity", "objectId", "FBID", "GPID")


def read(client: ClevertapClient, answer: Answer, batch: Sequence[Sending]) -> list[Outcome]:
    """The outcome of each record of an upload.

    Raises
    ------
    BatchRefused
        None was taken, and it is not told what is wrong with which.
    """
    said = answer.json()
    if not isinstance(said, dict) or (said.get("status") == "fail" and not said.get("unprocessed")):
        raise BatchRefused("clevertap_refused", client.said(answer))
    entries = [entry for entry in said.get("unprocessed") or () if isinstance(entry, dict)]
    found: dict[int, Outcome] = {}
    finder = _Finder(batch)
    for entry in entries:
        place = finder.place(entry, found.keys())
        if place is not None:
            found[place] = _outcome(entry)
    processed = said.get("processed")
    taken = processed if isinstance(processed, int) else len(batch) - len(entries)
    if taken + len(found) >= len(batch):
        return [found.get(place, WRITTEN) for place in range(len(batch))]
    if taken <= 0:
        raise BatchRefused("clevertap_refused", client.said(answer))
    unclear = again(
        "clevertap_unclear", "CleverTap did not take some of the rows, and does not say which.", unsure=True
    )
    return [found.get(place, unclear) for place in range(len(batch))]


def _outcome(entry: Mapping[str, Any]) -> Outcome:
    message = str(entry.get("error") or "It was not processed.")[:500]
    if entry.get("code") == _SERVER_ERROR:
        return again("clevertap_555", message)
    return rejected(f"clevertap_{entry.get('code') or 'unprocessed'}", message)


class _Finder:
    """Finds which row an entry is about."""

    def __init__(self, batch: Sequence[Sending]) -> None:
        self._batch = batch
        self._decoded: list[dict[str, Any]] | None = None

    def place(self, entry: Mapping[str, Any], known: Any) -> int | None:
        """Its place; None: it cannot be told. `known`: places that are others'."""
        if len(self._batch) == 1:
            return 0
        record = entry.get("record")
        number = _NUMBER.search(str(entry.get("error")))
        if number is not None:
            place = int(number[1]) - 1
            if 0 <= place < len(self._batch) and place not in known and self._may_be(place, record):
                return place
        if not isinstance(record, dict):
            return None
        if self._decoded is None:
            self._decoded = [msgspec.json.decode(sending.body) for sending in self._batch]
        same = self._those(known, lambda sent: sent == record)
        if same:
            return same[0]
        alike = self._those(
            known, lambda sent: _who(sent) == _who(record) and sent.get("evtName") == record.get("evtName")
        )
        return alike[0] if len(alike) == 1 else None

    def _those(self, known: Any, wanted: Callable[[dict[str, Any]], bool]) -> list[int]:
        return [place for place, sent in enumerate(self._decoded or ()) if place not in known and wanted(sent)]

    def _may_be(self, place: int, record: Any) -> bool:
        return not isinstance(record, dict) or _who(msgspec.json.decode(self._batch[place].body)) == _who(record)


def _who(record: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(record.get(name)) for name in _IDS)
