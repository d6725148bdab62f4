"""`tidemill serve` tells people what is wrong with a sync, and when it is over."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.receivers import Web
from tests.served import Server
from tests.streams import eventually
from tests.syncs import NAME, Crm, People, prepare

from tidemill.app import App


def said(installation: Installation, *words: str) -> Any:
    """What a command prints, as JSON."""
    done = subprocess.run(
        installation.command(*words, "--json"),
        env=installation.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def due(app: App) -> None:
    """It is due now."""
    syncs = app._sync_books.syncs
    syncs.settle(app.reverse_etl.syncs.get(NAME).id, next_at=syncs.now())


def test_a_failure_is_told_to_a_channel_of_that_sync_and_that_it_is_over(
    installation: Installation, people: People, crm: Crm, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installation.environment, "TIDEMILL_OUTBOUND_ALLOW", "127.0.0.1")
    with installation.app(outbound_allow="127.0.0.1") as app:
        prepare(app, installation, people, crm, interval="week")
        channel = said(installation, "notify", "add", "webhook", "pager", "--url", web.url(), "--sync", NAME)
        assert (channel["exports"], channel["syncs"]) == ([], [NAME])
        changed = said(installation, "sync", "edit", NAME, "--deviation", "50%", "--reject-share", "none")
        assert (changed["spec"]["deviation"], changed["spec"]["reject_share"]) == (0.5, 1.0)
        assert said(installation, "sync", "edit", NAME, "--deviation", "none")["spec"]["deviation"] is None
        crm.faults = [Reply(403, {"error": "no"})]
        server = Server(installation, tmp_path / "server.log")
        server.start()
        try:
            due(app)
            eventually(lambda: len(web.requests) == 1, "the failure is told")
            (trouble,) = said(installation, "sync", "show", NAME)["troubles"]
            assert (trouble["cause"], trouble["code"]) == ("failed", "destination_denied")
            due(app)
            eventually(lambda: len(web.requests) == 2, "the end of it is told")
        finally:
            server.kill()
        failed, over = (json.loads(request.body) for request in web.requests)
        assert (failed["type"], over["type"]) == ("sync.failed", "sync.recovered")
        assert (failed["data"]["sync"], failed["data"]["export"]) == (NAME, None)
        assert (failed["data"]["model"], failed["data"]["destination"]) == ("people", "hook")
        assert f"tidemill sync show {NAME}" in failed["data"]["commands"]
        assert [one["cause"] for one in over["data"]["over"]] == ["failed"]
        assert crm.people == people.expected()
