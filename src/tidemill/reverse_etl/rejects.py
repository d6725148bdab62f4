"""Rows that a sync could not deliver: to look at, to write to a file, to try again, to give up."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from tidemill import tabular
from tidemill.errors import ConfigError, NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.reverse_etl.plan.port import MOST_INVALID, Planner
from tidemill.reverse_etl.syncs import SyncService
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Parts
from tidemill.schedules import telling
from tidemill.settings import private_file
from tidemill.store.records_sync import Reject, Sync
from tidemill.store.sync_rejects import key_of
from tidemill.tabular import Form

_AT_ONCE = 1_000
#: What is told of a row that is downloaded.
_COLUMNS = ("key", "op", "status", "code", "message", "tries", "last_run", "row")
#: Rows that a run may be asked to try alone, and characters of their keys: they are named in its statement, which may
#: have a million.
_MOST_KEYS, _MOST_TEXT = 10_000, 400_000
#: The code of rows that have no key by which they could be asked for.
_NO_KEY = "key_null"


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

    def page(self, name: str, wanted: Wanted, *, text: str | None = None, code: str | None = None) -> Page[Reject]:
        """The same by pages."""
        return self._books.rejects.page(self._books.syncs.get(name).id, text, code, wanted)

    def export(self, name: str, path: Path, *, text: str | None = None, code: str | None = None) -> int:
        """Write them to a file, as JSON, one a line. Gives how many."""
        number = 0
        with private_file(path.expanduser().absolute()) as file:
            lines = self.lines(name, text=text, code=code)
            for number, line in enumerate(lines, 1):  # noqa: B007 - it is how many
                file.write(line)
        return number

    def lines(
        self, name: str, form: Form = "json", *, text: str | None = None, code: str | None = None
    ) -> Iterator[str]:
        """The same as lines of JSON, or of CSV, as they are read."""
        return tabular.lines(form, _COLUMNS, map(vars, self.find(name, text=text, code=code)))

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
        Others, and what has changed since, are left to the next run. None: there are none. Rows without a key are left
        out of all: they cannot be asked for.

        Raises
        ------
        NotFoundError
            There is no row of such a key.
        ConfigError
            They are too many; or those that were chosen have no key.
        """
        chosen = self.to_retry(name, keys=keys, text=text, code=code)
        return self._syncs.run(name, watch, by=by, only=chosen) if chosen else None

    def to_retry(
        self, name: str, *, keys: Sequence[str] = (), text: str | None = None, code: str | None = None
    ) -> list[str]:
        """Keys of the rows that `retry` would try; it raises what that does."""
        sync = self._books.syncs.get(name)
        found = self._chosen(name, keys, text, code, lambda one: one.code == _NO_KEY)
        chosen = list(itertools.islice(found, _MOST_KEYS + 1))
        if len(chosen) > _MOST_KEYS or sum(map(len, chosen)) > _MOST_TEXT:
            raise ConfigError(
                "rejects_too_many",
                f"A run can be asked for {_MOST_KEYS:,} rows, with {_MOST_TEXT:,} characters in their keys.",
                hint=f"Have all tried again, with what has changed: {telling.of(sync, 'run')}. Or choose "
                "less: --key, --code, --text.",
            )
        return chosen

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
        return sum(1 for _ in self._chosen(name, keys, text, code, _has_no_key_of_its_own))

    def drop(self, name: str, *, keys: Sequence[str] = (), text: str | None = None, code: str | None = None) -> int:
        """Give rows up as they are: they are sent when they have changed. Gives how many it were. Those that cannot be
        delivered for their keys are left out of all: there is nothing to give up.

        Raises
        ------
        ConfigError
            Neither keys nor anything else says which; or those that were chosen cannot be delivered for their keys.
        NotFoundError
            There is no row of such a key.
        """
        self.assert_chosen(keys=keys, text=text, code=code)
        sync = self._books.syncs.get(name)
        number = 0
        with self._planner(sync) as planner:
            chosen = self._chosen(sync.name, keys, text, code, _has_no_key_of_its_own)
            for batch in _batches(list(chosen)):
                planner.drop(map(key_of, batch))
                number += self._books.rejects.forget(sync.id, batch)
        return number

    def adopt(self, name: str, keys: Collection[str]) -> None:
        """Rows of these keys, as they are listed, were brought otherwise: as they were refused, they count as
        delivered. They are updated when they change, and deleted when they go. May be repeated."""
        sync = self._books.syncs.get(name)
        with self._planner(sync) as planner:
            planner.adopt(map(key_of, keys))
        self._books.rejects.forget(sync.id, keys)

    @contextlib.contextmanager
    def _planner(self, sync: Sync) -> Iterator[Planner]:
        """What keeps the state of its rows."""
        model = self._books.models.by_id(sync.model_id)
        connection = self._books.connections.by_id(model.connection_id)
        source = self._books.sources.of(connection)
        with self._parts.client(connection, source) as client:
            yield self._parts.planner(client, source, sync)

    @staticmethod
    def assert_chosen(*, keys: Sequence[str] = (), text: str | None = None, code: str | None = None) -> None:
        """Raise ConfigError if nothing says which rows."""
        if not keys and text is None and code is None:
            raise ConfigError("rejects_which", "Nothing says which rows.", hint="Give --key, --code, --text or --all.")

    def _chosen(
        self,
        name: str,
        keys: Sequence[str],
        text: str | None,
        code: str | None,
        is_out: Callable[[Reject], bool],
    ) -> Iterator[str]:
        """Keys of the rows, as they are listed. `is_out`: whether nothing can be done with one: it is left out of all,
        and refused if it was chosen."""
        left_out, number = None, 0
        for one in self._named(name, keys, text, code):
            if not is_out(one):
                number += 1
                yield one.key
            elif keys:
                raise _cannot(self._books.syncs.get(name), one)
            else:
                left_out = one
        if left_out is not None and not number and (text or code):
            raise _cannot(self._books.syncs.get(name), left_out)

    def _named(self, name: str, keys: Sequence[str], text: str | None, code: str | None) -> Iterator[Reject]:
        if not keys:
            yield from self.find(name, text=text or None, code=code)
            return
        sync = self._books.syncs.get(name)
        known = {one.key: one for one in self._books.rejects.known(sync.id, keys)}
        if missing := [key for key in keys if key not in known]:
            raise NotFoundError(
                "row_unknown",
                f"No row that was not delivered has the key {', '.join(map(repr, missing[:3]))}.",
                hint=f"See which there are: {telling.of(sync, 'rejects list')}",
            )
        found = self.find(sync.name, text=text or None, code=code) if text is not None or code is not None else None
        among = None if found is None else {one.key for one in found}
        yield from (one for key, one in known.items() if among is None or key in among)


def _cannot(sync: Sync, one: Reject) -> ConfigError:
    return ConfigError(
        "row_key",
        f"The row {one.key!r} cannot be delivered for its key ({one.code}): it is neither tried again nor given up.",
        hint=f"Mend the model: {telling.of(sync, 'run')} then delivers it.",
    )


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))


def _has_no_key_of_its_own(one: Reject) -> bool:
    """Whether it cannot be delivered for its key: there is nothing to give up."""
    return one.status == "invalid"
