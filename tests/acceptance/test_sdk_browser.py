"""posthog-js, unchanged, in a real browser: it sends through a server that is killed meanwhile, and each event is there
once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.capture_server import CaptureServer, until
from tests.sdks.browser import TITLE, WHO, opened
from tests.sdks.known import Call, Reading, calls, check, kept

COUNT, PARTS = 300, 3
CHOSEN = frozenset({"$identify", "$set", "$groupidentify", "$create_alias"})
GROUP = {"$group_type", "$group_key", "$group_set"}
#: The SDK adds dozens of others, of the browser, the page and the campaign.
SENT = frozenset({*calls(2)[1].properties, *GROUP, "plan", "title", "alias"})
READING = Reading(lambda name: name not in SENT, CHOSEN)


def expected(call: Call) -> dict[str, Any]:
    """What the store must have of a call."""
    chosen = {"id": None, "at": None, "who": WHO}
    match call.kind:
        case "identify" if call.number % 20 == 1:
            return kept(call, "$set", set=call.properties, **chosen)
        case "identify":
            return kept(call, "$set", set_once=call.properties, **chosen)
        case "group":
            group = {"$group_type": "company", "$group_key": call.group, "$group_set": call.properties}
            return kept(call, "$groupidentify", properties=group, **chosen)
        case "alias":
            return kept(call, "$create_alias", properties={"alias": call.previous}, **chosen)
        case "page":
            return kept(call, "$pageview", who=WHO, properties={**call.properties, "title": TITLE})
        case _:
            name = "$screen" if call.kind == "screen" else call.event
            return kept(call, name, who=WHO, properties=call.properties)


def test_what_a_page_sends_is_there_once_though_the_server_is_killed_twice(
    capture: CaptureServer, chromium: str, node_modules: Path, tmp_path: Path
) -> None:
    known, part = calls(COUNT), COUNT // PARTS
    identified = kept(known[0], "$identify", id=None, at=None, who=WHO, set={"plan": "größer"})
    with opened(chromium, tmp_path, node_modules, capture.url, capture.key(1), known) as page:
        page.tell("identify")
        capture.kill_while_events_wait(lambda: page.tell("send", **{"from": 0, "to": part}))
        for number in (1, 2):
            page.tell("offline")  # posthog-js tries three times only, but not while it is offline
            page.tell("send", **{"from": number * part, "to": (number + 1) * part})
            capture.start()
            if number == 1:
                capture.kill_at_next_commit(begin=lambda: page.tell("online"))
                assert capture.counts()[1] < 2 * part, "it was killed in the middle"
        page.tell("online")
        until(lambda: capture.counts().get(1, 0) >= COUNT + 1, "all is there")
        assert page.said == []
    check(capture, 1, [identified, *map(expected, known)], READING)


def test_a_wrong_key_is_told_to_the_page_and_nothing_arrives(
    capture: CaptureServer, chromium: str, node_modules: Path, tmp_path: Path
) -> None:
    with opened(chromium, tmp_path, node_modules, capture.url, "tm_" + "0" * 40, calls(10)) as page:
        page.tell("send", **{"from": 0, "to": 10})
        until(lambda: page.said, "the page is told")
        assert set(page.said) == {"status 401"}
    assert capture.counts() == {}
