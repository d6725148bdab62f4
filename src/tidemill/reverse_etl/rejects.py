"""Rows that a sync could not deliver: to look at, to write to a file, to try again, to give up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.reverse_etl.work import Parts
from tidemill.settings import private_file
from tidemill.store.records_sync import Reject

_AT_ONCE = 1_000


class SyncRejectService:
    """Of all syncs of an installation."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._books = parts, parts.books

    def find(
        self, name: str, *, text: str | None = None, code: str | None = None, limit: int | None = None
    ) -> Iterator[Reject]:
        """Those of a sync, by key; only with that text in key or message, or with that reason."""
        sync = self._books.syncs.get(name)
        return self._books.rejects.find(sync.id, text=text, code=code, limit=limit)

    def export(self, name: str, path: Path, *, text: str | None = None, code: str | None = None) -> int:
        """Write them to a file, as JSON, one a line. Gives how many."""
        number = 0
        with private_file(path.expanduser().absolute()) as file:
            for one in self.find(name, text=text, code=code):
                number += 1
                said = {"key": one.key, "op": one.op, "status": one.status, "code": one.code, "message": one.message}
                more = {"tries": one.tries, "last_run": one.last_run, "row": one.row}
                file.write(json.dumps({**said, **more}, ensure_ascii=False) + "\n")
        return number

    def drop(self, name: str, *, keys: tuple[str, ...] = (), text: str | None = None, code: str | None = None) -> int:
        """Give rows up as they are: they are sent when they have changed. Gives how many it were.

        Raises
        ------
        ConfigError
            Neither keys nor anything else says which.
        """
        if not keys and text is None and code is None:
            raise ConfigError("rejects_which", "Nothing says which rows.", hint="Give --key, --code, --text or --all.")
        sync = self._books.syncs.get(name)
        model = self._books.models.by_id(sync.model_id)
        connection = self._books.connections.by_id(model.connection_id)
        source = self._books.sources.of(connection)
        number = 0
        with self._parts.client(connection, source) as client:
            planner = self._parts.planner(client, source, sync)
            for batch in _batches(self._chosen(sync.name, keys, text, code)):
                planner.drop(batch)
                number += self._books.rejects.forget(sync.id, batch)
        return number

    def _chosen(self, name: str, keys: tuple[str, ...], text: str | None, code: str | None) -> Iterator[str]:
        if keys:
            yield from keys
            return
        for one in list(self.find(name, text=text or None, code=code)):
            yield one.key


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) >= _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
