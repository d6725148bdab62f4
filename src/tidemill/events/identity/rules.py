"""The rules of identity that need no state: which ids are refused, which events change a person, what it is called.

Facts: PostHog's ingestion (ids that stand for nobody; properties that SDKs send by themselves) and its page on
identifying users.
"""

from __future__ import annotations

import uuid

MERGES = frozenset({"$identify", "$create_alias", "$merge_dangerously"})
#: Events about a person: whatever they change is written.
_PERSON_EVENTS = MERGES | {"$set"}
#: Events that never change properties.
SILENT = frozenset({"$exception", "$$heatmap"})
#: A person's properties may have so many bytes as JSON.
MAX_PROPERTIES = 512 * 1024

_NOBODY_ANY_CASE = frozenset(
    {"anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email", "undefined"}
    | {"true", "false"}
)
_NOBODY = frozenset({"[object Object]", "NaN", "None", "none", "null", "0", "undefined"})

#: Properties that SDKs send with every event. Alone they are no reason to write a person again.
_AUTOMATIC = frozenset(
    {f"$app_{name}" for name in ("build", "name", "namespace", "version")}
    | {"$browser", "$browser_version", "$device_type", "$current_url", "$pathname", "$os", "$os_version"}
    | {"$referring_domain", "$referrer"}
    | {f"utm_{name}" for name in ("source", "medium", "campaign", "content", "name", "term")}
    | {"gclid", "gad_source", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "twclid", "li_fat_id"}
    | {"mc_cid", "igshid", "ttclid", "rdt_cid"}
)
_PERSONS = uuid.UUID("8c62f0bc-52c0-4d6d-9a5a-3a8a4a4e0b5e")


def stands_for_nobody(distinct_id: str) -> bool:
    """Whether many people are sent under this id, so that it must not be merged with anyone's."""
    plain = distinct_id.strip()
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "'\"":
        plain = plain[1:-1].strip()
    return not plain or plain in _NOBODY or plain.lower() in _NOBODY_ANY_CASE


def person_id(team_id: int, distinct_id: str, before: int = 0) -> str:
    """The id of the person that is made for this distinct_id: always the same, so that a rebuilt store has it too.

    `before`: another number each time that the one before was deleted.
    """
    return str(uuid.uuid5(_PERSONS, f"{team_id}:{distinct_id}" + (f":{before}" if before else "")))


def worth_writing(event: str, changed: set[str]) -> bool:
    """Whether the change of these properties by this event is a reason to write the person."""
    if event in _PERSON_EVENTS:
        return bool(changed)
    return any(name not in _AUTOMATIC and not name.startswith("$geoip_") for name in changed)
