"""What a user can do with connections: add, see, change, delete and test them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from tidemill.bigquery import access, credentials, grant_commands, grants, names
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants import Use
from tidemill.bigquery.retry import Policy
from tidemill.connections import set_up
from tidemill.connections.set_up import SetUp
from tidemill.connections.spec import ConnectionSpec
from tidemill.connections.standing import Done, watched
from tidemill.connections.views import Connection, Egress, Seen, view
from tidemill.errors import ConfigError, TidemillError
from tidemill.settings import Settings
from tidemill.store import records
from tidemill.store.connections import Connections, deleting
from tidemill.store.secrets import Secrets, differing

__all__ = ["Connection", "ConnectionService", "Draft", "Egress", "Seen", "view"]

#: How long it is asked where a dataset lies, for a connection that is saved in any case.
_ASKED_SECONDS = 10.0
#: So many projects, and datasets, are offered to choose from.
_MOST_SEEN = 500


@dataclasses.dataclass(frozen=True)
class Draft:
    """A connection as the user described it, checked but not saved. `notes`: what was understood how."""

    spec: ConnectionSpec
    notes: tuple[str, ...]
    #: Its last test, which is kept with it when it is saved.
    tested: list[Done] = dataclasses.field(default_factory=list, compare=False, repr=False)


class ConnectionService:
    """Connections."""

    def __init__(self, settings: Settings, connections: Connections, secrets: Secrets) -> None:
        self._settings, self._connections, self._secrets = settings, connections, secrets
        #: Those that this process deletes: it alone may still sign in by them.
        self._ending: set[uuid.UUID] = set()

    def draft(
        self,
        *,
        name: str,
        dataset: str,
        project: str | None = None,
        location: str | None = None,
        key: str | None = None,
        adc: bool = False,
        impersonate: str | None = None,
    ) -> Draft:
        """Check a description. `dataset` may be a fully-qualified name; the project defaults to the key's.

        Raises
        ------
        ConfigError
            That says which part is wrong.
        """
        found = names.parse_dataset(dataset)
        info = credentials.parse_key(key) if key is not None else None
        if project and found.project and project != found.project:
            raise ConfigError(
                "two_projects", f"The project is {project}, but the dataset names {found.project}.", hint="Name one."
            )
        chosen = project or found.project or (info.project if info else None)
        if not chosen:
            raise ConfigError("project_missing", "No project is named.", hint="Add --project PROJECT_ID.")
        notes = [found.note] if found.note else []
        if not project and not found.project:
            notes.append(f"The project is the key's: {chosen}.")
        try:
            spec = ConnectionSpec(
                name=name,
                project=names.check_project(chosen),
                dataset=str(found.dataset),
                location=location,
                key=pydantic.SecretStr(key) if key is not None else None,
                adc=adc,
                impersonate=impersonate,
            )
        except pydantic.ValidationError as error:
            # The errors' own texts may quote the input, and the input may be a key.
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'credential'}: {e['msg']}" for e in error.errors())
            raise ConfigError(
                "connection_invalid",
                f"This connection is not valid. {problems}.",
                hint="tidemill connection add --help",
            ) from None
        return Draft(spec, tuple(notes))

    def changed(self, name: str, *, rename: str | None = None, **changes: Any) -> Draft:
        """The saved connection with changes, checked but not saved. ConflictError if it is being deleted."""
        saved = self._connections.usable(name)
        new_credential = {field: changes.pop(field) for field in ("key", "adc", "impersonate") if changes.get(field)}
        changes.pop("key", None), changes.pop("adc", None), changes.pop("impersonate", None)
        given = {field: value for field, value in changes.items() if value is not None}
        if not given and not new_credential and not rename:
            raise ConfigError(
                "nothing_to_change", "Nothing to change was named.", hint="tidemill connection edit --help"
            )
        credential = new_credential or {"key": self._key(saved), "adc": saved.adc, "impersonate": saved.impersonate}
        if set(new_credential) == {"impersonate", "adc"} and not saved.adc and saved.key:
            credential = {"key": self._key(saved), "impersonate": new_credential["impersonate"]}
        fields = {"project": saved.project, "dataset": saved.dataset, **given}
        if "dataset" in given and "project" not in given and names.parse_dataset(given["dataset"]).project:
            fields["project"] = None
        return self.draft(name=rename or saved.name, **fields, **credential)

    def _key(self, saved: records.Connection) -> str | None:
        return self._secrets.decrypt(saved.key) if saved.key else None

    def add(self, draft: Draft, *, by: str) -> Connection:
        """Save a new connection; ConflictError if its name is taken."""
        saved = self._connections.add(connected_by=by, **self._fields(draft.spec))
        self._keep_tests(saved, draft)
        return view(saved)

    def save(self, name: str, draft: Draft, *, as_of: dt.datetime | None = None) -> Connection:
        """Save the changes to a connection. `as_of`: its `updated_at` as it was seen; ConflictError if it was changed
        since."""
        before, fields = self._connections.get(name), self._fields(draft.spec)
        change = self._connections.turn if self._is_other(before, draft.spec) else self._connections.change
        saved = change(before.id, as_of=as_of, **fields)
        self._keep_tests(saved, draft)
        return view(saved)

    def _keep_tests(self, saved: records.Connection, draft: Draft) -> None:
        """What was tested is what is saved now, so it was seen of that, whenever it was."""
        for done in draft.tested[-1:]:
            self._keep(saved.id, dataclasses.replace(done, took=0.0))

    def _keep(self, connection_id: uuid.UUID, done: Done) -> None:
        self._connections.tests.save(connection_id, done.use, done.kept(), passed=done.passed, took=done.took)

    def _is_other(self, before: records.Connection, spec: ConnectionSpec) -> bool:
        """Whether it signs in otherwise, or points elsewhere, than before."""
        points = (before.project, before.dataset, before.adc, before.impersonate)
        if points != (spec.project, spec.dataset, spec.adc, spec.impersonate):
            return True
        try:
            return self._key(before) != (spec.key.get_secret_value() if spec.key else None)
        except ConfigError:  # the secret key is lost
            return True

    def _fields(self, spec: ConnectionSpec) -> dict[str, Any]:
        key = spec.key.get_secret_value() if spec.key else None
        return {
            "name": spec.name,
            "project": spec.project,
            "dataset": spec.dataset,
            "location": self._location(spec),
            "adc": spec.adc,
            "impersonate": spec.impersonate,
            "account": credentials.account(_auth(spec)),
            "key": self._secrets.encrypt(key) if key else None,
        }

    def _location(self, spec: ConnectionSpec) -> str | None:
        """Where the dataset is, if it can be asked now."""
        client = Client(_auth(spec), spec.project, policy=Policy(deadline=_ASKED_SECONDS))
        try:
            return client.get_dataset(spec.dataset).location
        except TidemillError:
            return None
        finally:
            client.close()

    @staticmethod
    def differs(draft: Draft, saved: Connection) -> str:
        """A sentence, if the dataset is elsewhere than the user said."""
        said, found = draft.spec.location, saved.location
        if not said or not found or said.lower() == found.lower():
            return ""
        return f"The dataset is in {found}, not in {said}: {found} is used. A dataset cannot be moved."

    def assert_free(self, name: str) -> None:
        """Raise ConflictError if there is a connection of that name: seen before the test, which takes a while."""
        self._connections.assert_free(name)

    def get(self, name: str) -> Connection:
        """The connection of that name; NotFoundError if there is none."""
        return view(self._connections.get(name))

    def find(
        self, *, after: dt.datetime | None = None, before: dt.datetime | None = None, by: str | None = None
    ) -> list[Connection]:
        """Connections, all or by when and by whom they were made; oldest first."""
        return [view(saved) for saved in self._connections.find(after=after, before=before, by=by)]

    def differing(self, name: str, given: Mapping[str, pydantic.SecretStr]) -> tuple[str, ...]:
        """Names of secrets (`key`) that a connection has otherwise than they are given; of none, those that it has. One
        that cannot be read any more is another."""
        saved = self._connections.get(name)
        try:
            key = self._key(saved)
        except ConfigError:  # the secret key is lost
            return ("key",)
        return differing({"key": key} if key is not None else {}, given)

    def delete(self, name: str, *, as_of: dt.datetime | None = None) -> None:
        """Delete a connection and its credential; ConflictError while anything uses it, or as in `save`."""
        self._connections.delete(self._connections.get(name).id, as_of=as_of)

    @contextlib.contextmanager
    def ending(self, name: str, by: str) -> Iterator[None]:
        """From now on nothing new is begun on a connection, also after this: it is being deleted. For the time of the
        block this process still signs in by it, to end what is at work."""
        saved = self._connections.get(name)
        self._connections.mark(saved.id, by)
        self._ending.add(saved.id)
        try:
            yield
        finally:
            self._ending.discard(saved.id)

    def client(self, saved: records.Connection, project: str | None = None) -> Client:
        """BigQuery, as a saved connection sees it."""
        return Client(self.auth(saved), project or saved.project, saved.location, policy=_policy(self._settings))

    def auth(self, saved: records.Connection) -> Auth:
        """The credential of a saved connection.

        Raises
        ------
        ConflictError
            It is being deleted, and not by this process.
        """
        if saved.deleting_at is not None and saved.id not in self._ending:
            raise deleting(saved.name)
        return Auth(self._key(saved), saved.adc, saved.impersonate)

    def datasets(self, name: str) -> list[tuple[str, str]]:
        """The datasets that a connection's account may see, with their locations."""
        client = self.client(self._connections.get(name))
        try:
            return client.list_datasets()
        finally:
            client.close()

    def seen(self, *, key: str | None = None, adc: bool = False, project: str | None = None) -> Seen:
        """Projects that a credential may see, and the datasets of one: `project`, or the key's. Not all of them, if
        there are very many.

        Raises
        ------
        ConfigError
            The key is none, or the project's name cannot be one.
        """
        auth = Auth(key, adc)
        info = credentials.parse_key(key) if key is not None else None
        own = info.project if info else None
        if project:
            names.check_project(project)
        if not (asked := project or own):
            return Seen(credentials.account(auth), own)
        client = Client(auth, asked, policy=Policy(deadline=_ASKED_SECONDS))
        try:
            projects: list[str] = []
            with contextlib.suppress(TidemillError):  # it is a help, and not every account may
                projects = client.list_projects(_MOST_SEEN)
            known = tuple(dict.fromkeys([*([own] if own else []), *projects]))
            try:
                datasets = tuple(client.list_datasets()[:_MOST_SEEN])
            except TidemillError as error:
                return Seen(client.account, own, known, trouble=error)
            return Seen(client.account, own, known, datasets)
        finally:
            client.close()

    def create_dataset(self, draft: Draft, location: str | None) -> str:
        """Make the draft's dataset. Gives a sentence about it.

        Raises
        ------
        ConfigError
            No location is named: it cannot be changed later, so it is not guessed.
        """
        if not location:
            raise ConfigError(
                "location_missing",
                "A new dataset needs a location, which cannot be changed later.",
                hint="Add --location EU, US, or a region such as europe-west1.",
            )
        client = Client(_auth(draft.spec), draft.spec.project, location)
        try:
            made = client.create_dataset(draft.spec.dataset, location)
        finally:
            client.close()
        return f"The dataset {draft.spec.project}.{draft.spec.dataset} is there, in {made}."

    def test(self, name: str, use: str = Use.BATCH) -> Iterator[Step]:
        """Test a saved connection, step by step; keeps what the test found. `use`: batch or streaming."""
        saved = self._connections.get(name)
        tested = access.test(self.auth(saved), saved.project, saved.dataset, saved.location, Use(use))
        for step in watched(tested, use, lambda done: self._keep(saved.id, done)):
            yield step
            if step.name == "dataset" and step.found and step.found != saved.location:
                self._connections.change(saved.id, location=step.found)

    def test_draft(self, draft: Draft, use: str = Use.BATCH) -> Iterator[Step]:
        """Test a connection that is not saved; what is found is kept when it is. `use`: batch or streaming."""
        spec = draft.spec
        tested = access.test(_auth(spec), spec.project, spec.dataset, spec.location, Use(use))
        return watched(tested, use, draft.tested.append)

    @staticmethod
    def allow_list(settings: Settings) -> list[str]:
        """The commands that let requests of this installation through a perimeter of VPC Service Controls; none if it
        is not said from where they come."""
        return grant_commands.access_level(settings.egress_networks) if settings.egress_networks else []

    def egress(self) -> Egress:
        """From which addresses this installation reaches others, if it is said."""
        networks = tuple(self._settings.egress_networks)
        return Egress(networks, set_up.allow_list(networks))

    @staticmethod
    def set_up(
        project: str,
        dataset: str,
        account: str | None,
        purpose: str = set_up.Purpose.BATCH,
        *,
        location: str | None = None,
        state_dataset: str | None = None,
    ) -> SetUp:
        """What is to be set up on Google's side, in three ways; see `set_up.make`."""
        return set_up.make(project, dataset, account, purpose, location=location, state_dataset=state_dataset)

    @staticmethod
    def grants(project: str, dataset: str, account: str | None, use: str = Use.BATCH) -> list[str]:
        """The commands that give an account exactly what its exports need, and nothing else; see `grants.least`."""
        return grants.least(names.check_project(project), names.check_dataset(dataset), account, Use(use))


def _auth(spec: ConnectionSpec) -> Auth:
    return Auth(spec.key.get_secret_value() if spec.key else None, spec.adc, spec.impersonate)


def _policy(settings: Settings) -> Any:
    from tidemill.bigquery.retry import Policy

    return Policy(deadline=settings.retry_deadline_seconds)
