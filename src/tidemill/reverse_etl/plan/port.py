"""What a plan is asked for, and what it gives. There are two: in the warehouse, and for sources that may only be
read."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, overload

from tidemill.destinations.port import Op
from tidemill.reverse_etl.spec import Extraction, Order

#: Rows of a piece, or bytes of rows that are large, roughly: it is read and kept in memory as a whole, and so many more
#: beside it, each by a stream of its own: to begin one takes as long as some thousand rows.
PIECE_ROWS, PIECE_BYTES, READS_AHEAD = 20_000, 16 * 1024 * 1024, 3
#: Rows that cannot be delivered, of which that many are kept.
MOST_INVALID = 1_000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is planned.

    `number`: of the run among those of its sync; `since`: the number of the run that is said to have tried first what
    this one is the first to send; None: its own. `sql`: the model, one SELECT without a semicolon. `columns`: those
    that are mapped, by which a row is hashed, sorted. `delivers`: what the mode delivers; other changes are noted in
    the state without leaving the warehouse. `leaves`: rows that were delivered count as delivered as they are now; new
    ones are sent, and such as were not taken. `position`: of the cursor, up to which rows were seen; None: the first
    time; `cursor_unit`: what a number of it counts since 1970, seconds or milliseconds; None: it is no time;
    `cursor_overlap`: so far back from the position rows are looked at, see SyncSpec. `written`: what became of the rows
    is written down in the warehouse, which needs those that were not acknowledged there. `only`: keys of the rows that
    are looked at, wherever their cursors are; None: all. `order`: the pieces are in order of that time; None: in any.
    """

    sync: uuid.UUID
    run: uuid.UUID
    number: int
    sql: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    delivers: frozenset[Op]
    leaves: bool = False
    extraction: Extraction = Extraction.DIFF
    cursor: str | None = None
    position: str | None = None
    cursor_unit: str | None = None
    cursor_overlap: int = 0
    max_bytes_billed: int | None = None
    piece_rows: int = PIECE_ROWS
    piece_bytes: int = PIECE_BYTES
    written: bool = False
    since: int | None = None
    only: tuple[str, ...] | None = None
    order: Order | None = None

    @property
    def first_tried(self) -> int:
        """The number by which new versions are known."""
        return self.number if self.since is None else self.since


@dataclasses.dataclass(frozen=True)
class Piece:
    """Rows of a plan that are delivered together: those whose buckets are from `first` to `last`."""

    number: int
    first: int
    last: int
    rows: int


@dataclasses.dataclass(frozen=True)
class Counts:
    """Rows of a model, by what became of them since they were delivered. `retried`: of those that are to be delivered,
    how many were tried before; of these, `retried_updated` and `retried_deleted` are of those kinds, and the others
    added. `dropped`: that somebody gave up, as they are. `invalid_future`: whose cursors are yet to come."""

    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    retried: int = 0
    dropped: int = 0
    invalid_null: int = 0
    invalid_duplicate: int = 0
    invalid_cursor: int = 0
    invalid_future: int = 0
    retried_updated: int = 0
    retried_deleted: int = 0

    @property
    def invalid(self) -> int:
        """Those that cannot be delivered."""
        return self.invalid_null + self.invalid_duplicate + self.invalid_cursor + self.invalid_future


@dataclasses.dataclass(frozen=True)
class Planned:
    """A plan. `known`: rows in the state before it. `upto`: the greatest value of the cursor."""

    counts: Counts
    pieces: tuple[Piece, ...]
    known: int
    bytes_billed: int
    upto: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRow:
    """A row that is to be delivered. `hash`: of a deleted row that of its last version. `since`: the number of the run
    that tried this version first. `row`: its columns as JSON has them; of a deleted row those of the key."""

    key: str
    hash: str
    op: Op
    since: int
    row: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRows(Sequence[PlanRow]):
    """Rows that are to be delivered, by key, as columns: who takes them in goes through these, others through rows.
    `of_key`: the columns of the key of a row, of its text."""

    keys: Sequence[str]
    hashes: Sequence[str]
    ops: Sequence[Op]
    since: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    of_key: Callable[[str], dict[str, Any]] = dataclasses.field(compare=False)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[PlanRow]:
        names = tuple(self.columns)
        contents = zip(*self.columns.values(), strict=True) if names else itertools.repeat(())
        for key, hashed, op, since, values in zip(self.keys, self.hashes, self.ops, self.since, contents, strict=False):
            content = self.of_key(key) if op is Op.DELETED else dict(zip(names, values, strict=True))
            yield PlanRow(key, hashed, op, since, content)

    @overload
    def __getitem__(self, place: int) -> PlanRow: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PlanRow]: ...
    def __getitem__(self, place: int | slice) -> PlanRow | Sequence[PlanRow]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        key, op = self.keys[place], self.ops[place]
        if op is Op.DELETED:
            content = self.of_key(key)
        else:
            content = {name: column[place] for name, column in self.columns.items()}
        return PlanRow(key, self.hashes[place], op, self.since[place], content)


@dataclasses.dataclass(frozen=True, slots=True)
class InvalidRow:
    """Rows of a model that cannot be delivered. `key`: None if they have none; `code`: key_null, key_duplicate,
    cursor_null or cursor_future; `count`: how many rows it stands for; `hash`, `row`: of one of them; no row if it is
    too large."""

    key: str | None
    code: str
    hash: str
    count: int
    row: dict[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A row of a plan that was not acknowledged. `status`: rejected, retry, or unsent. `unsure`: it may be there."""

    key: str
    status: str
    code: str = ""
    unsure: bool = False
    message: str = ""


class Planner(Protocol):
    """Plans runs of one sync. What it is asked may be asked again, with the same effect: a process may die in
    between."""

    def fingerprint(self, wanted: Wanted) -> str | None:
        """How the model and its tables are, as a text: as long as it is the same, nothing has changed. None if that
        cannot be known."""

    def billed(self) -> int:
        """Bytes that all statements were billed for since it was asked last; those of a plan are told with it."""

    def plan(self, wanted: Wanted) -> Planned:
        """Make the plan of a run, or find it.

        Raises
        ------
        TidemillError
            The statement is wrong, too expensive, or not allowed.
        """

    def remembers(self) -> bool:
        """Whether what was delivered is still known: False before the first plan, and if somebody has deleted it."""

    def rows(self, wanted: Wanted, piece: Piece) -> PlanRows:
        """The rows of a piece, by key: the same in the same order each time."""

    def samples(self, wanted: Wanted, op: Op, limit: int, *, at_random: bool = False) -> Sequence[PlanRow]:
        """Some rows that are to be delivered as that, by key: the first, or any."""

    def invalid(self, wanted: Wanted, limit: int) -> list[InvalidRow]:
        """Some of the rows that cannot be delivered, MOST_INVALID at most."""

    def commit(self, wanted: Wanted, unacknowledged: Iterable[Unacknowledged], pieces: Iterable[Piece]) -> str | None:
        """Remember what was acknowledged: of pieces that were gone through all rows but `unacknowledged`. What is noted
        only is remembered, too. Gives the name of the table in the warehouse that has these rows, if there is one."""

    def commit_bytes(self, wanted: Wanted, pieces: Iterable[Piece]) -> int:
        """Bytes that the commit would read, if these pieces were delivered."""

    def clean(self, wanted: Wanted) -> None:
        """Remove what the plan needed."""

    def resend(self) -> None:
        """All rows count as changed."""

    def forget(self) -> None:
        """Nothing was ever delivered."""

    def remove(self) -> None:
        """The sync is no more: remove what was delivered, and what of it lies here."""

    def drop(self, keys: Iterable[str]) -> int:
        """Give up rows that were not taken, as they are now: they are planned again when they change. How many it
        were."""

    def adopt(self, keys: Iterable[str]) -> int:
        """Rows that were not taken count as delivered, as they were then: somebody has brought them otherwise. Those
        that are gone stay as they are. How many it were."""
