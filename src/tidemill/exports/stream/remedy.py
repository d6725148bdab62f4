"""What to do about an append that is not in the table: by the answers alone."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from tidemill.bigquery.write_outcomes import Appended, BadRows, Failed, Outcome
from tidemill.errors import RetryableError


class Remedy(enum.Enum):
    """See `of`."""

    SET_ASIDE = enum.auto()  #: the rows that are named; the others move up
    AGAIN = enum.auto()  #: the same, at the same offset
    GIVE_UP = enum.auto()  #: the error says what is to be done first
    REPLACE = enum.auto()  #: the write stream is ended, which tells what is in it; and another one is begun


def of(first: Outcome, later: Sequence[Outcome], *, doubtful: bool) -> Remedy:
    """What to do about the first append that is not in.

    ============================  =========================  ===========
    answer to the first           others                     remedy
    ============================  =========================  ===========
    `BadRows`                     none is in, none doubtful  `SET_ASIDE`
    `Failed`, may be tried again  none is in                 `AGAIN`
    `Failed`, for good            whatever they are          `GIVE_UP`
    anything else                 whatever they are          `REPLACE`
    ============================  =========================  ===========

    `later`: the answers to others; nothing can be behind what is not in, so one that is in is odd. `doubtful`: others
    may have been taken, or may come late, to the offset that they were meant for: who moves up must not be there.
    What fails because of the table's schema goes on with the columns that the table has now, on another write stream.
    """
    odd = any(isinstance(one, Appended) for one in later)
    match first:
        case BadRows() if not odd and not doubtful:
            return Remedy.SET_ASIDE
        case Failed(error, "") if isinstance(error, RetryableError) and not odd:
            return Remedy.AGAIN
        case Failed(error, reason) if not isinstance(error, RetryableError) and not reason.startswith("SCHEMA"):
            return Remedy.GIVE_UP
    return Remedy.REPLACE
