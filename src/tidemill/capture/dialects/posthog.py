"""PostHog's capture API: one event, an array or a batch; plain, gzip, base64, lz64 or a form; GET or POST.

Facts: its capture service. Sizes: 2 MB a body, 20 MB at `/batch`, 1,000,000 bytes an event (413). Keys: `api_key`,
`token` or `$token` of the body; what events name then does not count. If the body names none, the one that its events
name, or their properties; events that name different ones are refused (401).
Answers: ``{"status":"Ok"}``, 204 for a beacon; errors are texts. Events without a name or an id are dropped there,
with 200 in one version and with the whole body in another; here they are set aside, and the others are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from tidemill.capture.dialects.dialect import (
    EMPTY,
    NOTHING,
    Sent,
    Trouble,
    Unreadable,
    decoded,
    fields,
    moment,
    text_of,
    too_many,
    value_of,
    written,
)
from tidemill.capture.http import TEXT, Answer, Request
from tidemill.capture.taken import Keeping, Sender, Taken, Usual, off, one_by_one, shifted
from tidemill.errors import RowError
from tidemill.events.formats import posthog, posthog_quick
from tidemill.events.formats.event import Event

#: So many would take hundreds of megabytes, if each of them were an event.
_MOST_COMMAS = 2_000_000
_EVENT_BODY, _BATCH_BODY, _EVENT = 2 * 1024 * 1024, 20 * 1024 * 1024, 1_000_000
#: A longer body is not read as one of usual events.
MOST_QUICK = _EVENT
PATHS = frozenset(f"{path}{end}" for path in ("/i/v0/e", "/e", "/capture", "/track", "/engage") for end in ("", "/"))
BATCH = frozenset({"/batch", "/batch/"})
_OK = Answer(200, b'{"status":"Ok"}')
_SAID = {
    Trouble.UNREADABLE: "failed to parse request: ",
    Trouble.NO_KEY: "API key is not valid: ",
    Trouble.TOO_LARGE: "maximum event size exceeded: ",
    Trouble.LIMITED: "rate limited: ",
    Trouble.BUSY: "transient error, please retry: ",
}


class _Body(msgspec.Struct, gc=False):
    api_key: msgspec.Raw = NOTHING
    token: msgspec.Raw = NOTHING
    dollar_token: msgspec.Raw = msgspec.field(name="$token", default=NOTHING)
    batch: list[msgspec.Raw] | None = None
    sent_at: msgspec.Raw = NOTHING
    historical_migration: msgspec.Raw = NOTHING
    properties: msgspec.Raw = NOTHING

    def key(self) -> str | None:
        return text_of(self.api_key) or text_of(self.token) or text_of(self.dollar_token)


_BODY = msgspec.json.Decoder(_Body)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class PostHog:
    """See the module."""

    name = "posthog"
    format = "posthog"

    def most(self, path: str) -> int:
        """See Dialect."""
        return _BATCH_BODY if path in BATCH else _EVENT_BODY

    def body(self, request: Request, body: bytes) -> bytes:
        """See Dialect: a pixel has it in its address."""
        if body:
            return body
        found = request.query.get("data", "")
        return (found if found[:1] in {"{", "["} else found.replace(" ", "+")).encode()

    def quick(self, request: Request, body: bytes) -> Sent | None:
        """What a body of usual events says; None if it is not certain that it is one."""
        if body[:1] != b"{" or len(body) > MOST_QUICK or not _is_utf8(body):
            return None
        found = posthog_quick.body(body)
        key = text_of(found.api_key) or text_of(found.token) if found is not None else None
        if found is None or key is None:
            return None
        sent_at = None if found.historical else moment(found.sent_at or request.query.get("_"))
        return Sent(key, [], sent_at, {"quick": found.events, "body": body}, len(found.events))

    def read(self, request: Request, body: bytes) -> Sent:
        """See Dialect."""
        if body.count(b",") > _MOST_COMMAS:
            raise Unreadable("it has too many parts")
        if not body:
            raise Unreadable(EMPTY)
        if body[:1] == b"[":
            records = decoded(_LIST, body)
            key, sent_at = None, _sent_at(NOTHING, NOTHING, request)
        else:
            found = decoded(_BODY, body)
            records = found.batch if found.batch is not None else [msgspec.Raw(body)]
            key, sent_at = found.key(), _sent_at(found.sent_at, found.historical_migration, request)
        if not records:
            raise Unreadable("request holds no event")
        return Sent(key or _key_inside(records), [bytes(one) for one in records], sent_at)

    def sender(self, request: Request, sent: Sent, team_id: int, now: int) -> Sender:
        """See Dialect."""
        return Sender(team_id, request.address, off(sent.sent_at, now))

    def take(self, sent: Sent, sender: Sender, now: int) -> Taken | Answer:
        """See Dialect."""
        quick = sent.more.get("quick")
        if quick is not None:
            return Taken(usual=Usual(quick, sender, lambda: _one_by_one(_records(sent.more["body"]), sender, now)))
        if any(len(record) > _EVENT for record in sent.records):
            return self.trouble(Trouble.TOO_LARGE, f"an event has more than {_EVENT:,} bytes")
        return _one_by_one(sent.records, sender, now)

    def ok(self, request: Request, sent: Sent, size: int, now: int) -> Answer:
        """See Dialect."""
        return Answer(204, b"", TEXT) if request.query.get("beacon") == "1" else _OK

    def trouble(self, what: Trouble, message: str) -> Answer:
        """See Dialect."""
        return Answer(what.value, (_SAID.get(what, "") + message).encode(), TEXT)

    def limited(self, sent: Sent, rate: float, wait: int) -> Answer:
        """See Dialect."""
        return self.trouble(Trouble.LIMITED, too_many(rate)).later(wait)


def _records(body: bytes) -> list[bytes]:
    batch = _BODY.decode(body).batch
    return [body] if batch is None else [bytes(one) for one in batch]


def _one_by_one(records: list[bytes], sender: Sender, now: int) -> Taken:
    parse = _Parse(now, sender.off)
    return one_by_one(records, parse, sender, Keeping({"sent_at": written(now)}, parse.put_right))


class _Parse:
    """Reads one event. `off`: by how much the sender's clock is behind."""

    def __init__(self, now: int, off: int) -> None:
        self._now, self._off = now, off

    def __call__(self, record: bytes) -> list[Event | RowError]:
        given = fields(record)
        if _is_mixpanels(given):
            record = msgspec.json.encode({**given, "event": "$identify"})
        return [posthog.captured(record, self._now - self._off, self._now)]

    def put_right(self, given: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """The fields of an event that is set aside, with its time by a clock that is right."""
        given = {name: raw for name, raw in given.items() if name != "sent_at"}  # when it came counts, as for all
        if _is_mixpanels(given):
            given["event"] = msgspec.Raw(b'"$identify"')
        time = moment(value_of(given.get("timestamp"))) if self._off else None
        if time is not None:
            given["timestamp"] = written(shifted(time, self._off))
        return given


def _is_mixpanels(given: dict[str, msgspec.Raw]) -> bool:
    """Whether it is Mixpanel's way to set properties, at /engage."""
    return "event" not in given and "$distinct_id" in given


class _Which(msgspec.Struct, gc=False):
    batch: msgspec.Raw = NOTHING
    event: msgspec.Raw = NOTHING
    events: msgspec.Raw = NOTHING


_WHICH = msgspec.json.Decoder(_Which)
_TEXT = rb'"(?:[^"\\]|\\.)*+"'
#: An object whose field `events` comes before all that is long, and before `batch` and `event`.
_AMPLITUDES = re.compile(
    rb'\s*+\{\s*+(?:"(?!(?:batch|events?)")[^"\\]*+"\s*+:\s*+'
    rb'(?:%s|[^"\[\]{},\s]++|\{(?:[^{}"]|%s)*+\})\s*+,\s*+)*+"events"\s*+:' % (_TEXT, _TEXT)
)


def is_amplitudes(body: bytes) -> bool:
    """Whether a body that came to `/batch` is Amplitude's, whose API has a path of that name, too."""
    if body[:1] != b"{" or b'"events"' not in body:
        return False
    try:
        found = decoded(_WHICH, body)
    except Unreadable:
        return begins_as_amplitudes(body)
    return bool(bytes(found.events)) and not bytes(found.batch) and not bytes(found.event)


def begins_as_amplitudes(start: bytes) -> bool:
    """The same of a body of which only the start is there, as far as that tells it."""
    return _AMPLITUDES.match(start) is not None


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _sent_at(said: msgspec.Raw, historical: msgspec.Raw, request: Request) -> int | None:
    """What the sender's clock said when it sent this; None if that is not to count."""
    if bytes(historical) == b"true":
        return None
    return moment(value_of(said) or request.query.get("_"))


def _key_inside(records: Iterable[msgspec.Raw]) -> str | None:
    """The key that events name, or their properties; none if they name more than one."""
    found = None
    for record in records:
        try:
            event = _BODY.decode(record)
            key = event.key() or (_BODY.decode(event.properties).key() if bytes(event.properties) else None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # it is set aside, if there is a key
        if key and found and key != found:
            return None
        found = found or key
    return found


#: What SDKs ask beside sending events: no flags, nothing to record, nothing to load.
_NO_FLAGS = msgspec.json.encode(
    {
        "config": {"enable_collect_everything": True},
        "toolbarParams": {},
        "isAuthenticated": False,
        "supportedCompression": ["gzip", "gzip-js"],
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "quotaLimited": [],
        "sessionRecording": False,
        "surveys": False,
        "heatmaps": False,
        "capturePerformance": False,
        "autocaptureExceptions": False,
        "siteApps": [],
        "hasFeatureFlags": False,
    }
)
ASIDE = frozenset(f"{path}{end}" for path in ("/flags", "/decide") for end in ("", "/"))


def aside(path: str) -> Answer | None:
    """The answer to what SDKs ask beside; None if it is no such thing."""
    if path in ASIDE or (path.startswith("/array/") and path.endswith("/config")):
        return Answer(200, _NO_FLAGS)
    if path.startswith("/array/") and path.endswith("/config.js"):
        return Answer(200, b"/* no remote configuration */", b"application/javascript")
    return None
