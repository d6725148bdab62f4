"""Everything that the command line can do, the HTTP API can, or it is said why not: a new command needs a line here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests import client_writer

from tidemill.cli.main import app

#: What is about the machine, its disk, or the server itself: of these nobody else can say anything.
MACHINE = "of the machine"
#: What takes the database or the secret key as a whole.
COPIES = "of the installation as a whole"
#: What lets in without a token: to be had by who is at the machine alone.
DOOR = "of who may come in first"
LOCAL = "of the embedded BigQuery"
#: A server does it by itself.
BY_ITSELF = "of a process that is watched"

#: By the command: the route that does it, below /api/v1; or why there is none. What stands here is so of all below.
TABLE: dict[str, str | tuple[str, ...]] = {
    "init": (MACHINE,),
    "doctor": "GET /health",
    "demo": (LOCAL,),
    "serve": (MACHINE,),
    "install-service": (MACHINE,),
    "egress-ips": "GET /egress-ips",
    "backup": (COPIES,),
    "migrate": (COPIES,),
    "restore": (COPIES,),
    "local": (LOCAL,),
    "export-config": "GET /configuration",
    "plan": "POST /configuration/plan",
    "apply": "POST /configuration/apply",
    "connection add": "POST /connections",
    "connection list": "GET /connections",
    "connection show": "GET /connections/{name}",
    "connection test": "POST /connections/{name}/test",
    "connection grants": "GET /set-up",
    "connection set-up": "GET /set-up",
    "connection edit": "PATCH /connections/{name}",
    "connection delete": "DELETE /connections/{name}",
    "connection datasets": "GET /connections/{name}/datasets",
    "events load": "POST /events/loads",
    "events show": "GET /events",
    "events count": "GET /events/count",
    "events compact": "POST /events/compact",
    "events rejects list": "GET /events/rejects",
    "events rejects export": "GET /events/rejects/export",
    "events rejects retry": "POST /events/rejects/retry",
    "events rejects dismiss": "POST /events/rejects/dismiss",
    "events store": (MACHINE,),
    "key create": "POST /keys",
    "key list": "GET /keys",
    "key revoke": "POST /keys/{name}/revoke",
    "persons show": "GET /persons",
    "persons refused": "GET /persons/refused",
    "persons delete": "DELETE /persons",
    "model list": "GET /export-models",
    "model show": "GET /export-models/{name}",
    "model add": "POST /source-models",
    "model edit": "PATCH /source-models/{name}",
    "model delete": "DELETE /source-models/{name}",
    "model preview": "POST /source-models/{name}/preview",
    "model check": "POST /source-models/{name}/check",
    "export create": "POST /exports",
    "export test": "POST /exports/{name}/test",
    "export list": "GET /exports",
    "export show": "GET /exports/{name}",
    "export edit": "PATCH /exports/{name}",
    "export delete": "DELETE /exports/{name}",
    "export runs": "GET /exports/{name}/runs",
    "export run start": "POST /exports/{name}/trigger",
    "export run show": "GET /exports/{name}/runs/{run}",
    "export run retry": "POST /exports/{name}/runs/{run}/retry",
    "export run again": "POST /exports/{name}/runs/{run}/again",
    "export run cancel": "POST /exports/{name}/runs/{run}/cancel",
    "export run logs": "GET /exports/{name}/runs/{run}/logs",
    "export logs": "GET /exports/{name}/logs",
    "export stream": (BY_ITSELF,),
    "export pause": "POST /exports/{name}/pause",
    "export unpause": "POST /exports/{name}/unpause",
    "export verify": "POST /exports/{name}/table/verify",
    "export settle": "POST /exports/{name}/table/settle",
    "export backfill start": "POST /exports/{name}/backfills",
    "export backfill resume": "POST /exports/{name}/backfills/{backfill}/resume",
    "export backfill pause": "POST /exports/{name}/backfills/{backfill}/pause",
    "export backfill cancel": "POST /exports/{name}/backfills/{backfill}/cancel",
    "export backfill list": "GET /exports/{name}/backfills",
    "export backfill show": "GET /exports/{name}/backfills/{backfill}",
    "export rejects list": "GET /rejects",
    "export rejects export": "GET /exports/{name}/rejects/export",
    "export rejects dismiss": "POST /exports/{name}/rejects/dismiss",
    "export rejects retry": "POST /exports/{name}/rejects/retry",
    "export hook create": "POST /exports/{name}/hooks",
    "export hook list": "GET /exports/{name}/hooks",
    "export hook revoke": "DELETE /exports/{name}/hooks/{start}",
    "destination kinds": "GET /destination-kinds",
    "destination show-kind": "GET /destination-kinds/{name}",
    "destination add": "POST /destinations",
    "destination edit": "PATCH /destinations/{name}",
    "destination list": "GET /destinations",
    "destination show": "GET /destinations/{name}",
    "destination test": "POST /destinations/{name}/test",
    "destination delete": "DELETE /destinations/{name}",
    "destination new": (MACHINE,),
    "reverse-etl enable": "POST /sources/{name}/enable",
    "reverse-etl test": "POST /sources/{name}/test",
    "reverse-etl list": "GET /sources",
    "reverse-etl show": "GET /sources/{name}",
    "reverse-etl disable": "POST /sources/{name}/disable",
    "reverse-etl grants": "GET /set-up",
    "dbt add": "POST /dbt-projects",
    "dbt edit": "PATCH /dbt-projects/{name}",
    "dbt list": "GET /dbt-projects",
    "dbt show": "GET /dbt-projects/{name}",
    "dbt models": "GET /dbt-projects/{name}/models",
    "dbt refresh": "POST /dbt-projects/{name}/refresh",
    "dbt check": "POST /dbt/{name}/readable",
    "dbt in-use": "GET /dbt/{name}/in-use",
    "dbt runs": "GET /dbt-projects/{name}/cloud-runs",
    "dbt delete": "DELETE /dbt-projects/{name}",
    "notify add": "POST /channels",
    "notify list": "GET /channels",
    "notify show": "GET /channels/{name}",
    "notify test": "POST /channels/test",
    "notify edit": "PATCH /channels/{name}",
    "notify remove": "DELETE /channels/{name}",
    "token create": "POST /tokens",
    "token list": "GET /tokens",
    "token revoke": "POST /tokens/{name}/revoke",
    "user create": "POST /users",
    "user list": "GET /users",
    "user edit": "PATCH /users/{name}",
    "user set-password": "POST /users/{name}/password",
    "user unlock": "POST /users/{name}/unlock",
    "user delete": "DELETE /users/{name}",
    "user setup": (DOOR,),
    "audit list": "GET /audit",
    "audit export": "GET /audit/export",
    "sync create": "POST /syncs",
    "sync edit": "PATCH /syncs/{name}",
    "sync preview": "POST /syncs/{name}/dry-run",
    "sync try": "POST /syncs/{name}/test",
    "import create": "POST /imports",
    "import preview": "POST /imports/{name}/preview",
    "import dry-run": "POST /imports/{name}/dry-run",
    "import map": "PUT /imports/{name}/mapping",
    "import schedule": "PATCH /imports/{name}",
    "import edit": "PATCH /imports/{name}",
    "import stop": "POST /imports/{name}/stop",
    "import undo": "POST /imports/{name}/undo",
    "import rejects repair": "POST /imports/{name}/rejects/repair",
    "sync hook create": "POST /syncs/{name}/hooks",
    "sync hook list": "GET /syncs/{name}/hooks",
    "sync hook revoke": "DELETE /syncs/{name}/hooks/{start}",
    **{
        f"{kind} {command}": route.format(kind=f"{kind}s", name="{name}", number="{number}")
        for kind in ("sync", "import")
        for command, route in {
            "list": "GET /{kind}",
            "show": "GET /{kind}/{name}",
            "delete": "DELETE /{kind}/{name}",
            "run": "POST /{kind}/{name}/trigger",
            "trigger": "POST /{kind}/{name}/trigger",
            "run show": "GET /{kind}/{name}/runs/{number}",
            "runs": "GET /{kind}/{name}/runs",
            "logs": "GET /{kind}/{name}/runs/{number}/logs",
            "pause": "POST /{kind}/{name}/pause",
            "unpause": "POST /{kind}/{name}/unpause",
            "reset": "POST /{kind}/{name}/reset",
            "cancel": "POST /{kind}/{name}/cancel",
            "rejects list": "GET /{kind}/{name}/rejects",
            "rejects export": "GET /{kind}/{name}/rejects/export",
            "rejects retry": "POST /{kind}/{name}/rejects/retry",
            "rejects drop": "POST /{kind}/{name}/rejects/drop",
        }.items()
    },
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """All of them, but for groups of others."""
    below = getattr(command, "commands", None)
    if not below:
        yield " ".join(path)
        return
    for name, one in below.items():
        yield from commands(one, (*path, name))


def entry(command: str) -> str | None:
    """The line of the table that a command has: its own, or that of a group."""
    words = command.split()
    starts = (" ".join(words[:length]) for length in range(len(words), 0, -1))
    return next((start for start in starts if start in TABLE), None)


def test_each_command_is_a_route_or_it_is_said_why_not() -> None:
    assert [one for one in commands(typer.main.get_command(app)) if entry(one) is None] == []


def test_each_line_is_of_a_command() -> None:
    found = list(commands(typer.main.get_command(app)))
    assert [line for line in TABLE if not any(f"{one} ".startswith(f"{line} ") for one in found)] == []


@pytest.fixture(scope="module")
def routes() -> set[str]:
    paths = client_writer.described()["paths"]
    return {f"{method.upper()} {path.removeprefix('/api/v1')}" for path, methods in paths.items() for method in methods}


def test_each_route_of_the_table_is_there(routes: set[str]) -> None:
    assert sorted({route for route in TABLE.values() if isinstance(route, str)} - routes) == []


def test_what_is_for_the_command_line_alone_is_in_the_reference() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/api.md").read_text()
    section = text.partition("## What the API does not do")[2].partition("\n## ")[0]
    missing = [line for line, route in TABLE.items() if not isinstance(route, str) and f"`{line}`" not in section]
    assert missing == []
