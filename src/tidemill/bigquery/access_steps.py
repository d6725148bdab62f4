"""The machinery of connection tests: named steps, each shown by doing it, one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tidemill.bigquery import credentials, sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants import Purpose
from tidemill.bigquery.jobs import Load
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.tables import Layout, scratch_columns
from tidemill.errors import Cancelled, TidemillError, UnavailableError

#: The scratch table goes away by itself, even if this process dies or may not delete it.
SCRATCH_EXPIRES_SECONDS = 3600
_DEADLINE = 30.0  # a test does not wait ten minutes for a service that is down
_LOAD_DEADLINE = 120.0


class NotableError(Exception):
    """A step is passed, but the user should know something: a warning, and what to do about it."""


class SkippedError(Exception):
    """A step need not be passed: why."""


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
class Plan:
    """A step to do: what it needs to have passed. `locates`: it finds out where something lies. `optional`: what is the
    matter if it does not pass, which is only a warning then."""

    name: str
    title: str
    action: Callable[[], str]
    needs: tuple[str, ...] = ()
    locates: bool = False
    optional: str = ""


class Scratch:
    """A credential and a project, and a table that is made, filled and dropped by a test of them."""

    def __init__(self, auth: Auth, project: str, use: Purpose) -> None:
        self.auth, self.project, self.use = auth, project, use
        self.table = f"tidemill_test_{secrets.token_hex(6)}"
        self.made_in: str | None = None

    @functools.cached_property
    def client(self) -> Client:
        """BigQuery; made when the first step needs it, because a key that cannot be read is that step's failure."""
        return Client(self.auth, self.project, policy=Policy(deadline=_DEADLINE), use=self.use)

    def signing_in(self) -> list[Plan]:
        """The steps with which each test begins."""
        # To list datasets, the right to get them is enough, also if it is granted on a dataset ("Listing datasets").
        return [
            Plan("key", "The credential can be read", self._key),
            Plan("token", "Google grants a token", self._token, ("key",)),
            Plan("project", f"The project {self.project} is reachable", self._project, ("token",)),
        ]

    def running_jobs(self) -> Plan:
        """The step that shows that jobs may be run."""
        return Plan("jobs.create", "bigquery.jobs.create: jobs may be run", self._jobs_create, ("token",))

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

    def _jobs_create(self) -> str:
        self.client.dry_run(sql.nothing())
        return ""

    def create(self, dataset: str) -> str:
        """Make the table."""
        layout = Layout(
            scratch_columns(),
            description="Tidemill's connection test. Can be deleted.",
            expires_seconds=SCRATCH_EXPIRES_SECONDS,
        )
        self.made_in = dataset  # also if the answer is lost: then the table may be there
        try:
            self.client.create_table(dataset, self.table, layout)
        except TidemillError as error:
            self.made_in = None if error.code == "permission_missing" else dataset
            raise
        return self.table

    def upload(self, dataset: str) -> str:
        """Load one row into it: its own name."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "row.jsonl"
            path.write_text(json.dumps({"event": self.table}) + "\n")
            load = Load(
                job_id=f"tidemill_test_{secrets.token_hex(12)}",
                dataset=dataset,
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

    def read_back(self, dataset: str, value: str) -> str:
        """Read the row."""
        rows = self.client.read(dataset, self.table, 2)
        if rows != [(value,)]:
            raise TidemillError("row_not_read_back", f"The row that was loaded did not come back: {len(rows)} rows.")
        return ""

    def delete(self, dataset: str) -> str:
        """Remove the table."""
        self.client.delete_table(dataset, self.table)
        self.made_in = None
        return "nothing is left behind"

    def drop(self) -> bool:
        """Remove the table, if that can be done. Whether it is gone."""
        if self.made_in is not None:
            with contextlib.suppress(TidemillError):
                self.delete(self.made_in)
        return self.made_in is None

    def clean(self) -> None:
        """Remove what is left; where that is not allowed, the table expires within the hour."""
        self.drop()
        if "client" in self.__dict__:
            self.client.close()


def run(plans: Sequence[Plan], also: Callable[[Step], str] = lambda _: "") -> Iterator[Step]:
    """Do the steps. Yields each when it is done. `also`: what counts as passed, too, after a step, if anything does."""
    passed: set[str] = set()
    for plan in plans:
        missing = [name for name in plan.needs if name not in passed]
        if missing:
            yield Step(plan.name, plan.title, "skipped", f"because the step {missing[0]} did not pass")
            continue
        step = _do(plan)
        if step.status in {"passed", "warning"} and not (plan.optional and step.status == "warning"):
            passed.add(plan.name)
        passed.add(also(step))
        yield step


def _do(plan: Plan) -> Step:
    began = time.monotonic()
    try:
        message = plan.action()
    except NotableError as notable:
        message, hint = notable.args
        return Step(plan.name, plan.title, "warning", message, hint, time.monotonic() - began)
    except SkippedError as skipped:
        return Step(plan.name, plan.title, "skipped", str(skipped), "", time.monotonic() - began)
    except TidemillError as error:
        seconds = time.monotonic() - began
        status = "warning" if plan.optional else "failed"
        message = f"{error.message} {plan.optional}".strip()
        return Step(plan.name, plan.title, status, message, error.hint, seconds, "", error.code, error.raw)
    seconds = time.monotonic() - began
    found = message if plan.locates else ""
    shown = f"in {message}" if plan.locates else message
    return Step(plan.name, plan.title, "passed", shown, "", seconds, found)
