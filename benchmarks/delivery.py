"""How many rows a second a destination is given: `python benchmarks/delivery.py [--rows 40000]`.

Rows are mapped, checked, encoded, put into calls, sent by HTTP to a server of this machine, in another process, that
answers as the API does, and their outcomes are read. Counted is the time of a core that the sender takes. Writes
docs/benchmarks-delivery.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import DOCS, processor

sys.path.insert(0, str(Path(__file__).parent.parent))
GOAL = 20_000


class _Given:
    """What the API of a destination asks of a test: a PostgreSQL of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def getfixturevalue(self, _: str) -> Any:
        """It, begun."""
        from tidemill.settings import Settings
        from tidemill.store.postgres import open_postgres

        return open_postgres(Settings(home=self._home))


def serve(name: str, pipe: Any, home: Path) -> None:
    """The API of a destination, until it is told to end."""
    from tests.contract.everything import APIS

    api = APIS[name].of(_Given(home))  # type: ignore[arg-type]
    action, rows = pipe.recv()
    pipe.send((api.settings(), [api.fields(action, number) for number in range(rows)]))  # it knows them, too, then
    pipe.recv()
    api.close()


def measured(name: str, action_name: str, rows: int) -> dict[str, Any]:
    """Rows a second of a core."""
    from tidemill.destinations import deliver, fields, registry
    from tidemill.destinations.port import Outcome, Outlet, Record, Status, identity
    from tidemill.outbound.client import Http
    from tidemill.outbound.guard import Guard
    from tidemill.reverse_etl import mapping

    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    home = tempfile.TemporaryDirectory()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(name, theirs, Path(home.name)))
    process.start()
    ours.send((action_name, rows))
    settings_fields, source = ours.recv()
    destination = registry.get(name)
    action = destination.action(action_name)
    mapped = mapping.compile({field: {"@path": f"$.{field}"} for field in source[0]})
    check, mode = fields.checker(action), action.modes[0]
    op = sorted(mode.ops)[0]
    statuses: dict[Status, int] = {}

    def records() -> Any:
        for number, row in enumerate(source):
            key = str(number)
            found = check(mapped.apply(row), op)
            assert not isinstance(found, Outcome), found
            yield Record(key, identity("s", key, "h", op), op, mode, found)

    def told(outcomes: Any) -> None:
        for _, outcome in outcomes:
            statuses[outcome.status] = statuses.get(outcome.status, 0) + 1

    http = Http(Guard(["127.0.0.1"]))
    settings = destination.settings(**settings_fields)
    with contextlib.closing(http), destination.open(settings, Outlet(http, time.sleep)) as client:
        line = deliver.Line(client, action, settings.secrets, lambda _: contextlib.nullcontext(), time.sleep)
        began, cpu = time.perf_counter(), time.process_time()
        deliver.deliver(line, records(), told)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ours.send(None)
    process.join()
    home.cleanup()
    assert statuses == {Status.WRITTEN: rows}, statuses
    return {
        "name": name,
        "action": action_name,
        "rows": rows,
        "batch": action.limits.rows,
        "cpu": rows / cpu,
        "wall": rows / seconds,
    }


def page(found: list[dict[str, Any]]) -> str:
    """The text."""
    lines = [
        f"| {one['name']} | {one['action']} | {one['batch']:,} | {one['cpu']:,.0f} "
        f"| {'met' if one['cpu'] >= GOAL else '**missed**'} | {one['wall']:,.0f} |"
        for one in found
    ]
    table = "\n".join(
        [
            "| destination | action | rows a call | rows a second of a core | goal | rows a second by the wall |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    return f"""# Benchmarks of delivery

Measured by `make bench`, or `python benchmarks/delivery.py`: {processor()}. Rows are mapped, checked, encoded, put into calls, and sent by HTTP to a
server of the same machine that answers as the API does; their outcomes are read. Counted is the time of a core that the sender takes. Goal for APIs that take many
rows a call: {GOAL:,}. What an API allows is less in most cases. By the wall it is less where what an account allows is kept to, where the API works on what it was given
and is asked again whether it is done (a job, or a list), as these servers do, too; and where the servers, on the same two cores, are what is slow.

{table}
"""


def main() -> None:
    """See the module."""
    from tidemill.destinations import registry

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    found = []
    for name, destination in registry.everything().items():
        for action in destination.actions:
            if action.limits.rows < 50 or (options.only and options.only != name):
                continue
            found.append(measured(name, action.name, options.rows))
            print(json.dumps(found[-1]), flush=True)
    if not options.only:
        (DOCS / "benchmarks-delivery.md").write_text(page(found))


if __name__ == "__main__":
    main()
