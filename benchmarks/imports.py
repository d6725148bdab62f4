"""How fast rows become events: `python benchmarks/imports.py`.

Twenty columns, as a table of events has them: identity, name, time and id, and sixteen properties of all types. A piece of
20,000 rows on one core; the best of seven rounds counts.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
import uuid
from typing import Any

from tidemill.destinations.port import Op
from tidemill.imports import convert
from tidemill.imports.made import Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Property, TimeFormat, Type

ROWS, ROUNDS = 20_000, 7
LEAST = 60_000  # rows a second
NOW = 1_790_000_000_000_000
EVENT = {"event_column": "event", "time": "created_at", "insert_id": "event_id"}


def columns() -> dict[str, list[Any]]:
    chance = random.Random(1)  # noqa: S311
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    times = [(start + dt.timedelta(seconds=chance.randrange(10**7))).isoformat() for _ in range(ROWS)]
    made: dict[str, list[Any]] = {
        "user_id": [f"user-{chance.randrange(10**6)}" for _ in range(ROWS)],
        "event": [chance.choice(["viewed", "bought", "clicked"]) for _ in range(ROWS)],
        "created_at": times,
        "event_id": [f"e{number}" for number in range(ROWS)],
        "date0": times,
        "date1": ["31/12/2025"] * ROWS,
        "json0": [json.dumps({"a": number, "b": ["x", None]}) for number in range(ROWS)],
    }
    for number in range(4):
        made[f"string{number}"] = [f"text {chance.randrange(10**5)}" for _ in range(ROWS)]
    for number in range(3):
        made[f"integer{number}"] = [chance.randrange(10**6) for _ in range(ROWS)]
    for number in range(2):
        made[f"float{number}"] = [chance.random() for _ in range(ROWS)]
        made[f"boolean{number}"] = [chance.random() < 0.5 for _ in range(ROWS)]
        made[f"auto{number}"] = [chance.choice([None, "x"]) for _ in range(ROWS)]
    return made


def properties(names: list[str]) -> tuple[Property, ...]:
    kept = []
    for name in names:
        form = TimeFormat.DAY_MONTH_YEAR if name == "date1" else TimeFormat.AUTO
        kept.append(Property(column=name, name=name, type=Type(name[:-1]), format=form))
    return tuple(kept)


def parameters(number: int) -> list[dict[str, Any]]:
    """Eight, as GA4 has them."""
    empty = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    texts = [{"key": f"s{at}", "value": empty | {"string_value": "v"}} for at in range(4)]
    return texts + [{"key": f"n{at}", "value": empty | {"int_value": number}} for at in range(4)]


def rate(spec: ImportSpec, source: Source, rows: Rows) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        made = convert.made(spec, source, rows)
        best = min(best, time.process_time() - began)
    assert len(made.positions) == ROWS
    return ROWS / best


def rates() -> dict[str, float]:
    """Rows a second, of each way."""
    given = columns()
    assert len(given) == 20
    kept = properties([name for name in given if name[-1].isdigit()])
    rows = Rows(
        list(map(str, range(ROWS))), [f"1:{number:032x}" for number in range(ROWS)], [Op.ADDED] * ROWS, given, NOW
    )
    source = Source(uuid.UUID(int=1), "benchmark", 1)
    mirror = Source(source.id, source.name, source.run, mirrors=True)
    events = ImportSpec(kind=Kind.EVENTS, identity="user_id", properties=kept, **EVENT)
    people = ImportSpec(kind=Kind.PEOPLE, identity="user_id", properties=kept)
    plain = tuple(Property(column=one.column, name=one.name) for one in kept)
    spread = (*kept, Property(column="params", name="*", type=Type.KEY_VALUES))
    more = Rows(rows.keys, rows.hashes, rows.ops, given | {"params": list(map(parameters, range(ROWS)))}, NOW)
    return {
        "events": rate(events, source, rows),
        "mirrored events": rate(events, mirror, rows),
        "people": rate(people, source, rows),
        "events, no types": rate(events.model_copy(update={"properties": plain}), source, rows),
        "events, and eight of GA4's parameters": rate(events.model_copy(update={"properties": spread}), source, more),
    }


def main() -> None:
    for name, found in rates().items():
        goal = f" (goal {LEAST:,}: {'met' if found >= LEAST else 'NOT MET'})" if name == "events" else ""
        print(f"{name}: {found:,.0f} rows/s{goal}")


if __name__ == "__main__":
    main()
