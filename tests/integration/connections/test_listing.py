"""Connections are found by what uses them, and by when and by whom they were made; and what is told for allow-lists."""

from __future__ import annotations

import datetime as dt
import json

import sqlalchemy as sa
from tests.installation import CONNECTION, Installation
from tests.schedules import make
from tests.syncs import Crm, People, prepare

from tidemill.store.tables import connections
from tidemill.store.tables_sync import destinations


def names(installation: Installation, *words: str) -> set[str]:
    """Those that are listed."""
    done = installation.run("connection", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return {one["name"] for one in json.loads(done.stdout)}


def test_connections_are_found_by_what_uses_them(installation: Installation, people: People, crm: Crm) -> None:
    key = json.dumps(installation.local.key("other"))
    with installation.app(outbound_allow="127.0.0.1") as app:
        prepare(app, installation, people, crm)
        for name in ("streamed", "unused"):
            app.connections.add(app.connections.draft(name=name, dataset=installation.dataset, key=key), by="Ana")
        make(app)
        app.exports.create("streamed", {"name": "live", "mode": "stream", "table": "live"}, by="tester")
        old = dt.datetime(2026, 1, 31, 23, 59).astimezone()
        with app.database.begin() as session:
            session.execute(sa.update(connections).where(connections.c.name == "unused").values(connected_at=old))
    assert names(installation, "--used-by", "export") == {CONNECTION, "streamed"}
    assert names(installation, "--used-by", "sync") == {CONNECTION}
    assert names(installation, "--used-by", "import") == set()
    assert names(installation, "--used-by", "nothing") == {"unused"}
    with installation.app() as app, app.database.begin() as session:
        session.execute(sa.update(destinations).values(kind="tidemill"))
    assert names(installation, "--used-by", "import") == {CONNECTION}
    assert names(installation, "--used-by", "sync") == set()
    assert names(installation, "--connected-on", "2026-01-01..2026-01-31") == {"unused"}
    assert names(installation, "--connected-on", "2026-01-31", "--connected-by", "ana") == {"unused"}
    assert names(installation, "--connected-on", "2026-02-01") == set()
    today = f"{dt.date.today():%Y-%m-%d}"  # noqa: DTZ011 - days are those of this machine
    assert CONNECTION in names(installation, "--connected-on", f"2026-02-01..{today}")
    shown = installation.run("connection", "list").stdout
    (row,) = [line for line in shown.splitlines() if line.startswith(CONNECTION)]
    assert "1 export, 1 import, 1 model" in row
    assert installation.run("connection", "list", "--connected-on", "soon").returncode == 2


def test_addresses_for_allow_lists_are_shown_where_accounts_are_set_up(installation: Installation) -> None:
    given = {"TIDEMILL_EGRESS_IPS": "203.0.113.5,203.0.113.16/28"}
    told = installation.run("egress-ips", **given)
    assert told.stdout.splitlines() == ["203.0.113.5/32", "203.0.113.16/28"]
    for words in (("connection", "grants", "--dataset", "d"), ("reverse-etl", "grants")):
        shown = installation.run(*words, "--project", "my-project", **given)
        assert "203.0.113.16/28" in shown.stderr, shown
        assert "203.0.113" not in shown.stdout, "it is not needed by everyone"
        assert "203.0.113" not in installation.run(*words, "--project", "my-project").stderr
    unset = installation.run("egress-ips")
    assert (unset.returncode, unset.stdout) == (0, "")
    assert "TIDEMILL_EGRESS_IPS" in unset.stderr
    assert installation.run("egress-ips", TIDEMILL_EGRESS_IPS="nowhere").returncode == 2
