"""Any JSON objects, CSV or Parquet rows, by a mapping of their columns to an event's fields.

What is not mapped is guessed by the usual names, and the guess is told. All columns of the row are kept as the
event's properties, unless one column is mapped to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pydantic

from tidemill.errors import ConfigError, RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Event

#: The usual names of each field, most telling first.
NAMES = {
    "event": ("event", "event_name", "event_type", "name", "action", "type"),
    "distinct_id": ("distinct_id", "user_id", "userid", "anonymous_id", "user", "customer_id", "device_id", "session"),
    "timestamp": ("timestamp", "time", "event_time", "created_at", "occurred_at", "ts", "datetime", "date"),
    "uuid": ("uuid", "event_id", "insert_id", "$insert_id", "message_id", "id"),
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
            if field != "event_name" and column not in there.values():
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
        return made, f"Taken by their names: {told}. Change it with --map FIELD=COLUMN." if told else ""


def _unmapped(what: str, option: str, columns: Iterable[str]) -> ConfigError:
    return ConfigError(
        "mapping_missing", f"No column says {what}.", hint=f"Use {option}. Columns: {', '.join(columns)}."
    )


class Generic:
    """See the module. The mapping is completed at the first record, by its columns."""

    name = "jsonl"
    title = "JSON lines, CSV or Parquet with a column mapping"

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        given = text.fields(text.mend(record))
        mapping = self.mapping
        time = self._value(given, mapping.timestamp)
        properties = mapping.properties and text.json_object(given.get(mapping.properties, _NONE), mapping.properties)
        name = mapping.event_name if mapping.event_name is not None else self._value(given, mapping.event)
        ip = self._value(given, mapping.ip)
        team = self._value(given, mapping.team_id)
        return [
            Event(
                uuid=text.identifier(self._value(given, mapping.uuid)),
                event=text.event_name(name if isinstance(name, str) else text.identifier(name)),
                distinct_id=text.person(self._value(given, mapping.distinct_id)),
                timestamp=timestamps.parse(time) if time not in (None, "") else now,
                has_time=time not in (None, ""),
                properties=properties or ("{}" if mapping.properties else text.mend(record).strip().decode()),
                set=self._object(given, mapping.set),
                set_once=self._object(given, mapping.set_once),
                ip=text.clean(ip) if isinstance(ip, str) and ip else None,
                team_id=team if isinstance(team, int) and not isinstance(team, bool) else None,
            )
        ]

    def _value(self, given: dict[str, msgspec.Raw], column: str | None) -> Any:
        return text.value(given.get(column)) if column else None

    def _object(self, given: dict[str, msgspec.Raw], column: str | None) -> str | None:
        found = text.json_object(given.get(column, _NONE), column) if column else None
        return found if found != "{}" else None


_NONE = msgspec.Raw(b"")
