"""Lists by pages: whatever they are sorted by, no row is lost and none comes twice; filters are taken as they are."""

from __future__ import annotations

import datetime as dt
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from tests.postgres_fixture import fresh

from tidemill.access import hooks, service, users
from tidemill.access.audit import AuditService
from tidemill.access.hooks import HookService
from tidemill.access.roles import Role
from tidemill.capture import service as keys
from tidemill.errors import ConfigError
from tidemill.imports.listing import Listing as Imports
from tidemill.imports.spec import ImportSpec, Kind, Taken
from tidemill.imports.views import STATUSES as IMPORT_STATUSES
from tidemill.jobs import KINDS, JobService
from tidemill.notify.service import CHANNEL_SORTS, NotifyService
from tidemill.paging import Page, Wanted
from tidemill.reverse_etl.listing import (
    ACCOUNT_SORTS,
    HEALTHS,
    IMPORT_SORTS,
    MODEL_SORTS,
    STATUSES,
    SYNC_SORTS,
    Listing,
)
from tidemill.reverse_etl.views import SyncView
from tidemill.store.audit import AuditBook
from tidemill.store.connection_pages import SORTS as CONNECTION_SORTS
from tidemill.store.connection_pages import Chosen as ChosenConnections
from tidemill.store.connection_pages import ConnectionPages
from tidemill.store.database import Database
from tidemill.store.dbt_projects import PROJECT_SORTS, DbtProjects
from tidemill.store.export_pages import SORTS as EXPORT_SORTS
from tidemill.store.export_pages import Chosen as ChosenExports
from tidemill.store.export_pages import ExportPages
from tidemill.store.exports import Exports
from tidemill.store.hooks import Hooks
from tidemill.store.job_pages import JobPages
from tidemill.store.keys import Keys
from tidemill.store.postgres import Postgres
from tidemill.store.records_notify import Alarm, Cause
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks
from tidemill.store.tokens import Tokens
from tidemill.store.users import Users

#: None of these characters means anything, wherever it stands.
NAMES = ("plain", "100%", "a_b", "axb", "o'neil", "back\\slash", "x'; DROP TABLE tidemill.users; --", "Été")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Fetch = Callable[..., Page[Any]]


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres) -> Iterator[Database]:
    """A database with things in all lists, which no test changes."""
    with fresh(postgres_server) as postgres:
        database = Database(postgres)
        _fill(database)
        yield database
        database.close()


def _fill(database: Database) -> None:
    books = SyncBooks.of(database)
    at = {"made_at": NOW, "made_by": "me"}
    for number, name in enumerate(NAMES):
        connection = books.connections.add(
            name=name, project="p", dataset="d", adc=True, connected_by="Me"[: number % 3]
        )
        books.sources.save(connection.id, access="read-only", state_dataset=None, location="EU", made_by="me")
        spec = {"name": f"n{number}", "key": ["id"], **({"sql": "SELECT 1"} if number % 2 else {"table": "d.t"})}
        model = books.models.add(name=name, connection_id=connection.id, spec=spec, **at)
        account = books.accounts.add(
            name=name, kind=("webhook", "braze")[number % 2], account="a", settings={}, secret=None, **at
        )
        _syncs(books, name, number, model.id, account.id)
        for table in ("keys", "tokens"):
            _entrances(database, table, name, number)
        with Users(database).changing() as change:
            change.add(name=name, role=("admin", "viewer")[number % 2], disabled=number % 3 == 0, created_by="me")
        _others(database, name, number, connection.id)


def _entrances(database: Database, table: str, name: str, number: int) -> None:
    fields: dict[str, Any] = {"name": name, "hash": name.encode(), "start": "tm", "created_by": "me", "created_at": NOW}
    if table == "keys":
        made: Any = Keys(database).add(**fields, team_id=number % 2, events_per_second=None)
        if number == 2:
            Keys(database).revoke(made.name)
        return
    expires = (None, NOW, NOW + dt.timedelta(days=36_500))[number % 3]
    made = Tokens(database).add(**fields, scopes=["exports:read"], expires_at=expires)
    if number == 2:
        Tokens(database).revoke(made.name)


def _others(database: Database, name: str, number: int, connection: uuid.UUID) -> None:
    """Channels, dbt projects, exports with runs and hooks, and records of the audit log."""
    notify = NotifyService.of(database, types.SimpleNamespace(), "home")  # type: ignore[arg-type]
    notify._channels.add(
        name=name, kind=("slack", "email")[number % 2], address="x", settings={}, secret=None, causes=None,
        exports=None, made_at=NOW, made_by="me",
        error={"message": "m", "hint": "h", "code": "c"} if number % 2 else None,
    )  # fmt: skip
    DbtProjects(database).add(
        name=name, connection_id=connection if number % 2 else None, spec={"git": "x"}, secret=None, manifest=b"",
        catalog=None, summary={"project": "p", "dbt_version": "1", "models": number % 2}, revision="", made_by="me",
        read_at=NOW, error={"code": "c", "message": "m", "hint": "h"} if number % 2 else None,
    )  # fmt: skip
    export = Exports(database).add(
        name=name, connection_id=connection, model="events", project="p", dataset="d", table_id=f"t{number}",
        spec={"schedule": {}}, created_by="me", created_at=NOW,
    )  # fmt: skip
    for _ in range(4):
        Hooks(database, "export").add(export.id, hash=uuid.uuid4().bytes, start="tm", created_by="me", created_at=NOW)
    with database.begin() as session:
        for run in range(3):
            session.execute(
                sa.text(
                    "INSERT INTO tidemill.runs (id, export_id, number, status, mode, spec, snapshot_after,"
                    " snapshot_upto, rows_planned, created_by, created_at)"
                    " VALUES (gen_random_uuid(), :export, :run, 'completed', 'append', '{}', 0, 0, 0, 'me', :at)"
                ),
                {"export": export.id, "run": run, "at": NOW},
            )
    number = AuditBook(database).begin(actor="a", actor_kind="user", address="", action="x.y", kind="x", name=name,
                                       outcome="done")  # fmt: skip


def _syncs(books: SyncBooks, name: str, number: int, model: uuid.UUID, account: uuid.UUID) -> None:
    """A sync and an import, each in another state."""
    base = {"name": f"n{number}", "action": "send", "mapping": {}, "mode": "upsert"}
    kind = tuple(Kind)[number % 2]
    said = ImportSpec(kind=kind, identity="id", event="e" if kind is Kind.EVENTS else None) if number else None
    taken = Taken(spec=said, once=number == 5).model_dump(mode="json")
    for group, spec in (("", {**base, "taken": None}), (" import", {**base, "taken": taken})):
        made = books.syncs.add(
            name=name + group, model_id=model, destination_id=account, spec=spec, made_at=NOW,
            made_by="me", next_at=None if number == 3 else NOW if number % 2 else NOW + dt.timedelta(days=36_500),
        )  # fmt: skip
        _run(books, made, number)


def _run(books: SyncBooks, made: Sync, number: int) -> None:
    """Runs of a sync, and what came of them."""
    if number == 4:
        return
    by = "schedule" if number == 1 else "me"
    first = books.runs.begin(made.id, {}, by)
    pieces = [{"rows": 8}] if number != 6 else []
    books.runs.note(first.id, plan={"counts": {"invalid_null": 2, "added": 8}, "pieces": pieces}, written=number)
    books.runs.finish(first.id, "failed" if number == 3 else "completed")
    if number == 2:
        books.runs.begin(made.id, {}, by)
    if number == 6:
        books.syncs.pause(made.id, "me", {"code": "stopped", "message": "m", "hint": "h"})
    if number == 7:
        books.runs.finish(books.runs.begin(made.id, {}, by).id, "skipped")
        books.syncs.pause(made.id, "me", None)
    if number == 5:
        books.troubles.seen(made.id, Alarm(Cause.REJECTS, "c", "m", "h", ""))
        books.rejects.keep(made.id, 1, [{"key": "k", "op": "added", "status": "rejected", "code": "c",
                                         "message": "m", "row": {}}])  # fmt: skip


class Lists:
    """All lists of a database."""

    def __init__(self, database: Database) -> None:
        self._database, books = database, SyncBooks.of(database)
        self.listed = Listing(books)
        self.imports = Imports(types.SimpleNamespace(listed=self.listed))  # type: ignore[arg-type]
        self.users = users.UserService(Users(database), AuditService(AuditBook(database)))
        self.tokens, self.keys = service.TokenService(Tokens(database)), keys.KeyService(Keys(database))
        self.notify = NotifyService.of(database, types.SimpleNamespace(), "home")  # type: ignore[arg-type]
        self.hooks = HookService.of(database, "export")
        self.jobs = JobService(JobPages(database), lambda: types.SimpleNamespace(progress=lambda _: {}))  # type: ignore[arg-type,return-value]

    @property
    def all(self) -> Mapping[str, tuple[Fetch, Sequence[str], Callable[[Any], object]]]:
        """By its name: what fetches a page, by what it sorts, and by what a row is known."""
        database = self._database

        def connections(search: str | None = None, wanted: Wanted = Wanted()) -> Page[Any]:  # noqa: B008
            return ConnectionPages(database).find(ChosenConnections(search=search), wanted)

        def exports(search: str | None = None, wanted: Wanted = Wanted()) -> Page[Any]:  # noqa: B008
            return ExportPages(database).exports(ChosenExports(search=search), wanted)

        def projects(search: str | None = None, wanted: Wanted = Wanted()) -> Page[Any]:  # noqa: B008
            return DbtProjects(database).page(search, None, None, wanted).map(lambda one: one[0])

        def audit(wanted: Wanted) -> Page[Any]:
            return AuditBook(database).page(wanted)

        def own(wanted: Wanted) -> Page[Any]:
            return Hooks(database, "export").page(Exports(database).get("plain").id, wanted)

        by_id: Callable[[Any], object] = lambda one: one.id  # noqa: E731
        return {
            "syncs": (self.listed.syncs, SYNC_SORTS, by_id),
            "imports": (self.imports.imports, IMPORT_SORTS, by_id),
            "models": (self.listed.models, MODEL_SORTS, by_id),
            "destinations": (self.listed.destinations, ACCOUNT_SORTS, by_id),
            "users": (self.users.page, users.SORTS, by_id),
            "tokens": (self.tokens.page, service.SORTS, by_id),
            "keys": (self.keys.page, keys.SORTS, by_id),
            "channels": (self.notify.page, CHANNEL_SORTS, by_id),
            "connections": (connections, CONNECTION_SORTS, by_id),
            "exports": (exports, EXPORT_SORTS, by_id),
            "dbt projects": (projects, PROJECT_SORTS, by_id),
            "jobs": (self.jobs.page, ("began_at",), by_id),
            "hooks": (own, hooks.SORTS, by_id),
            "audit": (audit, ("at",), by_id),
        }


SEARCHED = ("syncs", "imports", "models", "destinations", "users", "tokens", "keys", "channels", "connections",
            "exports", "dbt projects", "jobs")  # fmt: skip
LISTS = (*SEARCHED, "hooks", "audit")


def _walk(fetch: Fetch, sort: str, limit: int, **chosen: Any) -> list[Any]:
    """All rows of a list, page by page."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(200):
        page = fetch(wanted=Wanted(cursor, limit, sort), **chosen)
        assert len(page.items) <= limit
        found += page.items
        if (cursor := page.next) is None:
            return found
    raise AssertionError("there is no end of it")


@pytest.mark.parametrize("name", LISTS)
def test_pages_have_each_row_once_whatever_they_are_sorted_by(filled: Database, name: str) -> None:
    fetch, sorts, known_by = Lists(filled).all[name]
    for sort in sorts:
        whole = list(map(known_by, _walk(fetch, sort, 200)))
        assert len(set(whole)) == len(whole) > 3
        for limit in (1, 3, len(whole)):
            assert list(map(known_by, _walk(fetch, sort, limit))) == whole, (sort, limit)
            assert list(map(known_by, _walk(fetch, f"-{sort}", limit))) == whole[::-1], (sort, limit)


@pytest.mark.parametrize("name", LISTS)
def test_what_a_list_cannot_be_sorted_by_is_refused(filled: Database, name: str) -> None:
    fetch, sorts, _ = Lists(filled).all[name]
    for sort in ("secret", "-", "name; DROP TABLE x", "--name"):
        with pytest.raises(ConfigError) as refused:
            fetch(wanted=Wanted(sort=sort))
        assert refused.value.code == "sort_unknown"
        assert sorts[0] in refused.value.hint


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_is_of_one_order(filled: Database, name: str) -> None:
    fetch, sorts, _ = Lists(filled).all[name]
    cursor = fetch(wanted=Wanted(None, 1, sorts[0])).next
    with pytest.raises(ConfigError) as refused:
        fetch(wanted=Wanted(cursor, 1, f"-{sorts[0]}"))
    assert refused.value.code == "cursor_invalid"


@pytest.mark.parametrize("name", SEARCHED)
def test_a_text_is_searched_for_as_it_is(filled: Database, name: str) -> None:
    fetch, _, _ = Lists(filled).all[name]
    revoked = {"revoked": True} if name in {"tokens", "keys"} else {}
    for text in ("%", "_", "'", "\\", "'; DROP", "--", "ÉT", "PLAIN", "%'", "100%_"):
        found = {one.name for one in _walk(fetch, "", 50, search=text, **revoked)}
        expected = {each for each in NAMES if text.lower() in each.lower()}
        assert {one.removesuffix(" import") for one in found} == expected, text


def test_syncs_are_found_by_how_they_stand(filled: Database) -> None:
    listed = Lists(filled).listed
    every = _walk(listed.syncs, "", 50)
    assert {one.status for one in every} == {"ready", "running", "paused"}
    assert any(one.overdue_since for one in every)
    assert any(one.rejects for one in every)
    for status in STATUSES:
        found = [one.name for one in _walk(listed.syncs, "", 3, status=status)]
        assert found == [one.name for one in every if one.status == status or (status == "trouble" and _wrong(one))]
        assert found, status
    assert [one.status for one in _walk(listed.syncs, "status", 3)] == sorted(one.status for one in every)
    began = [
        one.last.began_at if one.last else NOW - dt.timedelta(days=9_999) for one in _walk(listed.syncs, "last", 3)
    ]
    assert began == sorted(began)


def _wrong(one: SyncView) -> bool:
    """Whether it is shown as being in trouble, or overdue."""
    return bool(one.troubles or one.pause_reason or one.overdue_since)


def test_imports_are_found_by_how_they_stand(filled: Database) -> None:
    imports = Lists(filled).imports.imports
    every = _walk(imports, "", 50)
    assert {one.status for one in every} == set(IMPORT_STATUSES)
    assert {one.health for one in every} == {*HEALTHS, None}
    for status in IMPORT_STATUSES:
        found = [one.name for one in _walk(imports, "", 3, status=[status])]
        assert found == [one.name for one in every if one.status == status], status
    for health in HEALTHS:
        found = [one.name for one in _walk(imports, "", 3, health=health)]
        assert found == [one.name for one in every if one.health == health], health
    for kind in ("people", "events"):
        found = [one.name for one in _walk(imports, "", 3, kind=kind)]
        assert found == [one.name for one in every if one.kind == kind], kind
    assert len(_walk(imports, "", 3, connection="PLAIN")) == 1
    assert not _walk(imports, "", 3, created_by="somebody else")
    assert not _walk(imports, "", 3, created_before=NOW)
    assert len(_walk(imports, "", 3, created_after=NOW)) == len(every)
    shares = [-1.0 if one.succeeded is None else one.succeeded for one in _walk(imports, "succeeded", 3)]
    assert shares == sorted(shares)


def test_models_and_accounts_are_found_by_their_kinds(filled: Database) -> None:
    listed = Lists(filled).listed
    assert all(one.sql for one in _walk(listed.models, "", 3, kind="sql"))
    assert all(one.table for one in _walk(listed.models, "", 3, kind="table"))
    assert [one.connection for one in _walk(listed.models, "", 3, connection="A_B")] == ["a_b"]
    assert _walk(listed.models, "", 3)[0].syncs, "who uses it is told"
    assert {one.kind for one in _walk(listed.destinations, "", 3, kind="braze")} == {"braze"}
    titles = [one.title.lower() for one in _walk(listed.destinations, "title", 3)]
    assert titles == sorted(titles)
    assert not _walk(listed.destinations, "", 3, kind="' OR 1=1 --")


def test_who_may_come_in_is_found_by_state(filled: Database) -> None:
    lists = Lists(filled)
    assert {one.role for one in _walk(lists.users.page, "", 3, role=Role.ADMIN)} == {Role.ADMIN}
    assert all(one.disabled for one in _walk(lists.users.page, "", 3, disabled=True))
    assert not any(one.disabled for one in _walk(lists.users.page, "", 3, disabled=False))
    counts = {state: len(_walk(lists.tokens.page, "", 3, state=state)) for state in service.STATES}
    assert (sum(counts.values()), all(counts.values())) == (len(NAMES), True)
    assert [one.name for one in _walk(lists.tokens.page, "", 3, state="revoked")] == [NAMES[2]]
    assert [one.name for one in _walk(lists.keys.page, "", 3, state="revoked")] == [NAMES[2]]
    assert len(_walk(lists.keys.page, "", 3)) == len(NAMES) - 1
    assert len(_walk(lists.keys.page, "", 3, revoked=True)) == len(NAMES)
    assert len(_walk(lists.notify.page, "", 3, failing=True)) == len(NAMES) // 2
    assert {one.kind for one in _walk(lists.notify.page, "", 3, kind="slack")} == {"slack"}
    for fetch in (lists.tokens.page, lists.keys.page):
        with pytest.raises(ConfigError) as refused:
            fetch(state="' OR 1=1")
        assert refused.value.code == "state_unknown"


def test_jobs_are_those_of_all_kinds_by_time(filled: Database) -> None:
    page = Lists(filled).jobs.page
    every = _walk(page, "", 200)
    assert {one.kind for one in every} == set(KINDS)
    began = [one.began_at for one in every]
    assert began == sorted(began, reverse=True)
    for kind in KINDS:
        assert _walk(page, "", 5, kind=kind) == [one for one in every if one.kind == kind]
    for status in ("running", "completed", "skipped", "failed"):
        assert _walk(page, "", 5, status=status) == [one for one in every if one.status == status]
    assert _walk(page, "", 5, kind="import", search="PLAIN", status="completed")
    assert not _walk(page, "", 5, kind="export", status="skipped")
    with pytest.raises(ConfigError):
        page(kind="x")
    with pytest.raises(ConfigError):
        page(status="x")


def test_many_things_with_a_text_in_their_names_are_found_by_time(filled: Database, monkeypatch: Any) -> None:
    """As few are, which are found by their ids."""
    page = Lists(filled).jobs.page
    few = _walk(page, "", 5, search="a")
    monkeypatch.setattr("tidemill.store.job_pages._FEW", 1)
    assert _walk(page, "", 5, search="a") == few
