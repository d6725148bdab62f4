"""The connection test: named steps, each shown by doing it, with a test upload that leaves nothing behind.

There is one for batch exports, and one for streaming exports, which makes no request that needs more than their five
permissions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tidemill.bigquery import credentials, sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants import Use
from tidemill.bigquery.jobs import Load
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.tables import Layout, scratch_columns
from tidemill.errors import AccessError, Cancelled, TidemillError, UnavailableError

#: The scratch table goes away by itself, even if this process dies or may not delete it.
SCRATCH_EXPIRES_SECONDS = 3600
_DEADLINE = 30.0  # a test does not wait ten minutes for a service that is down
_LOAD_DEADLINE = 120.0
#: Not a step: the dataset exists, or nothing speaks against it, because only the permission to look at it is missing.
_THERE = "dataset exists"
_NEEDS_TABLE = ("tables.create",)
_EXPIRES = "it expires within the hour"


class _NotableError(Exception):
    """A step is passed, but the user should know something: a warning, and what to do about it."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the test, done. `status`: passed, failed, skipped or warning. `found`: what it read, if anything.

    `code` and `raw` are those of the error, if there was one.
    """

    name: str
    title: str
    status: str
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    found: str = ""
    code: str = ""
    raw: str = ""


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A step to do: what it needs to have passed, and the permission that it shows."""

    name: str
    title: str
    action: Callable[[], str]
    needs: tuple[str, ...] = ()
    optional: bool = False


class _Test:
    """The state of one test."""

    def __init__(self, auth: Auth, project: str, dataset: str, location: str | None, use: Use) -> None:
        self.auth, self.project, self.dataset, self.said, self.use = auth, project, dataset, location, use
        self.table = f"tidemill_test_{secrets.token_hex(6)}"
        self.made = False
        self.unseen = False
        self.expiration: dt.timedelta | None = None

    @functools.cached_property
    def client(self) -> Client:
        """BigQuery; made when the first step needs it, because a key that cannot be read is that step's failure."""
        return Client(self.auth, self.project, policy=Policy(deadline=_DEADLINE), use=self.use)

    def plans(self) -> list[_Plan]:
        """The steps, in order."""
        before, tables = self._before(), self._tables()
        if self.use is Use.STREAMING:
            return [*before, *tables, self._streaming()]
        jobs = _Plan("jobs.create", "bigquery.jobs.create: jobs may be run", self._jobs_create, ("token",))
        return [*before, jobs, *tables, *self._loading()]

    def _before(self) -> list[_Plan]:
        # To list datasets, the right to get them is enough, also if it is granted on a dataset ("Listing datasets").
        return [
            _Plan("key", "The credential can be read", self._key),
            _Plan("token", "Google grants a token", self._token, ("key",)),
            _Plan("project", f"The project {self.project} is reachable", self._project, ("token",)),
            _Plan("dataset", f"bigquery.datasets.get: the dataset {self.dataset} exists", self._dataset, ("token",)),
            _Plan("location", "The dataset's location", self._location, ("dataset",)),
            _Plan("expiration", "New tables do not expire", self._expiration, ("dataset",)),
        ]

    def _tables(self) -> list[_Plan]:
        return [
            _Plan("tables.create", "bigquery.tables.create: a table can be made", self._create, (_THERE,)),
            _Plan("tables.get", "bigquery.tables.get: its schema can be read", self._get, _NEEDS_TABLE),
            _Plan("tables.list", "bigquery.tables.list: tables can be listed", self._list, (_THERE,)),
        ]

    def _streaming(self) -> _Plan:
        title = "bigquery.tables.updateData: test upload, one row by a write stream"
        return _Plan("tables.updateData", title, self._stream, _NEEDS_TABLE)

    def _loading(self) -> list[_Plan]:
        return [
            _Plan(
                "tables.updateData",
                "bigquery.tables.updateData: test upload, one row loaded",
                self._upload,
                (*_NEEDS_TABLE, "dataset", "jobs.create"),  # a job must know the dataset's location
            ),
            _Plan(
                "tables.getData",
                "bigquery.tables.getData: the row can be read back",
                self._read,
                (*_NEEDS_TABLE, "tables.get", "tables.updateData"),
            ),
            _Plan(
                "tables.delete",
                "bigquery.tables.delete: the table can be dropped",
                self._delete,
                _NEEDS_TABLE,
                optional=True,
            ),
        ]

    def _key(self) -> str:
        if self.auth.key is not None:
            return credentials.parse_key(self.auth.key).account
        return "Application Default Credentials of this machine"

    def _token(self) -> str:
        self.client.get_token()
        return f"as {self.auth.impersonate}" if self.auth.impersonate else ""

    def _project(self) -> str:
        self.client.check_project()
        return ""

    def _dataset(self) -> str:
        try:
            found = self.client.get_dataset(self.dataset)
        except AccessError:
            self.unseen = True
            raise
        self.client.location = found.location
        self.expiration = found.table_expiration
        return found.location

    def _location(self) -> str:
        found = self.client.location or ""
        if self.said and self.said.lower() != found.lower():
            raise _NotableError(
                f"The dataset is in {found}; said, or read before, was {self.said}. {found} is used.",
                f"A dataset cannot be moved. If the rows must lie in {self.said}, make another there: "
                f"tidemill connection add NAME --dataset OTHER --create-dataset --location {self.said}",
            )
        return found

    def _expiration(self) -> str:
        if self.expiration:
            raise _NotableError(
                f"The dataset deletes new tables after {self.expiration}: history would be lost.",
                f"In BigQuery: {sql.without_expiration(self.project, self.dataset)}",
            )
        return ""

    def _jobs_create(self) -> str:
        self.client.dry_run(sql.nothing())
        return ""

    def _create(self) -> str:
        layout = Layout(
            scratch_columns(),
            description="Tidemill's connection test. Can be deleted.",
            expires_seconds=SCRATCH_EXPIRES_SECONDS,
        )
        self.made = True  # also if the answer is lost: then the table may be there
        try:
            self.client.create_table(self.dataset, self.table, layout)
        except TidemillError as error:
            self.made = error.code != "permission_missing"
            raise
        return f"{self.table}; {_EXPIRES}" if self.use is Use.STREAMING else self.table

    def _get(self) -> str:
        found = self.client.get_table(self.dataset, self.table)
        return f"{len(found.fields)} column" if found else ""

    def _list(self) -> str:
        self.client.list_tables(self.dataset)
        return ""

    def _upload(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "row.jsonl"
            path.write_text(json.dumps({"event": self.table}) + "\n")
            load = Load(
                job_id=f"tidemill_test_{secrets.token_hex(12)}",
                dataset=self.dataset,
                table=self.table,
                columns=scratch_columns(),
                format="NEWLINE_DELIMITED_JSON",
                labels={"tidemill_test": "upload"},
            )
            end = time.monotonic() + _LOAD_DEADLINE
            try:
                return f"job {self.client.load(path, load, cancelled=lambda: time.monotonic() > end).job_id}"
            except Cancelled:
                raise UnavailableError(
                    "load_slow",
                    f"The load job was not done after {_LOAD_DEADLINE:.0f} s; it was cancelled.",
                    hint="BigQuery may be busy. Try again in a while.",
                ) from None

    def _stream(self) -> str:
        from tidemill.bigquery import access_stream  # heavy
        from tidemill.bigquery.write_streams import WriteStreams

        streams = WriteStreams(self.client)
        try:
            access_stream.upload(self.client, streams, self.dataset, self.table)
        finally:
            streams.close()
        dropped = self._drop()
        self.made = False  # streaming exports do not need the right to drop tables: without it, nothing is amiss
        return "nothing is left behind" if dropped else f"the test's table is not dropped; {_EXPIRES}"

    def _read(self) -> str:
        rows = self.client.read(self.dataset, self.table, 2)
        if rows != [(self.table,)]:
            raise TidemillError("row_not_read_back", f"The row that was loaded did not come back: {len(rows)} rows.")
        return ""

    def _delete(self) -> str:
        self.client.delete_table(self.dataset, self.table)
        self.made = False
        return "nothing is left behind"

    def _drop(self) -> bool:
        """Remove the table, if that can be done. Whether it is gone."""
        with contextlib.suppress(TidemillError):
            self._delete()
        return not self.made

    def clean(self) -> None:
        """Remove what is left; where that is not allowed, the table expires within the hour."""
        if self.made:
            self._drop()
        if "client" in self.__dict__:
            self.client.close()


def test(auth: Auth, project: str, dataset: str, location: str | None = None, use: Use = Use.BATCH) -> Iterator[Step]:
    """Test a credential, a project and a dataset. Yields each step when it is done; cleans up in any case.

    `location`: where the dataset is thought to be; another is a warning. `use`: what the connection is to be good for.
    """
    state = _Test(auth, project, dataset, location, use)
    passed: set[str] = set()
    try:
        for plan in state.plans():
            missing = [name for name in plan.needs if name not in passed]
            if missing:
                yield Step(plan.name, plan.title, "skipped", f"because the step {missing[0]} did not pass")
                continue
            step = _do(plan)
            if step.status in {"passed", "warning"} and not (plan.optional and step.status == "warning"):
                passed.add(plan.name)
            if plan.name == "dataset" and (step.status == "passed" or state.unseen):
                passed.add(_THERE)
            yield step
    finally:
        state.clean()


def _do(plan: _Plan) -> Step:
    began = time.monotonic()
    try:
        message = plan.action()
    except _NotableError as notable:
        message, hint = notable.args
        return Step(plan.name, plan.title, "warning", message, hint, time.monotonic() - began)
    except TidemillError as error:
        seconds = time.monotonic() - began
        if plan.optional:
            extra = "It is needed for models that change (persons, sessions). The test table expires within the hour."
            message = f"{error.message} {extra}"
            return Step(plan.name, plan.title, "warning", message, error.hint, seconds, "", error.code, error.raw)
        return Step(plan.name, plan.title, "failed", error.message, error.hint, seconds, "", error.code, error.raw)
    seconds = time.monotonic() - began
    found = message if plan.name == "dataset" else ""
    shown = f"in {message}" if plan.name == "dataset" else message
    return Step(plan.name, plan.title, "passed", shown, "", seconds, found)
