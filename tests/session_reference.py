"""Sessions, computed the plain way: what the sessions model must say of these events."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from typing import Any

ENTRIES = (
    *("utm_source", "utm_campaign", "utm_medium", "utm_term", "utm_content", "gclid", "fbclid", "gad_source", "gclsrc"),
    *("dclid", "gbraid", "wbraid", "msclkid", "twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "_kx", "irclid"),
)


def sessions(events: list[dict[str, Any]]) -> dict[tuple[int, str], dict[str, Any]]:
    """By team and session; `events` as they were sent, in the order of their commits, each with its `team_id`.

    Without versions, times of hand-over, channels and what is another column's double.
    """
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for event in events:
        found.setdefault((event["team_id"], event["properties"]["$session_id"]), []).append(event)
    return {key: _session(key, members) for key, members in found.items()}


def _session(key: tuple[int, str], events: list[dict[str, Any]]) -> dict[str, Any]:
    def time(event: dict[str, Any]) -> dt.datetime:
        return dt.datetime.fromisoformat(event["timestamp"])

    def page(event: dict[str, Any]) -> bool:
        return event["event"] in {"$pageview", "$screen"}

    in_time = sorted(events, key=time)  # stable: of equal times the first that came is first
    forward = sorted(in_time, key=lambda event: not page(event))
    backward = sorted(in_time, key=page)

    def first(name: str) -> Any:
        return next((event["properties"][name] for event in forward if event["properties"].get(name)), None)

    def last(name: str, among: list[dict[str, Any]]) -> Any:
        return next((event["properties"][name] for event in reversed(among) if event["properties"].get(name)), None)

    counts = {
        name: sum(event["event"] == name for event in events) for name in ("$pageview", "$autocapture", "$screen")
    }
    seen = sum(counts.values())
    start, end = time(in_time[0]), time(in_time[-1])
    seconds = int((end - start).total_seconds())
    urls = sorted(
        {
            event["properties"]["$current_url"]
            for event in events
            if page(event) and event["properties"].get("$current_url")
        }
    )
    entry, exit_ = first("$current_url"), last("$current_url", backward)
    return {
        "team_id": key[0],
        "session_id": key[1],
        "session_id_v7": str(int(key[1].replace("-", ""), 16)),
        "distinct_id": in_time[-1]["distinct_id"],
        "start_timestamp": start,
        "end_timestamp": end,
        "urls": urls,
        "num_uniq_urls": len(urls),
        **_parts("entry", entry),
        **_parts("end", exit_),
        **{f"entry_{name}": first(name) for name in ENTRIES},
        "entry_referring_domain": first("$referring_domain"),
        "pageview_count": counts["$pageview"],
        "autocapture_count": counts["$autocapture"],
        "screen_count": counts["$screen"],
        "session_duration": seconds,
        "duration": seconds,
        "exit_current_url": exit_,
        "exit_pathname": _parts("end", exit_)["end_pathname"],
        "is_bounce": None if not seen else not (seen > 1 or seconds >= 10),
        "last_external_click_url": last("$external_click_url", in_time),
        "page_screen_autocapture_count_up_to": min(seen, 2),
        "vitals_lcp": next(
            (
                e["properties"]["$web_vitals_LCP_value"]
                for e in in_time
                if e["properties"].get("$web_vitals_LCP_value") is not None
            ),
            None,
        ),
    }


def _parts(end: str, url: str | None) -> dict[str, str | None]:
    parts = urllib.parse.urlsplit(url or "")
    return {f"{end}_current_url": url, f"{end}_hostname": parts.hostname, f"{end}_pathname": parts.path or None}
