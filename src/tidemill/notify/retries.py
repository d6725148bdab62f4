"""When a message that could not be sent is tried again, and when it is given up."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random

from tidemill.errors import RetryableError, TidemillError, UnavailableError
from tidemill.notify.http import REFUSED

#: After this a message is given up: if the trouble lasts, there is a newer one by then.
GIVEN_UP_AFTER = dt.timedelta(days=1)
#: Seconds until the next try of what passes by itself, and of what somebody has to mend; so many times that after each,
#: up to a bound.
_PASSES, _LASTS = (30.0, 2.0, 3600.0), (600.0, 3.0, 6 * 3600.0)
_LONGEST_SECONDS = 6 * 3600.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`pause`: until the next try; None: there is none. `others`: other messages of the channel would fare alike."""

    pause: dt.timedelta | None
    others: bool


def judged(error: TidemillError, tries: int, age: dt.timedelta) -> Verdict:
    """Of an error in that try (1 is the first), of a message that was written so long ago."""
    others = error.code != REFUSED
    left = GIVEN_UP_AFTER - age
    if left <= dt.timedelta():
        return Verdict(None, others)
    passes = isinstance(error, RetryableError | UnavailableError)
    first, factor, most = _PASSES if passes else _LASTS
    seconds = min(first * factor ** min(tries - 1, 20), most) * random.uniform(0.8, 1)  # noqa: S311
    after = min(getattr(error, "after", None) or 0.0, _LONGEST_SECONDS)
    return Verdict(min(dt.timedelta(seconds=max(seconds, after)), left), others)
