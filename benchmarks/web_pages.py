"""What open pages of the web app cost its process: fifty of them, with live updates, take how much of a core?

    .venv/bin/python benchmarks/web_pages.py [PAGES] [SECONDS]

Pages are opened as browsers do (the page, then its websocket), by a program that answers pings: browsers would take the
machine for themselves. Beside it stands what one page costs, in the same run.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import httpx
import psutil
import psycopg
import websockets

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.acceptance.web.filled import fill
from tests.web_server import Web

from tidemill.app import App
from tidemill.settings import Settings

#: A run is at work all the time: there is something new to show at each look.
_GOES_ON = """
    UPDATE tidemill.chunks SET rows_loaded = rows_loaded + 1
    WHERE run_id IN (SELECT id FROM tidemill.runs WHERE status = 'running')
"""


async def page(url: str, session: str, until: asyncio.Event) -> int:
    """A page that stays open; gives how many messages came."""
    cookies = {"Cookie": f"tidemill_session={session}"}
    async with httpx.AsyncClient(headers=cookies, timeout=60) as client:
        text = (await client.get(url)).text
    found = re.search(r"'client_id': '([^']+)', 'next_message_id': (\d+)", text)
    assert found is not None
    query = {
        "client_id": found[1], "next_message_id": found[2], "implicit_handshake": "true", "tab_id": "t",
        "document_id": "d", "EIO": "4", "transport": "websocket",
    }  # fmt: skip
    address = url.replace("http", "ws", 1) + "/_nicegui_ws/socket.io/?" + urllib.parse.urlencode(query)
    count = 0
    async with websockets.connect(address, additional_headers=cookies, origin=url) as socket:
        while not until.is_set():
            try:
                said = await asyncio.wait_for(socket.recv(), 1)
            except TimeoutError:
                continue
            if said == "2":
                await socket.send("3")
            elif str(said).startswith("0"):
                await socket.send("40")
            else:
                count += 1
    return count


async def share(web: Web, session: str, pages: int, seconds: float) -> tuple[float, int]:
    """What part of a core the process takes while so many pages are open; and how many messages they got."""
    assert web.process is not None
    async with httpx.AsyncClient(timeout=60) as client:
        await client.get(f"{web.url}/sign-in")  # with the first visitor its process begins
    children = psutil.Process(web.process.pid).children()
    process = next(child for child in children if "tidemill.web.process" in " ".join(child.cmdline()))
    until = asyncio.Event()
    tasks = [asyncio.create_task(page(web.url, session, until)) for _ in range(pages)]
    await asyncio.sleep(5 + pages / 10)
    before, began = process.cpu_times(), time.perf_counter()
    with psycopg.connect(web.app.postgres.dsn, autocommit=True) as session_of_runs:
        while time.perf_counter() - began < seconds:
            session_of_runs.execute(_GOES_ON)
            await asyncio.sleep(1)
    after, took = process.cpu_times(), time.perf_counter() - began
    until.set()
    counts = await asyncio.gather(*tasks)
    return (after.user + after.system - before.user - before.system) / took, sum(counts)


def main() -> None:
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory(prefix="tidemill-web-") as folder, App(Settings(home=Path(folder, "home"))) as app:
        app.lake.position()
        web = Web(app, Path(folder, "serve.log"))
        web.start()
        try:
            session = web.user()
            fill(app)
            for number in (1, pages):
                part, messages = asyncio.run(share(web, session, number, seconds))
                print(f"{number} pages open: {100 * part:.1f} % of a core, {messages} messages", flush=True)
        finally:
            web.stop()


if __name__ == "__main__":
    main()
