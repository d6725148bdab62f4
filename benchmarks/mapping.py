"""How fast a mapping is applied, against a function written by hand: `python benchmarks/mapping.py`.

Ten fields, as a sync of people has them: eight paths, one of them nested, a template, and a text in lower case. Both run on
one core, in turns; the best of five rounds counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tidemill.reverse_etl import mapping

ROWS, ROUNDS = 100_000, 5
LEAST = 100_000  # rows a second
PASTED: dict[str, Any] = {
    "external_id": {"@path": "$.id"},
    "email": {"@case": {"operator": "lower", "value": {"@path": "$.email"}}},
    "name": {"@template": "{{first_name}} {{last_name}}"},
    "first_name": {"@path": "$.first_name"},
    "last_name": {"@path": "$.last_name"},
    "city": {"@path": "$.address.city"},
    "plan": {"@path": "$.properties.plan"},
    "created_at": {"@path": "$.created_at"},
    "seats": {"@path": "$.seats"},
    "score": {"@path": "$.score"},
}


def by_hand(row: dict[str, Any]) -> dict[str, Any]:
    """The same, as somebody would write it for these rows."""
    found: dict[str, Any] = {}
    for field, column in (
        ("external_id", "id"),
        ("first_name", "first_name"),
        ("last_name", "last_name"),
        ("plan", "plan"),
        ("created_at", "created_at"),
        ("seats", "seats"),
        ("score", "score"),
    ):
        if column in row:
            found[field] = row[column]
    found["email"] = row["email"].lower()
    found["name"] = f"{row['first_name']} {row['last_name']}"
    found["city"] = row["address"]["city"]
    return found


def rows() -> list[dict[str, Any]]:
    """People."""
    return [
        {
            "id": number,
            "email": f"User{number}@Example.com",
            "first_name": "Ana",
            "last_name": f"Nowak {number}",
            "address": {"city": "Linz", "zip": "4020"},
            "plan": "pro",
            "created_at": "2024-02-29T12:00:00Z",
            "seats": number % 50,
            "score": number / 7,
        }
        for number in range(ROWS)
    ]


def seconds(change: Callable[[dict[str, Any]], dict[str, Any]], given: list[dict[str, Any]]) -> float:
    """What it takes for all of them, of a core."""
    began = time.process_time()
    for row in given:
        change(row)
    return time.process_time() - began


def main() -> None:
    given = rows()
    made = mapping.compile(PASTED)
    assert all(made.apply(row) == by_hand(row) for row in given[:1_000])
    times = [(seconds(made.apply, given), seconds(by_hand, given)) for _ in range(ROUNDS)]
    compiled, hand = min(pair[0] for pair in times), min(pair[1] for pair in times)
    print(
        f"mapping: {ROWS / compiled:,.0f} rows/s (goal {LEAST:,}: {'met' if ROWS / compiled >= LEAST else 'NOT MET'})"
    )
    print(f"by hand: {ROWS / hand:,.0f} rows/s; the mapping takes {compiled / hand:.1f} times as long")


if __name__ == "__main__":
    main()
