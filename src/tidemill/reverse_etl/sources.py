"""What a user can do with sources: make one of a connection, test, see and unmake it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tidemill.bigquery import access_source, grants_source, names
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants_source import SourceUse
from tidemill.bigquery.retry import Policy
from tidemill.errors import ConfigError, ConflictError
from tidemill.reverse_etl import spec
from tidemill.reverse_etl.spec import Access, SourceSpec
from tidemill.schedules import telling
from tidemill.settings import Settings
from tidemill.store import records_sync
from tidemill.store.records import Connection
from tidemill.store.sync_books import SyncBooks


@dataclasses.dataclass(frozen=True)
class SourceView:
    """A source. `connection`: its name. `models`: names of those that use it."""

    connection: str
    project: str
    dataset: str
    location: str | None
    access: str
    state_dataset: str | None
    account: str | None
    models: tuple[str, ...]
    made_at: dt.datetime
    made_by: str


@dataclasses.dataclass(frozen=True)
class Grants:
    """What gives an account what a source needs: commands, and statements for BigQuery. `faster`: what is needed for
    speed alone."""

    statements: tuple[str, ...]
    faster: tuple[str, ...]


class SourceService:
    """Sources of an installation."""

    def __init__(self, settings: Settings, books: SyncBooks, auth: Callable[[Connection], Auth]) -> None:
        self._settings, self._books, self._auth = settings, books, auth

    def enable(self, name: str, fields: Mapping[str, Any], *, by: str) -> Iterator[Step]:
        """Test a connection as a source, step by step; unless a step fails, it is one then. Of one that is a source
        already, what is not named stays.

        Raises
        ------
        ConfigError
            Something of it is wrong.
        ConflictError
            It would be kept elsewhere what was delivered, and syncs have delivered something; or the connection is
            being deleted.
        """
        connection = self._books.connections.usable(name)
        made = self._spec(connection, fields)
        state = None if made.access is Access.READ_ONLY else made.state_dataset
        self._assert_state_stays(connection, state)
        location, good = connection.location, True
        for step in self._test(connection, use_of(made.access, state)):
            yield step
            good = good and step.status != "failed"
            location = step.found or location
        if good:
            self._books.sources.save(
                connection.id, access=made.access.value, state_dataset=state, location=location, made_by=by
            )

    def _spec(self, connection: Connection, fields: Mapping[str, Any]) -> SourceSpec:
        given = {field: value for field, value in fields.items() if value is not None}
        saved = self._books.sources.get(connection.id)
        before = {"access": saved.access, "state_dataset": saved.state_dataset} if saved else {}
        kept = {field: value for field, value in before.items() if value is not None}
        return _made(kept, given)

    def _assert_state_stays(self, connection: Connection, state: str | None) -> None:
        saved = self._books.sources.get(connection.id)
        if saved is None or saved.state_dataset == state:
            return
        models = self._books.models.of_connection(connection.id)
        syncs = [sync.name for model in models for sync in self._books.syncs.of_model(model.id)]
        if syncs:
            raise ConflictError(
                "source_in_use",
                f"What was delivered is kept in {saved.state_dataset or 'this installation'}, for {_many(syncs)}.",
                hint="Delete the syncs first, or leave the state where it is: made anew, they deliver all rows again.",
            )

    def test(self, name: str) -> Iterator[Step]:
        """Test a source, step by step; keeps the location that the test read."""
        connection = self._books.connections.get(name)
        source = self._books.sources.of(connection)
        for step in self._test(connection, use(source)):
            yield step
            if step.found and step.found != source.location:
                self._books.sources.save(connection.id, **_fields(source), location=step.found)

    def _test(self, connection: Connection, wanted: SourceUse) -> Iterator[Step]:
        return access_source.test(self._auth(connection), connection.project, connection.dataset, wanted)

    def get(self, name: str) -> SourceView:
        """That of a connection.

        Raises
        ------
        ConfigError
            It is none.
        """
        connection = self._books.connections.get(name)
        return self._view(connection, self._books.sources.of(connection))

    def find(self) -> list[SourceView]:
        """All, oldest first."""
        found = self._books.sources.find()
        return [self._view(self._books.connections.by_id(source.connection_id), source) for source in found]

    def of(self, name: str) -> SourceView | None:
        """That of a connection; None if it is none."""
        connection = self._books.connections.get(name)
        found = self._books.sources.get(connection.id)
        return self._view(connection, found) if found else None

    def disable(self, name: str) -> None:
        """A connection is no source any more. Its state dataset stays.

        Raises
        ------
        ConflictError
            Models use it.
        """
        view = self.get(name)
        if view.models:
            raise ConflictError(
                "source_in_use",
                f"Source models use {view.connection}: {', '.join(view.models)}.",
                hint=f"Delete them first: {telling.command('model delete', view.models[0])}",
            )
        self._books.sources.delete(self._books.connections.get(name).id)

    @contextlib.contextmanager
    def client(self, connection: Connection, source: records_sync.Source) -> Iterator[Client]:
        """BigQuery, as a source sees it, for the time of the block. Jobs run where the state is."""
        client = Client(
            self._auth(connection),
            connection.project,
            source.location or connection.location,
            policy=Policy(deadline=self._settings.retry_deadline_seconds),
            use=use(source),
        )
        try:
            if client.location is None:
                client.locate(source.state_dataset or connection.dataset)
            yield client
        finally:
            client.close()

    @staticmethod
    def grants(
        project: str | None, account: str | None, access: str, state_dataset: str | None, location: str | None
    ) -> Grants:
        """What gives an account exactly what a source needs. `project`: of the data; None: that of the account;
        `location`: of the data.

        Raises
        ------
        ConfigError
            Something of it is wrong, or the project is not known.
        """
        project = project or grants_source.project_of(account or "")
        if project is None:
            raise ConfigError(
                "grants_project",
                "It is not said in which project the data is, nor does an account's address say it.",
                hint="Add --project PROJECT, or --service-account NAME@PROJECT.iam.gserviceaccount.com.",
            )
        project = names.check_project(project)
        made = _made({"access": access}, {"state_dataset": state_dataset} if state_dataset else {})
        wanted = use_of(made.access, None if made.access is Access.READ_ONLY else made.state_dataset)
        faster = () if wanted.full else (grants_source.faster(project, account),)
        return Grants(tuple(grants_source.least(project, account, wanted, location)), faster)

    def _view(self, connection: Connection, source: records_sync.Source) -> SourceView:
        return SourceView(
            connection=connection.name,
            project=connection.project,
            dataset=connection.dataset,
            location=source.location,
            access=source.access,
            state_dataset=source.state_dataset,
            account=connection.account,
            models=tuple(model.name for model in self._books.models.of_connection(connection.id)),
            made_at=source.made_at,
            made_by=source.made_by,
        )


def _made(kept: Mapping[str, Any], given: Mapping[str, Any]) -> SourceSpec:
    """A spec of what was said before, and now."""
    made: SourceSpec = spec.make(SourceSpec, "source", {**kept, **given})
    if made.access is Access.READ_ONLY and "state_dataset" in given:
        raise ConfigError(
            "source_read_only",
            "A source that may only be read has no state dataset.",
            hint="Leave --state-dataset out, or say --access limited.",
        )
    return made


def use(source: records_sync.Source) -> SourceUse:
    """What a saved source may do."""
    return use_of(Access(source.access), source.state_dataset)


def use_of(access: Access, state_dataset: str | None) -> SourceUse:
    """What a source with such access may do."""
    return SourceUse(access is Access.FULL, state_dataset)


def _fields(source: records_sync.Source) -> dict[str, Any]:
    return {"access": source.access, "state_dataset": source.state_dataset, "made_by": source.made_by}


def _many(syncs: list[str]) -> str:
    return f"{len(syncs)} {'sync' if len(syncs) == 1 else 'syncs'}: {', '.join(syncs)}"
