"""Amplitude's devices: what comes from one without a user is of the user who was last seen on it.

Until somebody is seen on a device, it stands for itself. Source: Amplitude, "Track unique users".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.events.sources.metadata import Metadata


def owners(events: str, metadata: Metadata, team_id: int | None) -> str:
    """Of those of these events that came from a device without a user: `snapshot_id`, `n` and the `user_id`."""
    user, device = (f"json_extract_string(envelope, '$.{name}')" for name in ("user_id", "device_id"))
    anonymous = f"""
        SELECT snapshot_id, n, team_id, distinct_id, snapshot_id::HUGEINT * 4294967296 + n AS place FROM ({events})
        WHERE kind <> 'capture' AND contains(envelope, '"device_id"')
            AND {device} IS NOT NULL AND ({user} IS NULL OR {user} = {device})"""
    team = f" WHERE team_id = {team_id}" if team_id is not None else ""
    users = metadata.answer(
        "SELECT team_id, device_id, (snapshot::numeric * 4294967296 + n)::text AS place, user_id "
        f"FROM {metadata.schema}.device_users{team}"
    )
    return f"""
        SELECT anonymous.snapshot_id, anonymous.n, users.user_id FROM ({anonymous}) AS anonymous
        ASOF JOIN (SELECT team_id, device_id, place::HUGEINT AS place, user_id FROM {users}) AS users
            ON users.team_id = anonymous.team_id AND users.device_id = anonymous.distinct_id
            AND anonymous.place > users.place"""


def of_users(metadata: Metadata, team_id: int) -> str:
    """`device_id` and `user_id`: who was seen on which device at any time."""
    return metadata.answer(
        f"SELECT DISTINCT device_id, user_id FROM {metadata.schema}.device_users WHERE team_id = {team_id}"
    )
