"""A connection is deleted with its syncs, in the middle of what they do, and with a credential that is of no use."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.contract.api import Asked
from tests.dbt_syncs import SHOP, Shop
from tests.deleting import OTHER, SLOW, delete, fired, is_gone, jobs
from tests.installation import CONNECTION, Installation, kill_when
from tests.kill_syncs import ALLOWED, Many
from tests.schedules import NAME, load, make
from tests.served import Server
from tests.streams import eventually
from tests.syncs import NAME as SYNC
from tests.syncs import Crm, People, prepare, quiet

from tidemill.app import App
from tidemill.connection_users import Use
from tidemill.errors import ConflictError, TidemillError


class Stuck(Crm):
    """A server that answers nobody from the second request on, until it is told to."""

    def __init__(self) -> None:
        self.reached, self.goes_on, self._requests = threading.Event(), threading.Event(), 0
        super().__init__()

    def handle(self, asked: Asked) -> Any:
        """See Api."""
        self._requests += 1
        if self._requests > 1:
            self.reached.set()
            self.goes_on.wait()
        return super().handle(asked)


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_a_sync_in_the_middle_of_a_delivery_is_stopped(installation: Installation, app: App, access: str) -> None:
    """What was remembered of its rows goes, too; no further row is sent."""
    crm, people = Stuck(), Many(installation, 30_000)
    with contextlib.closing(crm):
        prepare(app, installation, people, crm, access=access)
        sync = app.reverse_etl.syncs.get(SYNC)
        process = installation.start("sync", "run", SYNC, **ALLOWED)
        eventually(crm.reached.is_set, "rows are delivered")
        assert app.connection_users.uses(CONNECTION)[0].at_work == ("run 1",)
        assert delete(app, lambda _: crm.goes_on.set()).remarks == ()
        assert process.wait(60) != 0
        process.communicate()
        assert is_gone(app)
        assert 0 < len(crm.sent) < 30_000
    assert not [path for path in (installation.home / "events").rglob(f"*{sync.id.hex}*/*") if path.is_file()]
    if access == "full":
        with contextlib.closing(installation.client()) as client:
            assert client.get_table(f"{installation.dataset}_state", f"state_{sync.id.hex}") is None


def test_a_worker_that_delivers_goes_on_with_what_is_left_to_do(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    """The sync that it had is gone when it has stopped."""
    crm, people = Stuck(), Many(installation, 30_000)
    server = Server(installation, tmp_path / "log")
    with contextlib.closing(crm):
        prepare(app, installation, people, crm, interval="day")
        try:
            server.start(**ALLOWED)
            book = app._sync_books.syncs
            book.settle(app.reverse_etl.syncs.get(SYNC).id, next_at=book.now())
            eventually(crm.reached.is_set, "rows are delivered")
            assert delete(app, lambda _: crm.goes_on.set()).remarks == ()
            assert is_gone(app)
            assert server.stop() == 0, server.said
        finally:
            server.kill()
    assert 0 < len(crm.sent) < 30_000
    assert "Traceback" not in server.said
    assert "bug" not in server.said


def test_a_sync_whose_plan_is_at_work_when_its_process_dies_has_its_job_cancelled(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    installation.local.set_faults(SLOW)
    process = installation.start("sync", "run", SYNC, **ALLOWED)
    assert kill_when(process, lambda: fired(installation) and bool(jobs(installation)))
    assert delete(app).remarks == ()
    assert jobs(installation) == []
    assert is_gone(app)
    assert not crm.sent


def test_a_dbt_project_goes_too_unless_models_of_others_are_made_of_it(
    installation: Installation, app: App, shop: Shop
) -> None:
    """It is read by the connection, and so is one of its models."""
    assert shop.folder
    key = json.dumps(installation.local.key("other"))
    app.connections.add(app.connections.draft(name=OTHER, dataset=installation.dataset, key=key), by="tester")
    app.dbt.add({"name": "read", "folder": str(shop.folder), "connection": OTHER}, by="tester")
    app.reverse_etl.models.add(CONNECTION, app.dbt_models.fields("read/people", {"name": "mine"}), by="tester")
    with pytest.raises(ConflictError, match="models of others are made of it: mine") as refused:
        app.connection_users.delete(OTHER, by="ana", say=lambda _: None, wait_seconds=9)
    assert refused.value.code == "dbt_project_in_use"
    assert app.connections.get(OTHER).deleting_at is None
    app.reverse_etl.models.delete("mine")
    deleted = app.connection_users.delete(OTHER, by="ana", say=lambda _: None, wait_seconds=9)
    assert deleted.uses == (Use("dbt project", "read", ()),)
    assert [project.name for project in app.dbt.find()] == [SHOP]


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_with_a_credential_that_is_of_no_use_any_more_it_says_what_is_left(
    installation: Installation, app: App, people: People, crm: Crm, access: str
) -> None:
    """What is kept here goes, for that nobody need be asked."""
    prepare(app, installation, people, crm, access=access)
    app.reverse_etl.syncs.run(SYNC, quiet(), by="tester")
    sync = app.reverse_etl.syncs.get(SYNC)
    installation.local.key("tidemill", deny=["bigquery.tables.delete", "bigquery.jobs.create", "bigquery.datasets.get"])
    remarks = delete(app).remarks
    assert [f"state_{sync.id.hex}" in remark for remark in remarks] == ([True] if access == "full" else [])
    assert not [path for path in (installation.home / "events").rglob(f"*{sync.id.hex}*/*") if path.is_file()]
    assert is_gone(app)


def test_with_a_key_that_google_has_revoked_it_is_deleted_too(
    installation: Installation, app: App, people: People, crm: Crm, tmp_path: Path
) -> None:
    """Another key of the same account is in its place, by which no token is given."""
    prepare(app, installation, people, crm)
    app.reverse_etl.syncs.run(SYNC, quiet(), by="tester")
    load(app, tmp_path, 40)
    make(app, table="events")
    installation.local.set_faults(
        [{"path": "/upload/bigquery/", "fault": "job_error", "reason": "invalid", "times": 9}]
    )
    with contextlib.suppress(TidemillError):
        app.exports.run(NAME, by="tester")
    installation.local.set_faults([])
    key = installation.local.key("tidemill") | {"private_key": other_key()}
    app.connections.save(CONNECTION, app.connections.changed(CONNECTION, key=json.dumps(key)))
    remarks = " ".join(delete(app).remarks)
    assert NAME in remarks
    assert "state_" in remarks
    assert is_gone(app)


def other_key() -> str:
    """A private key that nobody knows."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind, how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.private_bytes(kind, how, serialization.NoEncryption()).decode()
