"""How soon pages of the web app are painted in a large installation: 10,000 exports and 1,000,000 runs.

    python benchmarks/web_paint.py [--exports 10000] [--runs 1000000]

Real Chromium opens each page of the navigation three times, on the machine that serves it; the limit is a second to the
first contentful paint. Beside it: when the page has its content, and is live. Writes docs/benchmarks-web.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from playwright.sync_api import sync_playwright
from tests.sdks.browser import found
from tests.web_server import Web, cookie

import api_lists
from report import DOCS, processor
from tidemill.app import App
from tidemill.settings import Settings
from tidemill.web.places import PLACES

LIMIT_MS, TIMES = 1_000.0, 3
#: Beside those of the navigation: one export, and its tabs with the most in them.
MORE = ("/exports/export%20000007", "/exports/export%20000007?tab=metrics", "/exports/new/data")
PAGE = """# Benchmarks of the web app's pages

Measured by `python benchmarks/web_paint.py` on {date}: {processor}, which serves the pages, holds the database and runs Chromium, {load}. {exports:,} exports and {runs:,} runs
are in the database. Each page is opened {times} times; the median, and the most.

| page | first paint, ms | most | content is there, ms |
|---|---|---|---|
{rows}

The limit of the first paint is {limit:g} ms: {verdict}. The first visitor after the server was begun waited {first:.1f} s: its process begins then.
"""
_PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"


def opened(page: Any, address: str) -> tuple[float, float]:
    """Milliseconds to the first paint, and until the page has its content."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("main h1")
    page.wait_for_function("!document.querySelector('main .spinner')", timeout=60_000)
    whole = 1_000 * (time.perf_counter() - began)
    page.wait_for_function(f"{_PAINT}.length > 0")
    return float(page.evaluate(_PAINT)[0]), whole


def measured(web: Web) -> tuple[float, dict[str, list[tuple[float, float]]]]:
    """Seconds that the first visitor waits; and what each page took."""
    session = web.user()
    paths = [place.path for place in PLACES if place.listed] + list(MORE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([cookie(web.url, session)])
        page = context.new_page()
        began = time.perf_counter()
        opened(page, web.url)
        first = time.perf_counter() - began
        took = {path: [opened(page, web.url + path) for _ in range(TIMES)] for path in paths}
        browser.close()
    return first, took


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--exports", type=int, default=10_000)
    words.add_argument("--runs", type=int, default=1_000_000)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder, App(Settings(home=Path(folder) / "home")) as app:
        app.lake.position()
        api_lists.fill(app, asked.exports, asked.runs)
        web = Web(app, Path(folder) / "serve.log")
        web.start()
        try:
            first, took = measured(web)
        finally:
            web.stop()
    rows, worst = [], 0.0
    for path, times in took.items():
        paints = [paint for paint, _ in times]
        worst = max(worst, statistics.median(paints))
        whole = statistics.median(one for _, one in times)
        rows.append(f"| `{path}` | {statistics.median(paints):.0f} | {max(paints):.0f} | {whole:.0f} |")
    text = PAGE.format(
        date=time.strftime("%Y-%m-%d"), processor=processor(), load=f"load average {os.getloadavg()[0]:.1f}",
        exports=asked.exports, runs=asked.runs, times=TIMES, rows="\n".join(rows), limit=LIMIT_MS, first=first,
        verdict="kept" if worst <= LIMIT_MS else "**missed**",
    )  # fmt: skip
    print(text)
    (DOCS / "benchmarks-web.md").write_text(text)
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
