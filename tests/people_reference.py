"""Who is who, computed the plain way: one pass over all events, with nothing but a list of people."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

from tidemill.events.identity import rules
from tidemill.events.identity.people import Action


@dataclasses.dataclass
class Someone:
    """A person of the plain reference: its ids and what is known."""

    team: int
    ids: set[str]
    created: int
    properties: dict[str, bytes]
    identified: bool = False


def plain(events: list[Action]) -> list[Someone]:
    """One pass over all events, with nothing but a list of people."""
    people: list[Someone] = []
    users: dict[str, str] = {}
    for event in events:
        if event.device and event.distinct_id != event.device:
            users[event.device] = event.distinct_id
        elif event.device:
            event.distinct_id = users.get(event.device, event.device)
        if not event.personless:
            count = len(people)
            if event.merged:
                merge(people, event)
            someone = find(people, event, event.distinct_id)
            if someone is None:
                someone = Someone(event.team_id, {event.distinct_id}, event.timestamp, {})
                people.append(someone)
            if event.event != "$exception":
                update(someone, event, fresh=len(people) > count)
    return people


def find(people: list[Someone], event: Action, name: str) -> Someone | None:
    return next((one for one in people if one.team == event.team_id and name in one.ids), None)


def merge(people: list[Someone], event: Action) -> None:
    """Join the two, if they may be."""
    other = event.merged or ""
    if other == event.distinct_id or "anonymous" in {other, event.distinct_id}:
        return
    one, two = find(people, event, event.distinct_id), find(people, event, other)
    if event.quiet and two is not None and two is not one and two.identified:
        return  # the device is another user's
    if one is None or two is None or one is two:
        into = one or two
        if into is None:
            into = Someone(event.team_id, set(), event.timestamp, {})
            people.append(into)
        into.ids |= {other, event.distinct_id}
        into.identified = True
        return
    if two.identified and event.event != "$merge_dangerously":
        return
    people.remove(two)
    one.ids |= two.ids
    one.created = min(one.created, two.created)
    one.properties = {**two.properties, **one.properties}
    one.identified = True


def update(someone: Someone, event: Action, *, fresh: bool) -> None:
    """Set once, set, unset."""
    new = {**event.set_once, **someone.properties, **event.set}
    removed = [name for name in event.unset if new.pop(name, None) is not None]
    touched = {name for name in (*event.set, *event.set_once) if new.get(name) != someone.properties.get(name)}
    touched -= set(removed)
    if event.event not in (*rules.MERGES, "$set") and not fresh:
        touched -= {"$browser", "utm_source"}
    if touched or removed:
        someone.properties = new


def people(events: list[dict[str, Any]]) -> list[Someone]:
    """Of PostHog's events, as they were sent, in the order of their commits, each with its `team_id`."""
    return plain([_action(event) for event in events])


def _values(given: dict[str, Any]) -> dict[str, bytes]:
    return {name: json.dumps(value).encode() for name, value in given.items()}


def _action(event: dict[str, Any]) -> Action:
    properties, moment = event["properties"], dt.datetime.fromisoformat(event["timestamp"])
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return Action(
        event["team_id"],
        event["uuid"],
        event["event"],
        event["distinct_id"],
        since // dt.timedelta(microseconds=1),
        _values(properties.get("$set", {})),
        _values(properties.get("$set_once", {})),
        tuple(properties.get("$unset", ())),
        merged=properties.get("$anon_distinct_id", properties.get("alias")),
    )
