"""What the command line says of destinations and syncs: what can be done, what went wrong, and what to do."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, run

from tidemill.app import App


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def said(installation: Installation, *words: str, code: int = 0) -> str:
    """All that a command prints."""
    done: subprocess.CompletedProcess[str] = installation.run(*words, TIDEMILL_OUTBOUND_ALLOW="127.0.0.1")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_destination_is_changed_by_its_name_with_the_options_of_its_tool(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    for words in (("edit",), ("edit", "hook", "--help")):
        told = said(installation, "destination", *words, code=0 if "--help" in words else 2)
        assert ("--calls-per-second" in told) is ("hook" in words)
        assert "hook" in told
    nothing = said(installation, "destination", "edit", "hook", code=2)
    assert "--calls-per-second" in nothing
    assert "tidemill destination edit hook --help" in nothing
    assert "Destinations: hook." in said(installation, "destination", "edit", "other", code=4)
    assert "takes requests" in said(installation, "destination", "edit", "hook", "--calls-per-second", "20")
    said(installation, "destination", "edit", "hook", "--rename", "crm-hook")
    found = app.reverse_etl.destinations.get("crm-hook")
    assert found.settings["calls_per_second"] == 20
    assert "webhook" in said(installation, "destination", "add", "nothing", "x", code=4)
    assert "calls_per_second" in said(installation, "destination", "show-kind", "webhook")


def test_a_sync_says_why_its_last_run_failed_and_what_to_do(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, delete_brake=0.2)
    run(app)
    people.rows = {n: row for n, row in people.rows.items() if n < 5}
    people.save()
    told = said(installation, "sync", "preview", NAME)
    assert "It would stop before anything is sent. The run would delete 15 of 20 rows" in told
    assert "A run is billed for about" in told
    assert "tidemill sync run crm --allow-deletes" in said(installation, "sync", "run", NAME, code=1)
    shown = said(installation, "sync", "show", NAME)
    assert "The run would delete 15 of 20 rows (75%)" in shown
    assert "tidemill sync run crm --allow-deletes" in shown
    assert "failed" in said(installation, "sync", "list")
    said(installation, "sync", "run", NAME, "--allow-deletes")
    assert "15 of 20" not in said(installation, "sync", "show", NAME), "that is over"


def test_a_cursor_has_a_unit_and_looks_back(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    words = (
        "sync",
        "create",
        "late",
        "--model",
        "people",
        "--destination",
        "hook",
        "--map",
        "n=id",
        "--mode",
        "upsert",
    )
    cursor = ("--extraction", "cursor", "--cursor", "id", "--cursor-unit", "seconds", "--cursor-overlap", "6")
    said(installation, *words, *cursor)
    assert "cursor id, in seconds, overlap 6" in said(installation, "sync", "show", "late")
    said(installation, "sync", "edit", "late", "--cursor-unit", "none", "--cursor-overlap", "0")
    spec = app.reverse_etl.syncs.get("late").spec
    assert (spec.cursor, spec.cursor_unit, spec.cursor_overlap) == ("id", "none", 0)
    assert "there is none" in said(installation, "sync", "edit", NAME, "--cursor-overlap", "6", code=2)


def test_rows_that_were_not_delivered_are_tried_again_by_the_command_line(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows |= {7: ("p7@example.com", "bad"), 8: ("p8@example.com", "busy")}
    people.save()
    prepare(app, installation, people, crm)
    assert "20 extracted: 18 written, 1 rejected, 1 to retry" in said(installation, "sync", "run", NAME, code=6)
    told = said(installation, "sync", "rejects", "retry", NAME, "--key", "8", code=6)
    assert "for 1 row alone: 0 added, 0 updated, 0 deleted, 1 retried" in told
    assert "0 written, 0 rejected, 1 to retry" in told
    people.rows[7] = ("p7@example.com", "good")
    people.save()
    said(installation, "sync", "rejects", "retry", NAME, "--code", "webhook_rejected")
    assert "no such row" in said(installation, "sync", "rejects", "retry", NAME, "--code", "webhook_rejected")
    listed = json.loads(said(installation, "sync", "rejects", "list", NAME, "--json"))
    assert [one["key"] for one in listed] == ["8"]
    shown = json.loads(said(installation, "sync", "run", "show", NAME, "--json"))
    assert (shown["chosen"], shown["extracted"], shown["written"]) == (1, 1, 1)


def test_a_limit_of_what_a_run_may_cost_is_lifted(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    said(installation, "sync", "edit", NAME, "--max-bytes-billed", "20GB")
    assert app.reverse_etl.syncs.get(NAME).spec.max_bytes_billed == 20_000_000_000
    said(installation, "sync", "edit", NAME, "--max-bytes-billed", "none")
    assert app.reverse_etl.syncs.get(NAME).spec.max_bytes_billed is None
    assert "20GB" in said(installation, "sync", "edit", NAME, "--max-bytes-billed", "much", code=2)


def test_what_cannot_be_undone_asks_for_yes_where_nobody_can_answer(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    people.rows |= {7: ("p7@example.com", "bad"), 9: ("p9@example.com", "bad")}
    people.save()
    prepare(app, installation, people, crm)
    people.rows[11] = ("p11@example.com", "busy")
    people.save()
    told = said(installation, "sync", "run", NAME, code=6)
    assert "2 rows rejected. 1 row to retry. See why: tidemill sync rejects list crm" in told
    drop = ("sync", "rejects", "drop", NAME, "--code")
    told = said(installation, *drop, "webhook_rejected", code=2)
    assert "2 rows of crm" in told
    assert "add --yes" in told
    assert "there is no such row" in said(installation, *drop, "mapping_failed"), "there is nothing to ask"
    assert "2 rows given up" in said(installation, *drop, "webhook_rejected", "--yes")
    assert "Syncs deliver to hook: crm" in said(installation, "destination", "delete", "hook", code=5)
    assert "add --yes" in said(installation, "sync", "delete", NAME, code=2)
    app.reverse_etl.syncs.get(NAME)


def test_a_run_that_had_nothing_to_do_says_so_and_names_no_numbers(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    run(app)
    assert run(app).status == "skipped"
    shown = said(installation, "sync", "run", "show", NAME)
    assert "no table of the model has changed" in shown
    assert "extracted" not in shown
