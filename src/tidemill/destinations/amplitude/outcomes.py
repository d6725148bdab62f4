"""What Amplitude's answer to a batch of events says of each.

Source: research on Amplitude, sections 3.1 and 3.2. A batch is taken as a whole or not at all; what is wrong is told by
the places of events, by field. Without these it is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.destinations.port import WRITTEN, Outcome, Progress, Record, Sending, again, rejected

if TYPE_CHECKING:
    from tidemill.destinations.amplitude.client import AmplitudeClient

#: What Amplitude asks to wait for users or devices of which too much came, and how often it is waited.
_PAUSE_SECONDS, _PAUSES = 30.0, 3
_BY_FIELD = {
    "events_with_missing_fields": "is missing",
    "events_with_invalid_fields": "is invalid",
    "events_with_invalid_id_lengths": "is too short",
}


def uploaded(client: AmplitudeClient, batch: Sequence[Sending]) -> list[Outcome]:
    """Send events until each has an outcome."""
    short = {place: too_short(sending.record, client.settings.min_id_length) for place, sending in enumerate(batch)}
    with Progress({place: outcome for place, outcome in short.items() if outcome is not None}) as progress:
        _upload(client, batch, progress.outcomes)
    return [progress.outcomes[place] for place in range(len(batch))]


def _upload(client: AmplitudeClient, batch: Sequence[Sending], found: dict[int, Outcome]) -> None:
    """Send events that have no outcome yet, until each has one."""
    waiting = [place for place in range(len(batch)) if place not in found]
    parts = [(waiting, 0)] if waiting else []
    while parts:
        places, pauses = parts.pop(0)
        if pauses:
            client.sleep(_PAUSE_SECONDS)
        answer = client.upload(b",".join(batch[place].body for place in places))
        said = answer.json()
        wrong = invalid(said, len(places)) if answer.status == 400 else {}
        slow = throttled(said, len(places)) if answer.status == 429 else set()
        if not wrong and not slow:
            client.checked(answer)
            found.update((place, WRITTEN) for place in places)
            continue
        found.update((places[index], outcome) for index, outcome in wrong.items())
        others = [place for index, place in enumerate(places) if index not in wrong and index not in slow]
        late = [places[index] for index in sorted(slow)]
        over = [place for place in late if over_quota(said, batch[place].record) or pauses >= _PAUSES]
        found.update((place, _slow(said, batch[place].record)) for place in over)
        late = [place for place in late if place not in found]
        parts = [*([(others, 0)] if others else []), *parts, *([(late, pauses + 1)] if late else [])]


def invalid(said: Any, number: int) -> dict[int, Outcome]:
    """Events that Amplitude does not take as they are, by their places."""
    found: dict[int, Outcome] = {}
    if not isinstance(said, Mapping):
        return found
    for part, what in _BY_FIELD.items():
        fields = said.get(part)
        for field, places in fields.items() if isinstance(fields, Mapping) else ():
            for place in _places(places, number):
                found.setdefault(place, rejected("amplitude_invalid", f"{field} {what}: {said.get('error') or 400}"))
    for place in _places(said.get("silenced_events"), number):
        found.setdefault(place, rejected("amplitude_silenced", f"Amplitude silences it: {said.get('error')}"))
    return found


def throttled(said: Any, number: int) -> set[int]:
    """Places of events of users and devices of which too much came."""
    return set(_places(said.get("throttled_events"), number)) if isinstance(said, Mapping) else set()


def over_quota(said: Mapping[str, Any], record: Record) -> bool:
    """Whether no more is taken of that user or device today."""
    for part, field in (("exceeded_daily_quota_users", "user_id"), ("exceeded_daily_quota_devices", "device_id")):
        who = record.fields.get(field)
        if who is not None and who in (said.get(part) or ()):
            return True
    return False


def too_short(record: Record, least: int) -> Outcome | None:
    """Amplitude takes an id that is too short off an event without a word, and counts it for somebody else."""
    for field in ("user_id", "device_id"):
        value = record.fields.get(field)
        if value is not None and len(value) < least:
            told = (
                f"{field} has {len(value)} characters, and Amplitude is told to take {least} at least (min_id_length)."
            )
            return rejected("amplitude_id", told)
    return None


def _slow(said: Mapping[str, Any], record: Record) -> Outcome:
    if over_quota(said, record):
        return again("amplitude_quota", "Amplitude takes no more of this user or device today.")
    return again("amplitude_throttled", "Too many events of this user or device at once.")


def _places(value: Any, number: int) -> list[int]:
    if not isinstance(value, list):
        return []
    return [place for place in value if isinstance(place, int) and not isinstance(place, bool) and 0 <= place < number]
