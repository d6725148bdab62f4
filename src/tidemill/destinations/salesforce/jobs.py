"""Jobs of the Bulk API 2.0: made, filled, begun, waited for, and asked for each row.

No call can be made twice by mistake. A job that was made and not begun does nothing: if its data did not get there, it
is aborted and another one is made. From the moment that its data are there, the job is remembered: whatever happens to
the request that begins it, the next try of the same rows looks at that job first, and begins it only if it is still
open. If the process ends meanwhile, the rows come again: upserts, updates and deletions change nothing the second
time, and of insertions see `actions`.

Sources: research on reverse ETL, section 3.3 (Salesforce), and the vendor's page of failed results: results are in no
order, hence rows are matched by their key.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.port import Progress
from tidemill.errors import TidemillError, UnavailableError

if TYPE_CHECKING:
    from tidemill.destinations.salesforce.client import SalesforceClient

#: Seconds between two looks at a job, at first and at most, and how long is looked in all.
_FIRST_SECONDS, _MOST_SECONDS, _WHOLE_SECONDS = 1.0, 20.0, 6 * 3_600.0
_ENDS = frozenset({"JobComplete", "Failed", "Aborted"})
#: So many jobs that were made before are looked through, and so many pages of their list.
_EARLIER, _PAGES = 20, 10


class Job:
    """One that has ended. `error`: why it failed as a whole."""

    def __init__(self, client: SalesforceClient, name: str, said: Mapping[str, Any]) -> None:
        self._client, self.name = client, name
        self.state, self.error = str(said.get("state")), str(said.get("errorMessage") or "")
        self.owner = said.get("createdById")

    def written(self) -> Iterator[dict[str, str]]:
        """Rows that were taken, with sf__Id and sf__Created."""
        return self._rows("successfulResults")

    def failed(self) -> Iterator[dict[str, str]]:
        """Rows that were refused, with sf__Error."""
        return self._rows("failedResults")

    def unprocessed(self) -> Iterator[dict[str, str]]:
        """Rows that were not looked at."""
        return self._rows("unprocessedrecords")

    def _rows(self, which: str) -> Iterator[dict[str, str]]:
        answer = self._client.asked("GET", f"/jobs/ingest/{self.name}/{which}/")
        csv.field_size_limit(10_000_000)
        return csv.DictReader(io.StringIO(answer.body.decode("utf-8"), newline=""))


def run(
    client: SalesforceClient,
    identities: Sequence[str],
    kind: str,
    operation: str,
    external: str | None,
    table: bytes,
    progress: Progress,
) -> Job:
    """Do a job, or go on with the one that was begun for these rows. `table`: CSV."""
    key = tuple(identities)
    name = client.begun.get(key)
    if name is None:
        name = client.create(kind, operation, external)
        try:
            client.asked("PUT", f"/jobs/ingest/{name}/batches", table, "text/csv")
        except TidemillError:
            with contextlib.suppress(TidemillError):
                _set(client, name, "Aborted")
            raise
        client.begun[key], progress.unsure = name, True
        _set(client, name, "UploadComplete")
    progress.unsure = True
    return ended(client, name)


def forget(client: SalesforceClient, identities: Sequence[str]) -> None:
    """The results of a job are known."""
    client.begun.pop(tuple(identities), None)


def ended(client: SalesforceClient, name: str) -> Job:
    """Wait until a job has ended. One that was not begun, because the request was lost, is begun."""
    pause, waited = _FIRST_SECONDS, 0.0
    while True:
        said = client.told("GET", f"/jobs/ingest/{name}")
        state = said.get("state")
        if state in _ENDS:
            return Job(client, name, said)
        if state == "Open":
            _set(client, name, "UploadComplete")
        if waited >= _WHOLE_SECONDS:
            raise UnavailableError(
                "salesforce_slow",
                f"Salesforce has not ended job {name} after {waited / 3_600:.0f} hours.",
                hint="Look at Setup, Bulk Data Load Jobs.",
            )
        client.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, _MOST_SECONDS)


def earlier(client: SalesforceClient, kind: str, operation: str, own: Job) -> Iterator[Job]:
    """Jobs of the same kind that the same user made before, the latest first; those that run are waited for."""
    found = [
        one
        for one in _all(client)
        if (one.get("object"), one.get("operation"), one.get("createdById")) == (kind, operation, own.owner)
        and one.get("id") != own.name
        and one.get("state") not in {"Open", "Aborted"}
    ]
    found.sort(key=lambda one: str(one.get("createdDate")), reverse=True)
    for one in found[:_EARLIER]:
        yield ended(client, str(one["id"]))


def _all(client: SalesforceClient) -> Iterator[Mapping[str, Any]]:
    path = "/jobs/ingest?jobType=V2Ingest"
    for _ in range(_PAGES):
        said = client.told("GET", path)
        yield from said.get("records", ())
        following = str(said.get("nextRecordsUrl") or "").partition("/jobs/ingest")[2]
        if said.get("done", True) or not following:
            return
        path = f"/jobs/ingest{following}"


def _set(client: SalesforceClient, name: str, state: str) -> None:
    client.asked("PATCH", f"/jobs/ingest/{name}", msgspec.json.encode({"state": state}))
