"""@liquid: a text from a template in the language Liquid, within limits."""

from __future__ import annotations

from typing import Any

from tidemill.reverse_etl.mapping.compiler import Compiler, Place
from tidemill.reverse_etl.mapping.paths import GIVEN, PROPERTIES, Event
from tidemill.reverse_etl.mapping.values import Reader, Unfit, failed, told

#: Characters of a template, as at Segment (research on reverse ETL, section 3.2).
LONGEST = 1_000


def liquid(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@liquid: what the template gives."""
    if not isinstance(argument, str):
        return compiler.wrong(place, f"@liquid is {told(argument)}; it is a text")
    if len(argument) > LONGEST:
        return compiler.wrong(place, f"@liquid has {len(argument):,} characters; it has at most {LONGEST:,}")
    from tidemill.reverse_etl.mapping import liquid_engine

    try:
        template = liquid_engine.parse(argument)
    except Unfit as unfit:
        return compiler.wrong(place, f"@liquid cannot be read: {unfit}")
    names = template.names
    if place.scope.row:
        compiler.reads(names)
        compiler.meant |= template.meant - {PROPERTIES}
    compiler.given = compiler.given or (place.scope.event and (names is None or bool(names & GIVEN)))
    context = _of_event if place.scope.event else _of_item

    def render(row: Any) -> Any:
        try:
            return template.render(context(row, names))
        except Unfit as unfit:
            raise failed(place.path, f"@liquid {unfit}") from None

    return render


def _of_event(row: Any, names: frozenset[str] | None) -> dict[str, Any]:
    """What a template sees: columns, and the row as `properties`, as paths do."""
    known = {**row.given, **row} if isinstance(row, Event) else row
    found = dict(known) if names is None else {name: known[name] for name in names if name in known}
    if PROPERTIES not in row and (names is None or PROPERTIES in names):
        found[PROPERTIES] = known
    return found


def _of_item(item: Any, names: frozenset[str] | None) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {}
    return item if names is None else {name: item[name] for name in names if name in item}
