"""What statements are billed for, and what that costs."""

from __future__ import annotations

from tidemill.reverse_etl.spec import MIN_BYTES_BILLED

_TIB = 2**40


def billed(bytes_read: int, tables: int) -> int:
    """Bytes that a statement is billed for, about: at least so many for a table that is read ("Pricing")."""
    return max(bytes_read, MIN_BYTES_BILLED * max(tables, 1)) if bytes_read else 0


def dollars(bytes_billed: int, price: float) -> float:
    """What they cost. `price`: of a TiB."""
    return round(bytes_billed / _TIB * price, 6)
