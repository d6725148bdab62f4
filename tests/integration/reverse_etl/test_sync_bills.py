"""What runs of syncs are billed for: all statements count, and each keeps to the limit."""

from __future__ import annotations

from typing import Any

import pytest
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, quiet, run

from tidemill.app import App
from tidemill.bigquery import describe
from tidemill.bigquery.client import Client
from tidemill.errors import ConfigError
from tidemill.reverse_etl.views import RunView

LIMIT = 20_000_000


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


class Bills:
    """Statements that BigQuery was asked for: each is billed for ten bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limits: list[tuple[str, int | None]] = []
        self.number = self.described = 0
        bill, query, described = Client.bill, Client.query, describe.described

        def billing(client: Client, _size: int) -> None:
            self.number += 1
            bill(client, 10)

        def asking(client: Client, sql: str, **given: Any) -> Any:
            self.limits.append((sql.split(maxsplit=1)[0], given.get("max_bytes_billed")))
            return query(client, sql, **given)

        def describing(*args: Any, **given: Any) -> Any:
            self.described += 1
            return described(*args, **given)

        monkeypatch.setattr(Client, "bill", billing)
        monkeypatch.setattr(Client, "query", asking)
        monkeypatch.setattr(describe, "described", describing)


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_all_statements_of_a_run_count(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch, access: str
) -> None:
    people.rows[3] = ("p3@example.com", "bad")
    people.save()
    written = {"write_back_days": 7} if access == "full" else {}
    prepare(app, installation, people, crm, access=access, max_bytes_billed=LIMIT, **written)
    bills = Bills(monkeypatch)
    over = run(app)
    assert (over.status, over.bytes_billed) == ("completed", 10 * bills.number)
    assert bills.number >= (5 if access == "full" else 1)
    assert app.reverse_etl.syncs.show_run(NAME).bytes_billed == over.bytes_billed
    # What was delivered is to be remembered: that is asked for before, and not limited then.
    assert {kind for kind, limit in bills.limits if limit is None} <= {"MERGE"}
    assert bills.described == 2  # when the run is made, and when it is planned


def test_a_run_whose_end_would_cost_too_much_sends_nothing(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm, max_bytes_billed=LIMIT)
    bills = Bills(monkeypatch)
    monkeypatch.setattr(Client, "dry_run", lambda _client, _sql: LIMIT + 1)
    over: RunView | None = None
    try:
        over = run(app)
    except ConfigError:
        over = app.reverse_etl.syncs.show_run(NAME)
    assert over.error is not None
    assert (over.status, over.error["code"]) == ("failed", "bytes_billed_limit")
    assert "20,000,001 bytes" in over.error["message"]
    assert crm.sent == []
    assert over.bytes_billed == 10 * bills.number > 0


def test_a_dry_run_tells_what_all_its_statements_were_billed_for(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    bills = Bills(monkeypatch)
    found = app.reverse_etl.trials.estimate(NAME, quiet())
    assert found.bytes_billed == 10 * bills.number > 0
    assert found.stopped is None


def test_a_dry_run_tells_what_a_run_would_be_billed_for(
    installation: Installation, app: App, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(app, installation, people, crm)
    Bills(monkeypatch)
    monkeypatch.setattr(Client, "dry_run", lambda _client, _sql: 50_000_000)
    found = app.reverse_etl.trials.estimate(NAME, quiet())
    plan = found.run_bytes - 50_000_000
    assert 0 < plan < found.bytes_billed, "samples are read for the dry run alone"
    assert found.run_dollars > found.dollars
