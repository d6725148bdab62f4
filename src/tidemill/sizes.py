"""Numbers of bytes, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from tidemill.errors import ConfigError

_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
#: What a column of PostgreSQL and a number of BigQuery's API hold.
_MOST = 2**63 - 1


def parse_bytes(text: str) -> int | None:
    """``500 MB``, ``2.5GB``, ``1TB`` (1 GB is 1,000,000,000 bytes), or ``none``.

    Raises
    ------
    ConfigError
        If it is none of these, or more than 2**63 - 1 bytes.
    """
    given = text.strip().upper()
    if given == "NONE":
        return None
    found = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]{1,6})?)\s*([KMGT]?B?)", given)
    unit = _UNITS.get(found[2]) if found else None
    if not found or unit is None:
        raise ConfigError("bytes", f"{text!r} is no number of bytes.", hint="Write 500MB, 20GB or 1TB; or 'none'.")
    count = int(Decimal(found[1]) * unit)
    if count > _MOST:
        raise ConfigError("bytes", f"{text!r} is more than can be counted.", hint="Write 'none' for no limit.")
    return count
