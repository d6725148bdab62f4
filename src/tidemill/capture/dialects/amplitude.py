"""Amplitude's HTTP V2, Batch and Identify APIs.

Facts: "HTTP V2 API", "Batch Event Upload API", "Identify API" of its documentation. Sizes: 1 MB at `/2/httpapi`, 20 MB
at `/batch`, 2,000 events (413). A bad event refuses the whole with 400, which names the numbers of all bad ones: SDKs
send the others again. What a request lacks is named in `missing_field`: SDKs drop its events then. 429 names the
numbers of the events that are to come later, which SDKs send after 30 seconds, and at once those that it does not name.
Ids have 5 characters or more, unless `options.min_id_length` says otherwise; too short ones, and those that stand for
nobody, do not count.
"""

from __future__ import annotations

import collections
import math
import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec

from tidemill.capture.dialects.dialect import (
    NOTHING,
    Refused,
    Sent,
    Trouble,
    Unreadable,
    decoded,
    fields,
    moment,
    text_of,
    value_of,
)
from tidemill.capture.http import TEXT, Answer, Request
from tidemill.capture.taken import Sender, Taken, one_by_one
from tidemill.errors import RowError
from tidemill.events.formats import amplitude, text
from tidemill.events.formats.event import Event

_HTTP_BODY, _BATCH_BODY, _EVENTS = 1024 * 1024, 20 * 1024 * 1024, 2_000
_IDENTIFY = {"/identify": "$identify", "/groupidentify": "$groupidentify"}
PATHS = frozenset({"/2/httpapi", *_IDENTIFY})
_SHORTEST_ID = 5
#: A time in seconds is less than this, one in milliseconds more, since 1973.
_FIRST_MILLISECOND = 100_000_000_000
_SAID = {
    Trouble.NO_KEY: (400, "Invalid API key: unknown or missing"),
    Trouble.UNREADABLE: (400, "Invalid JSON request body"),
    Trouble.TOO_LARGE: (413, "Payload too large"),
    Trouble.LIMITED: (429, "Too many requests for some devices and users"),
}
_NO_QUOTA: dict[str, dict[str, int]] = {"exceeded_daily_quota_users": {}, "exceeded_daily_quota_devices": {}}


class _Options(msgspec.Struct, gc=False):
    min_id_length: int | None = None


class _Body(msgspec.Struct, gc=False):
    api_key: msgspec.Raw = NOTHING
    events: list[msgspec.Raw] | None = None
    options: _Options | None = None
    client_upload_time: msgspec.Raw = NOTHING


_BODY = msgspec.json.Decoder(_Body)
_MEMBERS = msgspec.json.Decoder(list[msgspec.Raw])


class _Who(msgspec.Struct, gc=False):
    user_id: msgspec.Raw = NOTHING
    device_id: msgspec.Raw = NOTHING


_WHO = msgspec.json.Decoder(_Who)


class Amplitude:
    """See the module."""

    name = "amplitude"
    format = "amplitude"

    def most(self, path: str) -> int:
        """See Dialect."""
        return _BATCH_BODY if path.startswith("/batch") else _HTTP_BODY

    def body(self, request: Request, body: bytes) -> bytes:
        """See Dialect."""
        return body

    def read(self, request: Request, body: bytes) -> Sent:
        """See Dialect."""
        kind = _IDENTIFY.get(request.path)
        if kind is not None:
            return _identification(body, kind)
        if not body:
            raise Refused(_unusable("Missing request body"))
        found = decoded(_BODY, body)
        if not found.events:
            raise Refused(_unusable("Request missing required field", "events"))
        if bytes(found.api_key) in {b"", b"null"}:
            raise Refused(_unusable("Request missing required field", "api_key"))
        shortest = found.options.min_id_length if found.options else None
        more = {"shortest": _SHORTEST_ID if shortest is None else shortest, "address": request.address, "kind": None}
        sent_at = moment(value_of(found.client_upload_time))
        return Sent(text_of(found.api_key), [bytes(one) for one in found.events], sent_at, more)

    def sender(self, request: Request, sent: Sent, team_id: int, now: int) -> Sender:
        """See Dialect. Events say where they come from; Amplitude's rule about clocks is in the format."""
        return Sender(team_id, None)

    def take(self, sent: Sent, sender: Sender, now: int) -> Taken | Answer:
        """See Dialect."""
        if len(sent.records) > _EVENTS:
            return self.trouble(Trouble.TOO_LARGE, f"more than {_EVENTS:,} events")
        checks = _Checks(sent, now)
        found = one_by_one(sent.records, checks, sender)
        if checks.missing or checks.invalid:
            return _bad(checks)
        return found

    def ok(self, request: Request, sent: Sent, size: int, now: int) -> Answer:
        """See Dialect."""
        if sent.more["kind"]:
            return Answer(200, b"success", TEXT)
        said = {"code": 200, "events_ingested": len(sent.records), "payload_size_bytes": size}
        return Answer(200, msgspec.json.encode({**said, "server_upload_time": now // 1000}))

    def trouble(self, what: Trouble, message: str) -> Answer:
        """See Dialect."""
        status, error = _SAID.get(what, (what.value, message))
        said: dict[str, Any] = {"code": status, "error": error}
        if status == 400:
            said |= {"missing_field": None, "detail": message}
        return Answer(status, msgspec.json.encode(said))

    def limited(self, sent: Sent, rate: float, wait: int) -> Answer:
        """See Dialect. Users and devices are told with how many events of theirs the request has."""
        status, error = _SAID[Trouble.LIMITED]
        users, devices = _senders(sent.records[:_EVENTS])
        said = {
            "code": status,
            "error": error,
            "eps_threshold": math.ceil(rate),
            "throttled_users": users,
            "throttled_devices": devices,
            "throttled_events": list(range(len(sent.records))),
            **_NO_QUOTA,
        }
        return Answer(status, msgspec.json.encode(said)).later(wait)


def _unusable(error: str, missing: str | None = None) -> Answer:
    return Answer(400, msgspec.json.encode({"code": 400, "error": error, "missing_field": missing}))


def _senders(records: list[bytes]) -> tuple[dict[str, int], dict[str, int]]:
    """How many of these events each user has, and each device."""
    users, devices = collections.Counter[str](), collections.Counter[str]()
    for record in records:
        try:
            who = _WHO.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        for counted, name in ((users, text_of(who.user_id)), (devices, text_of(who.device_id))):
            if name:
                counted[text.clean(name)] += 1
    return users, devices


def _identification(body: bytes, kind: str) -> Sent:
    """A form with what is to be known of some users or groups."""
    try:
        form = urllib.parse.parse_qs(body.decode(), max_num_fields=20)
    except ValueError as error:
        raise Unreadable(f"the form cannot be read: {error}") from None
    given = form.get("identification", [""])[0].strip().encode("utf-8", "surrogatepass")
    if given[:1] not in {b"{", b"["}:
        raise Refused(Answer(400, b"missing_event", TEXT))
    records = decoded(_MEMBERS, given if given[:1] == b"[" else b"[" + given + b"]")
    more = {"shortest": 1, "address": None, "kind": kind}
    return Sent(form.get("api_key", [None])[0], [bytes(one) for one in records], None, more)


class _Checks:
    """Reads events, and finds out what is wrong with each, by the fields that Amplitude would name."""

    def __init__(self, sent: Sent, now: int) -> None:
        self._more, self._sent_at, self._now = sent.more, sent.sent_at, now
        self._number, self._noted = -1, 0
        self.missing: dict[str, list[int]] = {}
        self.invalid: dict[str, list[int]] = {}

    def __call__(self, record: bytes) -> list[Event | RowError]:
        self._number += 1
        before = self._noted
        try:
            return self._event(record)
        except RowError:
            if self._noted == before:  # it is refused for what no field is named for
                self._note(self.invalid, "events")
            raise

    def _event(self, record: bytes) -> list[Event | RowError]:
        given = fields(record)
        if self._more["kind"] == "$groupidentify":
            return [self._group(given)]
        if self._more["kind"]:
            given["event_type"] = msgspec.Raw(b'"$identify"')
        group = self._nobodys_group(given)
        if group is not None:
            return [group]
        good = self._check(given)
        if self._more["address"] and text_of(given.get("ip", NOTHING)) == "$remote":
            given["ip"] = msgspec.Raw(msgspec.json.encode(self._more["address"]))
        given["server_received_time"] = msgspec.Raw(b"%d" % (self._now // 1000))
        if self._sent_at is not None:
            given.setdefault("client_upload_time", msgspec.Raw(b"%d" % (self._sent_at // 1000)))
        try:
            return [amplitude.sent(given, self._now)]
        except RowError:
            if good:
                self._note(self.invalid, "event_properties")
            raise

    def _check(self, given: dict[str, msgspec.Raw]) -> bool:
        """Note what is wrong, and take ids away that do not count. Whether nothing is."""
        before = self._noted
        if text_of(given.get("event_type", NOTHING)) is None:
            self._note(self.missing, "event_type")
        said = _ids(given)
        if not said:
            self._note(self.missing, "user_id")
        bad = [name for name in said if not self._counts(given[name])]
        for name in bad:
            del given[name]
        if said and len(bad) == len(said):
            self._note(self.invalid, said[0])
        time = given.get("time")
        if time is not None and bytes(time) != b"null":
            value = value_of(time)
            if not isinstance(value, int | float) or value < _FIRST_MILLISECOND:
                self._note(self.invalid, "time")
                given.pop("time")
        return self._noted == before

    def _counts(self, raw: msgspec.Raw) -> bool:
        name = text.identifier(text.value(raw))
        return len(name) >= self._more["shortest"] and not amplitude.stands_for_nobody(name)

    def _note(self, what: dict[str, list[int]], name: str) -> None:
        what.setdefault(name, []).append(self._number)
        self._noted += 1

    def _group(self, given: Mapping[str, msgspec.Raw]) -> Event:
        """As PostHog has it, which knows what a group is."""
        kind = text.identifier(text.value(given.get("group_type")))
        name = text.identifier(text.value(given.get("group_value")))
        for field, value in (("group_type", kind), ("group_value", name)):
            if not value:
                self._note(self.missing, field)
        said = {
            "$group_type": kind,
            "$group_key": name,
            "$group_set": given.get("group_properties", msgspec.Raw(b"{}")),
            "$process_person_profile": False,
        }
        properties = msgspec.json.encode(said).decode()
        return Event("", "$groupidentify", f"{kind}_{name}", self._now, False, properties)

    def _nobodys_group(self, given: Mapping[str, msgspec.Raw]) -> Event | None:
        """What is told of a group by nobody, as SDKs do it; None if it is something else."""
        groups = given.get("groups", NOTHING)
        if text_of(given.get("event_type", NOTHING)) != "$groupidentify" or _ids(given) or bytes(groups)[:1] != b"{":
            return None
        (kind, name), *_ = [*text.fields(groups).items(), ("", NOTHING)]
        found = self._group({**given, "group_type": msgspec.Raw(msgspec.json.encode(kind)), "group_value": name})
        told = amplitude.sent({**given, "user_id": msgspec.Raw(msgspec.json.encode(found.distinct_id))}, self._now)
        found.uuid, found.timestamp, found.has_time, found.kind = told.uuid, told.timestamp, told.has_time, told.kind
        found.envelope = text.rest(text.fields((told.envelope or "{}").encode()), frozenset({"user_id"}))
        return found


def _ids(given: Mapping[str, msgspec.Raw]) -> list[str]:
    """Which fields say who it was."""
    return [name for name in ("user_id", "device_id") if bytes(given.get(name, b"null")) not in {b"null", b'""'}]


def _bad(checks: _Checks) -> Answer:
    error = "Request missing required field" if checks.missing else "Invalid field values on some events"
    said = {
        "code": 400,
        "error": error,
        "missing_field": None,  # else SDKs drop all of them: it is said of the request, not of some events
        "events_with_invalid_fields": checks.invalid,
        "events_with_missing_fields": checks.missing,
    }
    return Answer(400, msgspec.json.encode(said))
