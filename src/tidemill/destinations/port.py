"""What a destination is: data about what it takes, and a function from rows to one outcome per row.

From this alone come the flags of the command line, forms, documents and the tests that all destinations pass.

Sources: the parts of a definition are those of Segment's action-destinations (research on reverse ETL, section 3.1);
an outcome for each row is what it lacks, where whatever is not said counts as delivered.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import enum
import hashlib
import re
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import pydantic

from tidemill.errors import TidemillError
from tidemill.outbound.client import Http

#: Of the namespace of ids by which destinations know a row that is sent again.
_IDS = uuid.UUID("5c1b2c1e-0d4f-4c55-9a8e-6f2f3e1d7a90")
#: What no database keeps, and a tool may say all the same: it repeats what a row holds.
_UNKEPT = re.compile("[\\x00\\ud800-\\udfff]")


class Op(enum.StrEnum):
    """What happened to a row of the source model since it was last delivered."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"


class Mode(enum.StrEnum):
    """Which of these are delivered, and as what."""

    INSERT = "insert"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"
    MIRROR = "mirror"

    @property
    def ops(self) -> frozenset[Op]:
        """What is delivered."""
        return _OPS[self]


_OPS = {
    Mode.INSERT: frozenset({Op.ADDED}),
    Mode.UPDATE: frozenset({Op.UPDATED}),
    Mode.UPSERT: frozenset({Op.ADDED, Op.UPDATED}),
    Mode.DELETE: frozenset({Op.DELETED}),
    Mode.MIRROR: frozenset(Op),
}


class Kind(enum.StrEnum):
    """Of a field's value."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATETIME = "datetime"  # ISO 8601 text, or a number of seconds since 1970; the action says what it makes of it
    OBJECT = "object"
    ANY = "any"


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of what an action sends.

    `multiple`: a list of such values. `mapping`: what is proposed for it, in the mapping language. `names`: columns
    that are proposed for it, if the model has one. `longest`: characters, of a text. `personal`: an id, address or
    number of a person, which is blotted out in samples. `on_delete`: needed to delete a row, of which only the key is
    known. `also`: names that it has in mappings of Segment's. `spread`: an object whose members stand for fields of
    their names, as mappings of Segment's have it.
    """

    name: str
    title: str
    description: str
    kind: Kind = Kind.STRING
    required: bool = False
    multiple: bool = False
    mapping: Any = dataclasses.field(default=None, hash=False)  # an object, mostly
    names: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    longest: int | None = None
    personal: bool = False
    on_delete: bool = False
    also: tuple[str, ...] = ()
    spread: bool = False


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one call: rows, bytes of its body, and bytes of one row, encoded. `at_once`: calls of a run side by side."""

    rows: int = 1
    bytes: int = 4_000_000
    row_bytes: int = 1_000_000
    at_once: int = 4


@dataclasses.dataclass(frozen=True)
class Pace:
    """What an account of the destination allows, for all workers together: requests and rows in any stretch of so many
    seconds, and batches at once. None: as many as come, until it asks to be left alone for a time (Retry-After), which
    all workers do. `lanes`: what is allowed apart of requests of a kind, by the name that they are made with (see
    Http.request)."""

    calls: int | None = None
    rows: int | None = None
    seconds: float = 1.0
    at_once: int | None = None
    lanes: Mapping[str, Pace] = dataclasses.field(default_factory=dict, hash=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A row on its way. `row_key`: of the source model, as text. `identity`: the same each time that this version of
    the row is sent by this sync: by it a destination knows it again. `fields`: mapped and checked; of a deleted row,
    those that are made of the key. `mode`: what the sync does. `tried`: an earlier run may have sent this version."""

    row_key: str
    identity: str
    op: Op
    mode: Mode
    fields: Mapping[str, Any]
    tried: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Sending:
    """A record and its encoded form, which goes into the body of a call as it is."""

    record: Record
    body: bytes


class Status(enum.StrEnum):
    """What became of a row."""

    WRITTEN = "written"
    REJECTED = "rejected"
    RETRY = "retry"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Of one row. `after`: seconds to wait before it is tried again; if they are more than a minute, it comes with the
    next run, whenever that is. `unsure`: it may be there all the same. `here`: it was refused before it was sent."""

    status: Status
    code: str = ""
    message: str = ""
    after: float | None = None
    unsure: bool = False
    here: bool = False


WRITTEN = Outcome(Status.WRITTEN)


def rejected(code: str, message: str) -> Outcome:
    """A row that the destination will not take as it is."""
    return Outcome(Status.REJECTED, code, _UNKEPT.sub(" ", message))


def again(code: str, message: str, after: float | None = None, *, unsure: bool = False) -> Outcome:
    """A row that may be taken later, as it is."""
    return Outcome(Status.RETRY, code, _UNKEPT.sub(" ", message), after, unsure)


class BatchRefused(TidemillError):  # noqa: N818 - the batch was refused: what follows is that it is halved
    """The destination refused a whole call for what is in it, and did not say for which row: nothing of it is there."""

    exit_code = 6


class SomeRefused(BatchRefused):
    """Likewise, but of the call's rows some are there, and it is not known which. It is halved, too: so this is for
    tools alone that know a row again. Others give outcomes that are unsure."""


class Partly(Exception):  # noqa: N818 - the error is its cause
    """A delivery of several requests ended amid them, by the error that is its cause. See Progress."""

    def __init__(self, outcomes: Mapping[int, Outcome], *, unsure: bool) -> None:
        super().__init__()
        self.outcomes, self.unsure = outcomes, unsure


class Progress:
    """How far a delivery of several requests is: what it knows is told also if it ends by an error.

    `outcomes`: of rows that are not to be sent again, by their places in the batch; `unsure`: whether others may have
    been taken.
    """

    def __init__(self, outcomes: Mapping[int, Outcome] | None = None) -> None:
        self.outcomes, self.unsure = dict(outcomes or {}), False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None and (self.outcomes or self.unsure):
            raise Partly(self.outcomes, unsure=self.unsure) from error


@dataclasses.dataclass(frozen=True)
class Outlet:
    """What a client works with. `sleep` waits so many seconds, and raises Cancelled when it is to stop."""

    http: Http
    sleep: Callable[[float], None]


class Client(Protocol):
    """A destination, signed in; made by `Destination.open`. May be used by several threads."""

    def test(self) -> str:
        """Say who the credential is, having asked the destination, if it can be asked without changing anything.

        Raises
        ------
        TidemillError
            What is wrong, and what to do.
        """


class Send(Protocol):
    """Delivers one batch: gives one outcome per sending, in order. One that makes several requests keeps its Progress.

    Raises
    ------
    BatchRefused
        The call was refused for its contents, and it is not known for which row. It is halved.
    SomeRefused
        Rows of it were refused, and it is not known which. It is halved, with the same identities.
    RetryableError, UnavailableError
        The call may pass later; with the second it may have passed. It is tried again, with the same identities.
    AccessError, ConfigError
        Nothing can be delivered until somebody does something: the run stops.
    """

    def __call__(self, client: Any, batch: Sequence[Sending], /) -> Sequence[Outcome]:
        """See the class."""


def _no_complaint(_: Record) -> Outcome | None:
    return None


def _together(_: Record) -> Hashable:
    return None


@dataclasses.dataclass(frozen=True)
class Action:
    """One thing that a destination can do with rows.

    `fields`: what a mapping may name; with `more`, any other name, too. `modes`: what it can be used for; the first is
    proposed, and deletes nothing if there is another. `check`: what is wrong with a record, beyond its fields, where
    the API would drop it without a word. `group`: records that may share a call give the same; `distinct`: two that
    give the same may not share one (None: any two may). `encode`: the form in which it goes into a call.
    """

    name: str
    title: str
    description: str
    fields: tuple[Field, ...]
    modes: tuple[Mode, ...]
    limits: Limits
    encode: Callable[[Record], bytes]
    send: Send
    more: bool = False
    check: Callable[[Record], Outcome | None] = _no_complaint
    group: Callable[[Record], Hashable] = _together
    distinct: Callable[[Record], Hashable] | None = None


class Settings(pydantic.BaseModel, abc.ABC):
    """What a user says of an account; fields that are SecretStr are encrypted and never shown."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    #: Names of secrets that no server is ever sent: something is signed by them.
    unsent: ClassVar[frozenset[str]] = frozenset()

    @property
    @abc.abstractmethod
    def account(self) -> str:
        """A name of what it signs in as, without a secret: limits of an account are kept by it."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no error and no log may hold."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in found if isinstance(value, pydantic.SecretStr))


@dataclasses.dataclass(frozen=True)
class Destination:
    """A tool. `page`: the vendor's own documentation. `pace`: what its account allows, by the settings."""

    name: str
    title: str
    description: str
    page: str
    settings: type[Settings]
    actions: tuple[Action, ...]
    open: Callable[[Any, Outlet], contextlib.AbstractContextManager[Client]]
    pace: Callable[[Any], Pace] = lambda _: Pace()

    def action(self, name: str) -> Action:
        """The action of that name.

        Raises
        ------
        NotFoundError
            It has none.
        """
        from tidemill.errors import NotFoundError

        for action in self.actions:
            if action.name == name:
                return action
        raise NotFoundError(
            "action_unknown",
            f"{self.title} has no action {name!r}.",
            hint=f"It has: {', '.join(action.name for action in self.actions)}.",
        )


def fingerprint(secret: pydantic.SecretStr) -> str:
    """A name for an account of which nothing is known but a secret; it tells nothing of the secret."""
    return hashlib.sha256(b"tidemill account\x1f" + secret.get_secret_value().encode()).hexdigest()[:12]


def identity(sync: str, row_key: str, row_hash: str, op: Op) -> str:
    """The id by which a destination knows a version of a row: a UUID as text, the same each time it is sent."""
    return str(uuid.uuid5(_IDS, "\x1f".join((sync, op, row_key, row_hash))))
