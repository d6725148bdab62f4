"""What a user can do with events: load files, look, count, mend what was refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tidemill.errors import ConfigError, RowError
from tidemill.events import joined, maintenance, opening, queries
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event, Format, settle_uuid
from tidemill.events.formats.generic import Mapping
from tidemill.events.lake import Lake, Place
from tidemill.events.load import DEFAULT_TEAM, Loading, LoadProgress, Result
from tidemill.events.parse import Refused, columns_of, row_of, to_arrow
from tidemill.paging import Page, Wanted
from tidemill.settings import Settings

_PAGE = 500
#: So many rejects are read again at once.
_AGAIN = 50


class Loads(Protocol):
    """The repository of loads, as far as it is needed here."""

    def begin(self, file_key: str, **fields: Any) -> Any:
        """The load of that file, new or known."""

    def get(self, file_key: str) -> Any:
        """The load of that file, or None."""

    def add(self, file_key: str, *, rows: int, duplicates: int, rejects: int) -> None:
        """Count."""

    def complete(self, file_key: str) -> None:
        """The file is in."""


class Rejects(Protocol):
    """The repository of rejects, as far as it is needed here."""

    def add(self, items: Sequence[dict[str, Any]]) -> int:
        """Save them; tells how many were new."""

    def find(
        self, *, kind: str, code: str | None = None, source: str | None = None, limit: int | None = None, after: int = 0
    ) -> list[Any]:
        """Unresolved ones."""

    def page_of_loads(self, code: str | None, wanted: Wanted) -> Page[Any]:
        """Unresolved ones of files and SDKs, by pages, newest first."""

    def resolve(self, ids: Sequence[int]) -> None:
        """They were taken in, or are not wanted: list them no longer."""


@dataclasses.dataclass(frozen=True)
class Retried:
    """What came of trying rejects again."""

    rows: int
    duplicates: int
    rejects: int


def _quiet(_: LoadProgress) -> None:
    return None


class EventService:
    """Events and rejects."""

    def __init__(self, settings: Settings, lake: Lake, loads: Loads, rejects: Rejects) -> None:
        self._settings, self._lake, self._loads, self._rejects = settings, lake, loads, rejects

    def load(
        self,
        file: str,
        format_name: str = "auto",
        *,
        team_id: int | None = None,
        mapping: dict[str, str] | None = None,
        progress: Callable[[LoadProgress], None] = _quiet,
        name: str | None = None,
    ) -> Result:
        """Load one file; `-` is standard input. Only what the store does not hold yet is added. `name`: as it is
        called, if that is not its path.

        Raises
        ------
        ConfigError
            The file or its format cannot be read.
        """
        source = opening.open_source(file, self._settings.spool_path)
        source = dataclasses.replace(source, name=name or source.name)
        try:
            given = Mapping.of(mapping or {})
            loading = Loading(self._settings, self._lake, source, format_name, team_id, given, self._refuse)
            load = self._loads.begin(
                loading.key,
                file=source.name,
                format=format_name,
                team_id=DEFAULT_TEAM if team_id is None else team_id,
                team_given=team_id is not None,
                content_key=source.key,
                mapping=given.model_dump(exclude_none=True),
                bytes=source.size,
            )
            if load.status == "completed":
                return Result(source.name, load.format, 0, 0, 0, 0.0, already_loaded=True)
            result = _naming(source.name, lambda: loading.run(progress))
            self._loads.add(loading.key, rows=result.rows, duplicates=result.duplicates, rejects=result.rejects)
            self._loads.complete(loading.key)
        finally:
            if file == "-":
                source.path.unlink(missing_ok=True)
        maintenance.tidy(self._lake)
        return result

    def captured(self, api: str, team_id: int) -> str:
        """Under what it is kept of events that were sent to an API, and could not be taken: they can be tried again,
        as those of a file."""
        key = f"capture:{api}:{team_id}"
        self._loads.begin(
            key,
            file=f"sent by {api}",
            format=api,
            team_id=team_id,
            team_given=True,
            content_key=key,
            mapping={},
            bytes=0,
        )
        return key

    def _refuse(self, file_key: str, refused: Sequence[Refused]) -> int:
        rows = [{"source": file_key, "kind": "load", **dataclasses.asdict(item)} for item in refused]
        return self._rejects.add(rows)

    def show(self, *, limit: int = 10, **which: Any) -> list[dict[str, Any]]:
        """The newest events; `which`: fields of queries.Filter."""
        return queries.show(self._lake, queries.Filter(**which), limit)

    def page(self, wanted: Wanted, **which: Any) -> Page[dict[str, Any]]:
        """Events by pages, those that came last first; `which`: fields of queries.Filter."""
        return queries.arrived(self._lake, queries.Filter(**which), wanted)

    def timeline(
        self, *, days: int, by: str = "day", names: int = 4, **which: Any
    ) -> list[tuple[dt.datetime, str | None, int]]:
        """Numbers of events of the last days by hour or day, and by name; see queries.timeline.

        Raises
        ------
        ConfigError
            `by` is neither.
        """
        if by not in {"hour", "day"}:
            raise ConfigError("timeline_by", f"There is no timeline by {by!r}.", hint="By hour, or by day.")
        after = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
        return queries.timeline(self._lake, queries.Filter(**which), after, by, names)

    def rejects_page(self, wanted: Wanted, *, code: str | None = None) -> Page[Any]:
        """What was set aside by pages, newest first."""
        return self._rejects.page_of_loads(code, wanted)

    def count(self, *, by: str | None = None, **which: Any) -> list[tuple[Any, int]]:
        """Numbers of events; see queries.count."""
        return queries.count(self._lake, by, queries.Filter(**which))

    def compact(self) -> maintenance.Compacted:
        """Join small files; see maintenance."""
        return maintenance.compact(self._lake)

    def rejects(self, *, code: str | None = None, limit: int = 50) -> list[Any]:
        """What was set aside, newest first."""
        return self._rejects.find(kind="load", code=code, limit=limit)

    def export_rejects(self, out: Path, *, code: str | None = None) -> int:
        """Write the texts that were set aside to a file, one a line. Gives their number."""
        number = 0
        with out.open("wb") as file:
            for number, line in enumerate(self.reject_lines(code=code), 1):  # noqa: B007 - it is how many
                file.write(line)
        return number

    def reject_lines(self, *, code: str | None = None) -> Iterator[bytes]:
        """The texts that were set aside, one a line, as they are read."""
        after = 0
        while page := self._rejects.find(kind="load", code=code, limit=_PAGE, after=after or -1):
            yield from (reject.raw.replace(b"\n", b" ") + b"\n" for reject in page)
            after = page[-1].id

    def dismiss_rejects(self, *, code: str | None = None, ids: Sequence[int] = ()) -> int:
        """List these no longer: those with a code, with these ids, or, without either, all. Gives their number."""
        dismissed = after = 0
        while page := self._rejects.find(kind="load", code=code, limit=_PAGE, after=after or -1):
            after = page[-1].id
            wanted = [reject.id for reject in page if not ids or reject.id in ids]
            self._rejects.resolve(wanted)
            dismissed += len(wanted)
        return dismissed

    def retry_rejects(self, *, code: str | None = None, mapping: dict[str, str] | None = None) -> Retried:
        """Read the texts that were set aside once more; what can be taken now is added and no longer listed. Of records
        that were set aside together, those that cannot be taken are set aside anew."""
        given = Mapping.of(mapping or {})
        rows = duplicates = left = after = 0
        while page := self._rejects.find(kind="load", code=code, limit=_AGAIN, after=after or -1):
            after = page[-1].id
            for group in _groups(page):
                events, resolved = self._taken(group, given)
                left += len(group) - len(resolved)
                if events:
                    place = Place(f"rejects-{resolved[0]}-{resolved[-1]}-{len(resolved)}", group[-1].id)
                    columns = columns_of([row_of(event) for event in events])
                    prepared = self._lake.prepare([to_arrow(columns, len(events), DEFAULT_TEAM)])
                    appended = self._lake.append(prepared, place)
                    rows, duplicates = rows + appended.rows, duplicates + appended.duplicates
                if resolved:
                    self._rejects.resolve(resolved)
        return Retried(rows, duplicates, left)

    def _taken(self, group: Sequence[Any], mapping: Mapping) -> tuple[list[Event], list[int]]:
        """The events of some rejects, and the ids of those of which there are any."""
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1_000_000)
        events: list[Event] = []
        resolved: list[int] = []
        for reject in group:
            load = self._loads.get(reject.source)
            if not reject.whole or load is None:
                continue
            told = mapping if mapping.model_dump(exclude_none=True) else Mapping.of(load.mapping)
            try:
                chosen, _, _ = registry.get(_row_format(load.format), told, reject.raw, rows=None)
                parsed = [] if reject.code == joined.CODE else chosen.parse(reject.raw, now)
            except (RowError, ConfigError):
                continue
            if reject.code == joined.CODE:
                if found := self._taken_each(reject, load, chosen, now):
                    events += found
                    resolved.append(reject.id)
                continue
            ordinal, _, index = reject.part.partition(".")
            wanted = parsed[int(index) : int(index) + 1] if index else parsed
            taken = [event for event in wanted if isinstance(event, Event)]
            if len(taken) != len(wanted):
                continue
            for number, event in enumerate(taken):
                place = int(index or number)
                if load.team_given or event.team_id is None:
                    event.team_id = load.team_id
                settle_uuid(event, event.team_id, reject.raw, int(ordinal), place, load.content_key)
            events += taken
            resolved.append(reject.id)
        return events, resolved

    def _taken_each(self, reject: Any, load: Any, chosen: Format, now: int) -> list[Event]:
        """The events of records that were set aside together. If there are any, the others are set aside anew."""
        events: list[Event] = []
        left: list[bytes] = []
        records, shared = joined.split(reject.raw)
        for record in records:
            try:
                parsed = chosen.parse(joined.whole(record, shared), now)
            except RowError:
                parsed = []
            found = [event for event in parsed if isinstance(event, Event)]
            if not found or len(found) != len(parsed):
                left.append(record)
                continue
            for number, event in enumerate(found):
                event.team_id = load.team_id
                settle_uuid(event, load.team_id, record, 0, number, load.content_key)
            events += found
        if events and left:  # before the old one is resolved: nothing is lost if this breaks off
            raw = b"".join(raw for raw, _ in joined.join(left, shared))
            part = str(int.from_bytes(hashlib.blake2b(raw, digest_size=7).digest()))
            again = Refused(part, reject.place, joined.CODE, joined.message(len(left)), raw, whole=True)
            self._refuse(reject.source, [again])
        return events


def _groups(page: Sequence[Any]) -> Iterator[list[Any]]:
    """Rejects that are taken together: each that holds many records by itself."""
    for many, found in itertools.groupby(page, lambda reject: reject.code == joined.CODE):
        group = list(found)
        yield from [[reject] for reject in group] if many else [group]


def _naming(file: str, run: Callable[[], Result]) -> Result:
    """The error of a load names the file."""
    try:
        return run()
    except ConfigError as error:
        if file in error.message:
            raise
        raise ConfigError(error.code, f"{file}: {error.message}", hint=error.hint, raw=error.raw) from None


def _row_format(name: str) -> str:
    """The format of a text that was set aside: rows of CSV and Parquet are kept as JSON."""
    return "jsonl" if name in {"csv", "parquet"} else name
