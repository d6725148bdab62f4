"""How long a server asks to wait."""

from __future__ import annotations

import datetime as dt
import email.utils
import math


def seconds(after: str | None) -> float | None:
    """Of a header Retry-After: seconds, or a date."""
    if not after:
        return None
    text = after.strip()
    try:
        found = float(text)
        return max(0.0, found) if math.isfinite(found) else None
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
