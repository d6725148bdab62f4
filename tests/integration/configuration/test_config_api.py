"""A whole configuration by the HTTP API: the scopes that a plan names are those that it takes, no more and no less."""

from __future__ import annotations

import os
import re
from typing import Any

from tests.api_client import Client
from tests.configurations import applied
from tests.integration.configuration.conftest import Configured

from tidemill.access.permissions import Permission

_READS = [one for one in Permission if one.endswith(":read")]
_OF_DBT = re.compile(r"dbt_projects:\n(?:  .*\n)+")


def test_a_plan_names_the_scopes_that_it_takes(configured: Configured) -> None:
    client = Client(configured.app)
    (folder,) = _OF_DBT.findall(configured.text)
    applied(configured.app, folder, test=False)  # a folder of the server is for its command line
    names = set(re.findall(r"env: (\w+)", configured.text))
    body: dict[str, Any] = {
        "files": {"tidemill.yaml": configured.text},
        "secrets": {name: os.environ[name] for name in names},
    }
    made = _applied(client, body)
    assert made["counts"] == {"create": 16, "change": 0, "delete": 0, "unchanged": 1, "others": 0}
    written = client.ask("GET", "/configuration", client.token(*_READS)).text
    again = client.ask("POST", "/configuration/plan", client.token(*_READS), json={"files": {"x": written}}).json()
    assert again["steps"] == [], "what is read can be planned as it is"
    changed = configured.text.replace("SELECT 1 AS id", "SELECT 2 AS id").replace("6h", "12h")
    changed = changed.replace("calls_per_second: 20", "calls_per_second: 30")
    assert _applied(client, {**body, "files": {"a": changed}})["counts"]["change"] == 3
    nothing = "".join(f"{section}: {{}}\n" for section in re.findall(r"^(\w+):$", configured.text, re.MULTILINE))
    assert _applied(client, {"files": {"a": nothing}, "prune": True})["counts"]["delete"] == 17
    said = "".join(client.said)
    assert not [name for name in names if os.environ[name] in said]


def _applied(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """What was planned by who may do everything, and done by who may do what the plan says."""
    planned = client.ask("POST", "/configuration/plan", client.token(), json=body)
    assert planned.status_code == 200, planned.text
    found: dict[str, Any] = planned.json()
    token = client.token(*_READS, *map(Permission, found["scopes"]))
    done = client.ask("POST", "/configuration/apply", token, json={**body, "plan": found["id"], "test": False})
    assert done.status_code == 200, done.text
    assert done.json()["error"] is None, done.text
    return found
