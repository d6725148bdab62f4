"""Rows that a sync could not deliver: to look at, to write to a file, to try again, to give up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tidemill.errors import ConfigError, NotFoundError
from tidemill.reverse_etl.plan.port import MOST_INVALID
from tidemill.reverse_etl.syncs import SyncService
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Parts
from tidemill.schedules import telling
from tidemill.settings import private_file
from tidemill.store.records_sync import Reject

_AT_ONCE = 1_000
#: Rows that a run may be asked to try alone, and characters of their keys: they are named in its statement, which may
#: have a million.
_MOST_KEYS, _MOST_TEXT = 10_000, 400_000


class SyncRejectService:
    """Of all syncs of an installation."""

    def __init__(self, parts: Parts, syncs: SyncService) -> None:
        self._parts, self._books, self._syncs = parts, parts.books, syncs

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

    def retry(
        self,
        name: str,
        watch: Watch,
        *,
        by: str,
        keys: Sequence[str] = (),
        text: str | None = None,
        code: str | None = None,
    ) -> RunView | None:
        """Run the sync for these rows alone, as they are now: those of these keys, or with that text or reason, or all.
        Others, and what has changed since, are left to the next run. None: there are none.

        Raises
        ------
        NotFoundError
            There is no row of such a key.
        ConfigError
            They are too many.
        """
        chosen = list(itertools.islice(self._chosen(name, keys, text, code), _MOST_KEYS + 1))
        if len(chosen) > _MOST_KEYS or sum(map(len, chosen)) > _MOST_TEXT:
            raise ConfigError(
                "rejects_too_many",
                f"A run can be asked for {_MOST_KEYS:,} rows, with {_MOST_TEXT:,} characters in their keys.",
                hint=f"Have all tried again, with what has changed: {telling.command('sync run', name)}. Or choose "
                "less: --key, --code, --text.",
            )
        return self._syncs.run(name, watch, by=by, only=chosen) if chosen else None

    def missing(self, name: str) -> str | None:
        """What is to be said of rows that cannot be delivered and are not among these, if there are such."""
        sync = self._books.syncs.get(name)
        last = self._books.runs.last_telling(sync.id)
        invalid = RunView.of(last, sync.name).invalid if last else 0
        kept = self._books.rejects.count(sync.id).get("invalid", 0)
        if invalid <= kept:
            return None
        return (
            f"{invalid:,} rows of the model cannot be delivered for their keys. {kept:,} of them are here: one row of "
            f"each key, and {MOST_INVALID:,} at most. tidemill model check tells of all."
        )

    def number(self, name: str, *, keys: Sequence[str] = (), text: str | None = None, code: str | None = None) -> int:
        """How many `drop` would give up. Raises NotFoundError if there is no row of such a key."""
        return sum(1 for _ in self._chosen(name, keys, text, code))

    def drop(self, name: str, *, keys: Sequence[str] = (), text: str | None = None, code: str | None = None) -> int:
        """Give rows up as they are: they are sent when they have changed. Gives how many it were.

        Raises
        ------
        ConfigError
            Neither keys nor anything else says which.
        NotFoundError
            There is no row of such a key.
        """
        self.assert_chosen(keys=keys, text=text, code=code)
        sync = self._books.syncs.get(name)
        model = self._books.models.by_id(sync.model_id)
        connection = self._books.connections.by_id(model.connection_id)
        source = self._books.sources.of(connection)
        number = 0
        with self._parts.client(connection, source) as client:
            planner = self._parts.planner(client, source, sync)
            for batch in _batches(list(self._chosen(sync.name, keys, text, code))):
                planner.drop(batch)
                number += self._books.rejects.forget(sync.id, batch)
        return number

    @staticmethod
    def assert_chosen(*, keys: Sequence[str] = (), text: str | None = None, code: str | None = None) -> None:
        """Raise ConfigError if nothing says which rows."""
        if not keys and text is None and code is None:
            raise ConfigError("rejects_which", "Nothing says which rows.", hint="Give --key, --code, --text or --all.")

    def _chosen(self, name: str, keys: Sequence[str], text: str | None, code: str | None) -> Iterator[str]:
        if not keys:
            yield from (one.key for one in self.find(name, text=text or None, code=code))
            return
        sync = self._books.syncs.get(name)
        known = self._books.rejects.known(sync.id, keys)
        if missing := [key for key in keys if key not in known]:
            raise NotFoundError(
                "row_unknown",
                f"No row that was not delivered has the key {', '.join(map(repr, missing[:3]))}.",
                hint=f"See which there are: {telling.command('sync rejects list', sync.name)}",
            )
        found = self.find(sync.name, text=text or None, code=code) if text is not None or code is not None else None
        wanted = known if found is None else known & {one.key for one in found}
        yield from sorted(wanted)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))
