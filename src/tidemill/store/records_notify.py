"""Records of notifications: what is wrong, whom to tell, and what became of that."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from typing import Any

#: The kind of a message that says that something is over.
RECOVERED = "recovered"


class Cause(enum.StrEnum):
    """What people are told of."""

    FAILED = "failed"  # a run of a schedule
    PAUSED = "paused"  # what failed again and again
    OVERDUE = "overdue"  # what should have been begun, and was not
    MISSING = "missing"  # an interval that no run was made for
    REJECTS = "rejects"  # rows that were set aside or refused, above a share
    STREAM = "stream"  # that stands still
    DEVIATION = "deviation"  # more or fewer rows than a sync has to deliver mostly


@dataclasses.dataclass(frozen=True)
class Alarm:
    """Something that people are to be told of an export or a sync. `hint`: what to do; `then`: what happens next by
    itself; `commands`: of which some may be useful; `patience`: it is told if it has lasted for so long.
    """

    cause: Cause
    code: str
    message: str
    hint: str
    then: str
    commands: tuple[str, ...] = ()
    permission: str | None = None
    patience: dt.timedelta = dt.timedelta()


@dataclasses.dataclass(frozen=True)
class Trouble:
    """The last one of a cause with an export or a sync, of which `export_id` is. `told_at`: when that was last told, of
    this trouble or of one before, by the message `notice_id`. `over_at`: None while it lasts. `facts`: what was seen
    last.
    """

    export_id: uuid.UUID
    cause: str
    began_at: dt.datetime
    seen_at: dt.datetime
    told_at: dt.datetime | None
    notice_id: uuid.UUID | None
    over_at: dt.datetime | None
    facts: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Channel:
    """By which people are told. `address`: where messages go, as it may be shown; `settings`: what else may be shown;
    `secret`: a JSON object, encrypted; `causes`, `exports` (and syncs): of which it is told, None: of all. `error`:
    code, message and hint of why its last try failed.
    """

    id: uuid.UUID
    name: str
    kind: str
    address: str
    settings: dict[str, Any]
    secret: bytes | None = dataclasses.field(repr=False)
    causes: list[str] | None
    exports: list[uuid.UUID] | None
    made_at: dt.datetime
    made_by: str
    lease: uuid.UUID | None
    leased_until: dt.datetime | None
    sent_at: dt.datetime | None
    failing_since: dt.datetime | None
    error: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class Delivery:
    """A message, and what became of it by a channel. `left`: who has not got it yet; None: nobody has. `age`: since the
    message was written.
    """

    number: int
    notice_id: uuid.UUID
    kind: str
    facts: dict[str, Any]
    created_at: dt.datetime
    age: dt.timedelta
    due_at: dt.datetime
    tries: int
    left: list[str] | None
    error: dict[str, str] | None
    sent_at: dt.datetime | None
    given_up_at: dt.datetime | None
