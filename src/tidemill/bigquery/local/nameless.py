"""Columns of a SELECT that have no name: BigQuery calls them f0_, f1_, …, and DuckDB by what they are made of."""

from __future__ import annotations

from typing import Any


def rename(sql: str, fields: list[dict[str, Any]]) -> None:
    """Give the columns of a statement that have no name those of BigQuery. Between two stars none is known."""
    numbers = _numbers(sql, len(fields))
    for number, place in enumerate(numbers):
        fields[place]["name"] = f"f{number}_"


def _numbers(sql: str, columns: int) -> list[int]:
    """The places of such columns, in order."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, dialect="bigquery")
    except sqlglot.errors.SqlglotError:
        return []
    chosen = tree.selects if isinstance(tree, exp.Query) else []
    first = next((place for place, one in enumerate(chosen) if one.is_star), len(chosen))
    last = next((place for place, one in enumerate(reversed(chosen)) if one.is_star), 0)
    known = [(place, one) for place, one in enumerate(chosen[:first])]
    if first < len(chosen):
        known += [(columns - last + place, one) for place, one in enumerate(chosen[len(chosen) - last :])]
    named = exp.Alias | exp.Column | exp.Dot
    return [place for place, one in known if not isinstance(one, named) and 0 <= place < columns]
