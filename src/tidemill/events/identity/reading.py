"""Reads what events say about people out of the event store, in the order in which they were committed.

Only those are handed over that can change something: all that name properties, another id, or that no person is
wanted, and of each distinct_id the first of the others in the range. The store's columns say most of it; `properties`
are looked into for PostHog's calls and for what was imported, the envelope for calls of Segment and Amplitude.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.identity import operations, people
from tidemill.events.identity.people import Action

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

_COLUMNS = (
    "team_id, uuid, event, distinct_id, epoch_us(timestamp), set, set_once, kind, detail, snapshot_id, n, "
    "epoch_us(inserted_at)"
)
_QUERY = f"""
    SELECT {_COLUMNS} FROM (
        SELECT *, snapshot_id, CASE
            WHEN kind NOT IN ('capture', 'import') THEN
                CASE WHEN event IN ('$identify', '$create_alias') OR contains(envelope, '"device_id"')
                    OR contains(envelope, '"user_properties"') THEN envelope END
            WHEN event IN ('$identify', '$create_alias', '$merge_dangerously') OR contains(properties, '"$unset"')
                OR regexp_matches(properties, '"\\$process_person_profile"\\s*:\\s*false') THEN properties
            END AS detail
        FROM lake.events WHERE {{}})
    QUALIFY detail IS NOT NULL OR "set" IS NOT NULL OR set_once IS NOT NULL
        OR row_number() OVER (PARTITION BY team_id, distinct_id, detail IS NULL ORDER BY snapshot_id, n) = 1
    ORDER BY snapshot_id, n
"""

#: Kinds of events that say in their properties what the others say in their envelopes.
_WITH_PROPERTIES = frozenset({"capture", "import"})


class _Captured(msgspec.Struct, gc=False):
    """What PostHog's properties may say, and those of imports."""

    anonymous: msgspec.Raw = msgspec.field(name="$anon_distinct_id", default=msgspec.Raw(b""))
    alias: msgspec.Raw = msgspec.Raw(b"")
    unset: msgspec.Raw = msgspec.field(name="$unset", default=msgspec.Raw(b""))
    profile: msgspec.Raw = msgspec.field(name="$process_person_profile", default=msgspec.Raw(b""))


class _Called(msgspec.Struct, gc=False):
    """What the envelopes of Segment and Amplitude may say."""

    anonymous: msgspec.Raw = msgspec.field(name="anonymousId", default=msgspec.Raw(b""))
    previous: msgspec.Raw = msgspec.field(name="previousId", default=msgspec.Raw(b""))
    device: msgspec.Raw = msgspec.field(name="device_id", default=msgspec.Raw(b""))
    operations: msgspec.Raw = msgspec.field(name="user_properties", default=msgspec.Raw(b""))
    received: msgspec.Raw = msgspec.field(name="server_received_time", default=msgspec.Raw(b""))
    uploaded: msgspec.Raw = msgspec.field(name="server_upload_time", default=msgspec.Raw(b""))


_CAPTURED = msgspec.json.Decoder(_Captured)
_CALLED = msgspec.json.Decoder(_Called)


def actions(lake: Lake, after: int, upto: int) -> Iterator[Action]:
    """What the events of the snapshots in (after, upto] say, in the order of their commits."""
    query = _QUERY.format(lake.between(after, upto))
    with lake.cursor() as cursor:
        for batch in cursor.execute(query).to_arrow_reader(20_000):
            yield from map(_action, *(column.to_pylist() for column in batch.columns))


def actions_of(lake: Lake, team_id: int, ids: Mapping[str, tuple[int, int]], upto: int) -> Iterator[Action]:
    """What the events of these distinct_ids up to a snapshot say, in the order of their commits: of each id from a
    place on (snapshot and number in it), but for those of devices, whose users are others."""
    import pyarrow as pa  # 50 ms

    which = (
        f"team_id = {team_id:d} AND snapshot_id <= {upto:d} AND distinct_id IN (SELECT name FROM asked) AND "
        "EXISTS (SELECT 1 FROM asked WHERE name = distinct_id AND ((snapshot_id, n) >= (from_snapshot, from_number) "
        """OR kind NOT IN ('capture', 'import') AND contains(envelope, '"device_id"')))"""
    )
    names, snapshots, numbers = list(ids), *([place[at] for place in ids.values()] for at in (0, 1))
    with lake.cursor() as cursor:
        asked = {"name": pa.array(names, pa.string())}
        asked |= {"from_snapshot": pa.array(snapshots, pa.int64()), "from_number": pa.array(numbers, pa.int64())}
        cursor.register("asked", pa.table(asked))
        for batch in cursor.execute(_QUERY.format(which)).to_arrow_reader(20_000):
            yield from map(_action, *(column.to_pylist() for column in batch.columns))


def _action(
    team_id: int,
    uuid: str,
    event: str,
    distinct_id: str,
    timestamp: int,
    to_set: str | None,
    set_once: str | None,
    kind: str,
    detail: str | None,
    snapshot: int,
    number: int,
    inserted_at: int,
) -> Action:
    action = Action(team_id, uuid, event, distinct_id, timestamp, _properties(to_set), _properties(set_once))
    action.place, action.server_time = (snapshot, number), inserted_at
    if detail is not None:
        try:
            if kind in _WITH_PROPERTIES:
                _captured(action, _CAPTURED.decode(detail))
            else:
                _called(action, _CALLED.decode(detail))
        except (msgspec.DecodeError, RowError):  # a number that nothing holds, where there should be an id
            pass
    return action


def _captured(action: Action, detail: _Captured) -> None:
    action.personless = bytes(detail.profile) == b"false"
    if action.event == "$identify":
        action.merged = _text(detail.anonymous)
    elif action.event in {"$create_alias", "$merge_dangerously"}:
        action.merged = _text(detail.alias)
    unset = text.value(detail.unset)
    if isinstance(unset, (list, dict)):
        action.unset = tuple(name for name in unset if isinstance(name, str))


def _called(action: Action, detail: _Called) -> None:
    if action.event == "$identify":
        action.merged = _text(detail.anonymous)
    elif action.event == "$create_alias":
        action.merged = _text(detail.previous)
    device = _text(detail.device)
    if device is not None:
        # Amplitude: a user takes over what a device did before; other users of it have nothing to do with that.
        action.merged, action.quiet, action.device = device, True, device
    asked = bytes(detail.operations)
    if asked[:1] == b"{":
        _operations(action, asked)
    server_time = text.value(detail.uploaded) or text.value(detail.received)
    if server_time is not None:
        action.server_time = timestamps.parse(server_time)


def _operations(action: Action, asked: bytes) -> None:
    """Amplitude's, but for $set and $setOnce, which the store has in columns."""
    for name, operand in people.from_json(asked).items():
        if name in operations.ORDER or name in {"$unset", "$clearAll"}:
            named = _properties(operand.decode()) if operand[:1] == b"{" else {}
            if name == "$unset":
                action.unset = tuple(named)
            elif name == "$clearAll":
                action.clear = True
            else:
                action.operations[name] = named


def _properties(given: str | None) -> operations.Properties:
    if given is None:
        return {}
    try:
        return people.from_json(given)
    except msgspec.DecodeError:
        return {}


def _text(raw: msgspec.Raw) -> str | None:
    """An id, as those of the events themselves are kept."""
    return text.identifier(text.value(raw)) or None
