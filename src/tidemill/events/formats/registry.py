"""All formats by name, and which one a file has. Adding one costs its file and two lines here."""

from __future__ import annotations

from tidemill.errors import ConfigError, RowError
from tidemill.events.formats import text
from tidemill.events.formats.amplitude import Amplitude
from tidemill.events.formats.event import Format
from tidemill.events.formats.generic import Generic, Mapping
from tidemill.events.formats.mixpanel import Mixpanel
from tidemill.events.formats.posthog import PostHog
from tidemill.events.formats.segment import Segment

SDK_FORMATS: dict[str, Format] = {f.name: f for f in (PostHog(), Segment(), Amplitude(), Mixpanel())}
ROW_FORMATS = ("jsonl", "csv", "parquet")
NAMES = ("auto", *SDK_FORMATS, *ROW_FORMATS)


def get(name: str, mapping: Mapping, first: bytes, *, rows: str | None) -> tuple[Format, str, str]:
    """The format, its name, and remarks for the user. `first`: the first record; `rows`: csv or parquet, if it is.

    Raises
    ------
    ConfigError
        If there is no such format, the mapping does not fit, or it cannot be told which format it is.
    """
    if name not in NAMES:
        raise ConfigError("format_unknown", f"There is no format {name!r}.", hint=f"Formats: {', '.join(NAMES)}.")
    if rows and name in {*SDK_FORMATS, *ROW_FORMATS} - {rows}:
        raise ConfigError("format_wrong", f"This is a {rows} file.", hint=f"Use --format {rows} or auto.")
    if name in {"csv", "parquet"} and rows != name:
        raise ConfigError("format_wrong", f"This is no {name} file.", hint="Use --format auto.")
    mapped = bool(mapping.model_dump(exclude_none=True))
    chosen = rows or (("jsonl" if mapped else detect(first)) if name == "auto" else name)
    if chosen in SDK_FORMATS:
        if mapped:
            raise ConfigError(
                "mapping_unused", f"The format {chosen} has no mapping.", hint="Leave out --map and --event."
            )
        return SDK_FORMATS[chosen], chosen, f"Read as {chosen} (--format changes that)." if name == "auto" else ""
    completed, told = mapping.guessed(_columns(first))
    return Generic(completed), chosen, told


def _columns(first: bytes) -> list[str]:
    try:
        return list(text.fields(text.mend(first)))
    except RowError as error:
        raise ConfigError(
            "format_unclear",
            f"The first line is no JSON object: {error.message}",
            hint=f"Say which format it is: --format {'|'.join(NAMES[1:])}",
        ) from None


def detect(first: bytes) -> str:
    """The format that a file's first record has.

    Raises
    ------
    ConfigError
        If it looks like none.
    """
    if first[:1] == b"[":
        inner = text.members(first)
        return detect(inner[0]) if inner else "posthog"
    names = set(_columns(first))
    given = text.fields(text.mend(first))
    if "batch" in names:
        members = text.members(given["batch"])
        kinds = set(text.fields(members[0])) if members else set()
        return "segment" if "type" in kinds and "messageId" in kinds | names else "posthog"
    if "event_type" in names and {"user_id", "device_id", "amplitude_id"} & names:
        return "amplitude"
    if "events" in names and "api_key" in names:
        return "amplitude"
    if "type" in names and {"userId", "anonymousId", "messageId"} & names:
        return "segment"
    if "event" in names and "properties" in names:
        inside = set(text.fields(bytes(given["properties"]))) if bytes(given["properties"])[:1] == b"{" else set()
        posthog = {"distinct_id", "$distinct_id", "timestamp", "api_key", "token", "uuid", "offset"} & names
        return "mixpanel" if "time" in inside and not posthog else "posthog"
    return "jsonl"
