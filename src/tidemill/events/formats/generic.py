"""Any JSON objects, CSV or Parquet rows, by a mapping of their columns to an event's fields.

What is not mapped is guessed by the usual names, and the guess is told. All columns of the row are kept as the
event's properties; if one column is mapped to them, those that are not mapped are kept in the envelope. A column may be
a path into an object: ``actor.login``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pydantic

from tidemill.errors import ConfigError, RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Event

_NONE = msgspec.Raw(b"")
#: The usual names of each field, most telling first. `id` and `event_id` are no guess for the uuid: where they are a
#: counter or a kind of event, rows would pass for duplicates.
NAMES = {
    "event": ("event", "event_name", "event_type", "name", "action", "type"),
    "distinct_id": ("distinct_id", "user_id", "userid", "anonymous_id", "user", "customer_id", "device_id", "session"),
    "timestamp": ("timestamp", "time", "event_time", "created_at", "occurred_at", "ts", "datetime", "date"),
    "uuid": ("uuid", "event_uuid", "insert_id", "$insert_id", "message_id", "messageid"),
    "ip": ("ip", "ip_address", "client_ip"),
    "properties": ("properties", "event_properties"),
    "set": ("$set", "set"),
    "set_once": ("$set_once", "set_once"),
    "team_id": ("team_id",),
}


class Mapping(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Which column is which field. `event_name`: one name for all events."""

    event: str | None = None
    event_name: str | None = None
    distinct_id: str | None = None
    timestamp: str | None = None
    uuid: str | None = None
    ip: str | None = None
    properties: str | None = None
    set: str | None = None
    set_once: str | None = None
    team_id: str | None = None

    @classmethod
    def of(cls, given: dict[str, str]) -> Mapping:
        """The mapping that a user gave.

        Raises
        ------
        ConfigError
            If a field is none of an event's.
        """
        unknown = sorted(set(given) - set(cls.model_fields))
        if unknown:
            raise ConfigError(
                "mapping",
                f"{', '.join(unknown)} is no field of an event.",
                hint=f"Fields: {', '.join(cls.model_fields)}.",
            )
        return cls(**given)

    def guessed(self, columns: Iterable[str]) -> tuple[Mapping, str]:
        """This mapping with what it lacks filled in by the columns' names, and a sentence about it.

        Raises
        ------
        ConfigError
            If there is no column for the event's name or its person, or a mapped column is not there.
        """
        there = {column.lower(): column for column in columns}
        given = self.model_dump(exclude_none=True)
        for field, column in given.items():
            if field != "event_name" and not {column, column.partition(".")[0]} & set(there.values()):
                raise ConfigError(
                    "mapping_column",
                    f"There is no column {column!r} for {field}.",
                    hint=f"Columns: {', '.join(there.values())}.",
                )
        used = {column for field, column in given.items() if field != "event_name"}
        guess = {}
        for field, names in NAMES.items():
            if field in given or (field == "event" and self.event_name):
                continue
            column = next((there[name] for name in names if name in there and there[name] not in used), None)
            if column is not None:
                guess[field] = column
                used.add(column)
        made = Mapping(**{**guess, **given})
        if not made.event and not made.event_name:
            raise _unmapped("the event's name", "--map event=COLUMN, or --event NAME for all rows", there.values())
        if not made.distinct_id:
            raise _unmapped("whose event it is", "--map distinct_id=COLUMN", there.values())
        told = ", ".join(f"{field} from {column}" for field, column in guess.items())
        notes = [f"Taken by their names: {told}. Change it with --map FIELD=COLUMN."] if told else []
        if not made.timestamp:
            notes.append("No column says when: all events get the time of loading. Use --map timestamp=COLUMN.")
        return made, " ".join(notes)


def _unmapped(what: str, option: str, columns: Iterable[str]) -> ConfigError:
    return ConfigError(
        "mapping_missing", f"No column says {what}.", hint=f"Use {option}. Columns: {', '.join(columns)}."
    )


class Generic:
    """See the module. The mapping is completed at the first record, by its columns."""

    name = "jsonl"
    title = "JSON lines, CSV or Parquet with a column mapping"
    quick = None
    quick_lines = None

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._mapped = frozenset(mapping.model_dump(exclude_none=True, exclude={"event_name"}).values())

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(record)
        if record[:1] != b"[":
            return [self._event(record, now)]
        parsed: list[Event | RowError] = []
        for member in text.members(record):
            try:
                parsed.append(self._event(member, now))
            except RowError as error:
                parsed.append(error)
        return parsed

    def _event(self, record: bytes, now: int) -> Event:
        given = text.fields(record)
        mapping = self.mapping
        time = _value(given, mapping.timestamp)
        properties = (
            text.json_object(_raw(given, mapping.properties), mapping.properties) if mapping.properties else None
        )
        name = mapping.event_name if mapping.event_name is not None else _value(given, mapping.event)
        ip = _value(given, mapping.ip)
        return Event(
            uuid=text.event_id(_value(given, mapping.uuid)),
            event=text.event_name(name if isinstance(name, str) else text.identifier(name)),
            distinct_id=text.person(_value(given, mapping.distinct_id)),
            timestamp=timestamps.parse(time) if time not in (None, "") else now,
            has_time=time not in (None, ""),
            properties=properties or ("{}" if mapping.properties else record.strip().decode()),
            set=_object(given, mapping.set),
            set_once=_object(given, mapping.set_once),
            ip=text.clean(ip) if isinstance(ip, str) and ip else None,
            team_id=_team(_value(given, mapping.team_id)),
            envelope=text.rest(given, self._mapped) if mapping.properties else None,
        )


def _raw(given: dict[str, msgspec.Raw], column: str) -> msgspec.Raw:
    """The text of a column, or of what a path leads to."""
    if column in given or "." not in column:
        return given.get(column, _NONE)
    first, _, rest = column.partition(".")
    inner = given.get(first, _NONE)
    return _raw(text.fields(inner), rest) if bytes(inner)[:1] == b"{" else _NONE


def _value(given: dict[str, msgspec.Raw], column: str | None) -> Any:
    return text.value(_raw(given, column)) if column else None


def _object(given: dict[str, msgspec.Raw], column: str | None) -> str | None:
    found = text.json_object(_raw(given, column), column) if column else None
    return found if found != "{}" else None


def _team(value: Any) -> int | None:
    if value in (None, ""):
        return None
    digits = str(value)  # a CSV file has texts only
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19 or int(digits) >= 2**63:
        raise RowError("field_type", f"{digits[:60]!r} is no team's number.")
    return int(digits)
