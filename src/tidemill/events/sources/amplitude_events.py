"""Events by the columns of Amplitude's export, out of whatever they were sent as.

What an event says under Amplitude's own names counts first, then what Segment's context and PostHog's properties say of
the same thing. What nobody says is NULL. Facts: Amplitude, "Google BigQuery" (destination) and "Track unique users";
Segment, "Spec: Common Fields"; PostHog's properties of events.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tidemill.events import duck
from tidemill.events.sources import devices
from tidemill.events.sources.events import EventSource
from tidemill.events.sources.source import Selection

if TYPE_CHECKING:
    from tidemill.events.identity.service import IdentityService
    from tidemill.events.lake import Lake
    from tidemill.events.sources.metadata import Metadata

#: Texts, by columns: fields of what was sent, and then properties.
_TEXTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "adid": (("adid", "context.device.advertisingId"), ()),
    "city": (("city", "context.location.city"), ("$geoip_city_name",)),
    "country": (("country", "context.location.country"), ("$geoip_country_name",)),
    "device_carrier": (("device_carrier", "carrier", "context.network.carrier"), ("$network_carrier",)),
    "device_family": (
        ("device_family", "device_manufacturer", "context.device.manufacturer"),
        ("$device_manufacturer",),
    ),
    "device_type": (("device_type", "device_model", "context.device.model"), ("$device_model", "$device_type")),
    "dma": (("dma",), ()),
    "idfa": (("idfa",), ()),
    "insert_id": (("$insert_id", "insert_id"), ("$insert_id",)),
    "language": (("language", "context.locale"), ("$browser_language", "$locale")),
    "os_name": (("os_name", "context.os.name"), ("$os", "$os_name")),
    "os_version": (("os_version", "context.os.version"), ("$os_version",)),
    "paying": (("paying",), ()),
    "platform": (("platform", "context.device.type"), ()),
    "region": (("region", "context.location.region"), ("$geoip_subdivision_1_name",)),
    "start_version": (("start_version",), ()),
    "version_name": (("version_name", "app_version", "context.app.version"), ("$app_version",)),
}
#: Other columns, with the type that the text is read as.
_TYPED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "event_id": ("BIGINT", ("event_id",), ()),
    "followed_an_identify": ("BOOLEAN", ("followed_an_identify",), ()),
    "is_attribution_event": ("BOOLEAN", ("is_attribution_event",), ()),
    "location_lat": ("DOUBLE", ("location_lat", "context.location.latitude"), ("$geoip_latitude",)),
    "location_lng": ("DOUBLE", ("location_lng", "context.location.longitude"), ("$geoip_longitude",)),
    "sample_rate": ("DECIMAL(38, 9)", ("sample_rate",), ()),
}
_TIMES = {
    "client_event_time": (("client_event_time", "time", "originalTimestamp"), "timestamp"),
    "client_upload_time": (("client_upload_time", "sentAt", "sent_at"), "NULL"),
    "processed_time": (("processed_time",), "inserted_at"),
    "server_received_time": (("server_received_time", "receivedAt"), "inserted_at"),
    "server_upload_time": (("server_upload_time",), "inserted_at"),
}
#: What a TIMESTAMP holds (BigQuery, "Data types").
_EARLIEST, _LATEST = "TIMESTAMPTZ '0001-01-01 00:00:00Z'", "TIMESTAMPTZ '9999-12-31 23:59:59.999999Z'"
#: Used by what is put together below.
_SENT: tuple[str, ...] = (
    *("user_id", "userId", "device_id", "anonymousId", "library", "session_id"),
    *("context.library.name", "context.library.version", "context.sessionId"),
)
_PROPERTIES = ("$device_id", "$is_identified", "$lib", "$lib_version")
#: Fields that have a column of their own, and so are not in `data`.
_KNOWN = frozenset(
    {path for fields, _ in _TEXTS.values() for path in fields}
    | {path for _, fields, _ in _TYPED.values() for path in fields}
    | {path for fields, _ in _TIMES.values() for path in fields}
    | set(_SENT)
    | {"time", "event_time", "user_properties", "groups", "group_properties", "data"}
)
#: Ids with their numbers; and those that they had before their person was deleted, each up to a place. Both by one
#: question: what is deleted meanwhile changes both. A place is a number of 64 bits and more, so it comes as a text.
_NUMBERS = """
    SELECT team_id, distinct_id, d.number, f.places, f.formers FROM {schema}.distinct_ids d LEFT JOIN (
        SELECT team_id, distinct_id, array_agg(number ORDER BY snapshot, n) AS formers,
            array_agg((snapshot::numeric * 4294967296 + n)::text ORDER BY snapshot, n) AS places
        FROM {schema}.former_numbers GROUP BY 1, 2) f USING (team_id, distinct_id){team}
"""
#: The number of an event: the first of those that end after its place, or the one that the id has now.
_NUMBER = """
    CASE WHEN numbers.places IS NULL THEN numbers.number ELSE coalesce(list_filter(
        list_zip(numbers.places::HUGEINT[], numbers.formers),
        lambda ended: ended[1] > events.snapshot_id::HUGEINT * 4294967296 + events.n)[1][2], numbers.number) END
"""
#: Bytes of a row besides its texts; a guess that cuts chunks.
_ROW_BYTES = 600


class AmplitudeEventSource(EventSource):
    """See the module; the methods are those of source.Source."""

    direct = False

    def __init__(self, lake: Lake, identity: IdentityService, metadata: Metadata) -> None:
        super().__init__(lake)
        self._identity, self._metadata = identity, metadata

    def catch_up(self) -> int:
        """The newest snapshot: by now it is known who its people are."""
        return self._identity.catch_up().snapshot

    def until(self, moment: dt.datetime, after: int) -> int:
        """The last snapshot of that time: by now it is known who its people are."""
        self.catch_up()
        return super().until(moment, after)

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """Those of the snapshots."""
        events = self._selected(selection)
        team = f" WHERE team_id = {selection.team_id}" if selection.team_id is not None else ""
        numbers = self._metadata.answer(_NUMBERS.format(schema=self._metadata.schema, team=team))
        owners = devices.owners(events, self._metadata, selection.team_id)
        named = f"""
            SELECT events.*, {_NUMBER} AS amplitude_id FROM ({_read(events)}) AS events
            LEFT JOIN ({owners}) AS owners USING (snapshot_id, n)
            LEFT JOIN {numbers} AS numbers
                ON numbers.team_id = events.team_id
                AND numbers.distinct_id = coalesce(owners.user_id, events.distinct_id)"""
        return f"SELECT {', '.join(f'{text} AS {name}' for name, text in _columns().items())} FROM ({named})"


def _paths(named: Mapping[str, int]) -> str:
    """JSON paths, in the order of their numbers."""
    return ", ".join(duck.literal("$" + "".join(f'."{part}"' for part in path.split("."))) for path in named)


def _numbered(groups: Iterator[tuple[str, ...]]) -> dict[str, int]:
    return {path: number for number, path in enumerate(dict.fromkeys(path for group in groups for path in group), 1)}


_FIELD = _numbered(
    iter(
        [
            *(fields for fields, _ in _TEXTS.values()),
            *(fields for _, fields, _ in _TYPED.values()),
            *(fields for fields, _ in _TIMES.values()),
            _SENT,
        ]
    )
)
_PROPERTY = _numbered(
    iter([*(names for _, names in _TEXTS.values()), *(names for *_, names in _TYPED.values()), _PROPERTIES])
)


def _read(events: str) -> str:
    """The events, with what they say of our columns in two lists of texts."""
    return f"""
        SELECT *, json_extract_string(envelope, [{_paths(_FIELD)}]) AS sent,
            json_extract_string(properties, [{_paths(_PROPERTY)}]) AS told FROM ({events})"""


def _first(fields: tuple[str, ...], properties: tuple[str, ...] = (), *more: str) -> str:
    """The first of these that is said."""
    said = [f"nullif(sent[{_FIELD[path]}], '')" for path in fields]
    said += [f"nullif(told[{_PROPERTY[name]}], '')" for name in properties]
    return f"coalesce({', '.join([*said, *more, 'NULL'])})"


def _time(text: str) -> str:
    """A moment, from a text or from milliseconds since 1970; NULL if it is none that BigQuery has."""
    read = (
        f"CASE WHEN regexp_full_match({text}, '[0-9]{{12,14}}') THEN make_timestamptz({text}::BIGINT * 1000) "
        f"ELSE TRY_CAST({text} AS TIMESTAMPTZ) END"
    )
    return f"CASE WHEN ({read}) BETWEEN {_EARLIEST} AND {_LATEST} THEN ({read}) END"


def _typed(text: str, kind: str) -> str:
    """A value of a type; NULL if it is none, or not a finite number."""
    read = f"TRY_CAST({text} AS {kind})"
    return f"CASE WHEN isfinite({read}) THEN {read} END" if kind == "DOUBLE" else read


def _columns() -> dict[str, str]:
    """Each column of the model, and what names a row."""
    device = _first(("device_id", "anonymousId"), ("$device_id",))
    anonymous = f"(distinct_id = {device} OR {_first((), ('$is_identified',))} = 'false')"
    user = f"coalesce({_first(('user_id', 'userId'))}, CASE WHEN {anonymous} IS NOT TRUE THEN distinct_id END)"
    # The first 48 bits of such an id are milliseconds since 1970.
    began = "('0x' || left(replace(session_id, '-', ''), 12))::BIGINT"
    version = _first(("context.library.version",), ("$lib_version",))
    library = f"{_first(('context.library.name',), ('$lib',))} || coalesce('/' || {version}, '')"
    operations = """'{"$set":' || "set" || ',"$setOnce":' || set_once || '}'"""
    alone = """CASE WHEN set_once IS NOT NULL THEN '{"$setOnce":' || set_once || '}' END"""
    texts = {name: _first(*where) for name, where in _TEXTS.items()}
    typed = {name: _typed(_first(sent, told), kind) for name, (kind, sent, told) in _TYPED.items()}
    times = {name: f"coalesce({_time(_first(fields))}, {more})" for name, (fields, more) in _TIMES.items()}
    return {
        **texts,
        **typed,
        **times,
        "insert_id": f"coalesce({texts['insert_id']}, uuid)",
        "amplitude_id": "amplitude_id",
        "app": "team_id",
        "data": _data(),
        "device_id": f"coalesce({device}, CASE WHEN {anonymous} THEN distinct_id END)",
        "event_properties": "properties",
        "event_time": "timestamp",
        "event_type": "event",
        "group_properties": _json(("group_properties",), ("$group_set",)),
        "groups": _json(("groups",), ("$groups",)),
        "ip_address": "ip",
        "library": _first(("library",), (), library),
        "session_id": f"coalesce(TRY_CAST({_first(('session_id', 'context.sessionId'))} AS BIGINT), {began}, -1)",
        "user_id": user,
        "user_properties": f'coalesce({_json(("user_properties",), ())}, {operations}, "set", {alone})',
        "uuid": "uuid",
        "row_team": "team_id",
        "row_id": "uuid",
        "row_change": "snapshot_id",
        "row_number": "n",
        "bytes": f"bytes + {_ROW_BYTES}",
    }


def _json(fields: tuple[str, ...], properties: tuple[str, ...]) -> str:
    """The first of these JSON values that is there."""
    found = [f"json_extract(envelope, '$.\"{name}\"')" for name in fields]
    found += [f"json_extract(properties, '$.\"{name}\"')" for name in properties]
    return f"coalesce({', '.join(f'{value}::VARCHAR' for value in found)}, NULL)"


def _data() -> str:
    """What was sent and has no column, and what was sent as `data`."""
    known = duck.literal(json.dumps(dict.fromkeys(sorted(name for name in _KNOWN if "." not in name))))
    rest = f"json_merge_patch(envelope, {known})"
    data = "json_extract(envelope, '$.data')"
    whole = f"CASE WHEN json_type({data}) = 'OBJECT' THEN json_merge_patch({rest}, {data}) ELSE {rest} END"
    # Of NULL, json_merge_patch makes the patch itself, with all its nulls.
    return f"CASE WHEN envelope IS NOT NULL THEN nullif(({whole})::VARCHAR, '{{}}') END"
