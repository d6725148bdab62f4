"""Makes realistic analytics events: 38 properties, about 1.3 KB of JSON each, some text not ASCII.

The values are drawn with DuckDB from a seeded hash of the row number, so the same arguments give the same file.
Shape and size follow what web SDKs send with a page view (browser, device, campaign, page, feature flags, $set_once).

    python benchmarks/generate.py --rows 1000000 --out events.jsonl
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb

EVENTS = ("$pageview", "$pageleave", "$autocapture", "order completed", "product viewed", "sign up", "search")
CITIES = ("Zürich", "São Paulo", "東京", "Berlin", "New York", "Kraków", "Bengaluru", "Lyon", "Oslo", "Mexico City")
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Samsung Internet")
SYSTEMS = ("Mac OS X", "Windows", "Android", "iOS", "Linux")
PAGES = ("/", "/pricing", "/docs", "/blog/how-we-ship", "/product/{n}", "/checkout", "/account/settings")
REFERRERS = ("https://www.google.com/", "$direct", "https://news.example.org/item?id=12", "https://t.co/abc")
AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
)


def _pick(values: tuple[str, ...], salt: int) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"list_extract([{quoted}], 1 + (hash(i, {salt}) % {len(values)})::INT)"


def _hex(salt: int) -> str:
    return f"lower(printf('%016x', hash(i, {salt})))"


def select(rows: int, first: int = 0, *, sessions: bool = False, seconds: float = 1.0) -> str:
    """SQL that makes `rows` events from number `first` on: one column, `line`, the event as JSON text.

    `sessions`: twenty events each have one $session_id, a UUID of version 7. `seconds`: from one event to the next.
    """
    strings = {
        "$os": _pick(SYSTEMS, 1),
        "$browser": _pick(BROWSERS, 2),
        "$device_type": _pick(("Desktop", "Mobile", "Tablet"), 3),
        "$host": "'shop.example.com'",
        "$pathname": f"replace({_pick(PAGES, 4)}, '{{n}}', (hash(i, 5) % 5000)::VARCHAR)",
        "$current_url": f"'https://shop.example.com/product/' || (hash(i, 5) % 5000)::VARCHAR || '?ref=' || {_hex(6)}",
        "$raw_user_agent": f"'{AGENT}'",
        "$referrer": _pick(REFERRERS, 7),
        "$referring_domain": _pick(("www.google.com", "$direct", "news.example.org", "t.co"), 7),
        "$geoip_city_name": _pick(CITIES, 8),
        "$geoip_country_code": _pick(("CH", "BR", "JP", "DE", "US", "PL", "IN", "FR", "NO", "MX"), 8),
        "$geoip_time_zone": _pick(("Europe/Zurich", "America/Sao_Paulo", "Asia/Tokyo", "Europe/Berlin"), 8),
        "$lib": "'web'",
        "$lib_version": "'1.96.1'",
        "$insert_id": f"left({_hex(9)}, 16)",
        "$device_id": f"{_hex(10)} || left({_hex(11)}, 12)",
        "$session_id": _session(seconds) if sessions else f"{_hex(12)} || left({_hex(13)}, 12)",
        "$window_id": f"{_hex(14)} || left({_hex(15)}, 12)",
        "$ip": "(hash(i,16) % 223 + 1)::VARCHAR || '.' || (hash(i,17) % 256)::VARCHAR || '.12.7'",
        "utm_source": _pick(("google", "newsletter", "partner", "none"), 18),
        "utm_medium": _pick(("cpc", "email", "social", "organic"), 19),
        "utm_campaign": _pick(("summer-sale", "launch", "retarget-2", "brand"), 20),
        "title": f"'Product ' || (hash(i, 5) % 5000)::VARCHAR || ' · ' || {_pick(CITIES, 21)}",
        "currency": _pick(("EUR", "USD", "CHF", "JPY"), 22),
        "sku": f"upper(left({_hex(23)}, 10))",
        "plan": _pick(("free", "team", "enterprise"), 24),
    }
    numbers = {
        "$browser_version": "(90 + hash(i, 30) % 40)::INT",
        "$screen_height": "(700 + hash(i, 31) % 900)::INT",
        "$screen_width": "(360 + hash(i, 32) % 2200)::INT",
        "$viewport_height": "(600 + hash(i, 33) % 800)::INT",
        "$viewport_width": "(340 + hash(i, 34) % 2000)::INT",
        "$geoip_latitude": "((hash(i, 35) % 180000)::BIGINT - 90000) / 1000.0",
        "$geoip_longitude": "((hash(i, 36) % 360000)::BIGINT - 180000) / 1000.0",
        "price": "(hash(i, 37) % 100000) / 100.0",
        "quantity": "(1 + hash(i, 38) % 5)::INT",
    }
    parts = [f"'\"{key}\":\"' || {value} || '\"'" for key, value in strings.items()]
    parts += [f"'\"{key}\":' || {value}" for key, value in numbers.items()]
    parts += [
        '\'"$active_feature_flags":["new-nav","beta-search"],"logged_in":\' || (hash(i, 40) % 2 = 0)',
        f'\'"$set_once":{{"$initial_referrer":"\' || {_pick(REFERRERS, 7)} || \'"}}\'',
    ]
    properties = " || ',' || ".join(parts)
    left, right = _hex(50), _hex(51)
    uuid = f"left({left},8)||'-'||substr({left},9,4)||'-7'||left({right},3)||'-8'||substr({right},4,3)"
    uuid += f"||'-'||substr({right},7,10)||'00'"
    moment = f"strftime(make_timestamp(1767225600000000 + i * {int(seconds * 1e6)}), '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"""
        SELECT '{{"uuid":"' || {uuid} || '","event":"' || {_pick(EVENTS, 60)} || '","distinct_id":"user-'
            || (hash(i, 61) % greatest({rows} // 20, 1000))::VARCHAR || '","timestamp":"' || {moment}
            || '","properties":{{' || {properties} || '}}}}' AS line
        FROM range({first}, {first + rows}) AS t(i)"""


def _session(seconds: float) -> str:
    """Of each twenty events one id, which begins with the milliseconds of the first."""
    began = f"lpad(format('{{:x}}', 1767225600000 + (i // 20 * 20 * {int(seconds * 1000)})::BIGINT), 12, '0')"
    number = "printf('%012x', i // 20)"
    return f"left({began}, 8) || '-' || substr({began}, 9) || '-7000-8000-' || {number}"


def write(path: Path, rows: int, *, sessions: bool = False, seconds: float = 1.0) -> None:
    """Write `rows` events as JSON lines."""
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY ({select(rows, sessions=sessions, seconds=seconds)}) TO '{path}' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')"
        )


def main() -> None:
    """Write the file that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", action="store_true", help="with ids of sessions that count")
    parser.add_argument("--seconds", type=float, default=1.0, help="from one event to the next")
    arguments = parser.parse_args()
    write(arguments.out, arguments.rows, sessions=arguments.sessions, seconds=arguments.seconds)


if __name__ == "__main__":
    main()
