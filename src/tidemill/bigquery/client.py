"""The facade over Google's client: everything that other parts may ask of BigQuery. It raises only our errors."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth.transport.requests import AuthorizedSession

from tidemill import __version__, tracing
from tidemill.bigquery import credentials, errors, jobs, tables
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.errors import Target
from tidemill.bigquery.grants import Purpose, Use
from tidemill.bigquery.jobs import ONCE
from tidemill.bigquery.retry import Policy, never, understand
from tidemill.bigquery.tables import Layout, Table

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud import bigquery

Result = TypeVar("Result")
USER_AGENT = f"tidemill/{__version__}"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An existing dataset. `table_expiration`: new tables vanish after that time, if it is set."""

    location: str
    table_expiration: dt.timedelta | None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a query gave. `affected` is the number of rows that a DML statement changed."""

    job_id: str
    rows: list[tuple[Any, ...]]
    columns: tuple[str, ...]
    affected: int | None
    bytes_billed: int


class Client:
    """BigQuery, as one credential sees it. May be used by several threads."""

    def __init__(
        self,
        auth: Auth,
        project: str,
        location: str | None = None,
        policy: Policy | None = None,
        use: Purpose = Use.BATCH,
    ) -> None:
        """`location`: of the dataset that jobs work on; needed for jobs (`locate` reads it).

        `use`: what it is for, which decides the custom role that is named where a permission is missing.
        `cancelled`, which may be set later, tells whether to stop waiting for BigQuery.
        """
        self._auth = auth
        self.project = project
        self.location = location
        self.policy = policy or Policy()
        self._use = use
        self.account, self.caller = credentials.account(auth), credentials.caller(auth)
        self.cancelled: Callable[[], bool] = never
        self._google: bigquery.Client | None = None
        self._opening, self._billing, self._billed = threading.Lock(), threading.Lock(), 0

    def google(self) -> bigquery.Client:
        """Google's client, made at the first call."""
        with self._opening:
            if self._google is None:
                from google.api_core.client_info import ClientInfo  # heavy
                from google.cloud import bigquery

                self._google = bigquery.Client(
                    project=self.project,
                    credentials=credentials.shared(self._auth),
                    client_options=ClientOptions(api_endpoint=credentials.endpoint(self._auth)),
                    client_info=ClientInfo(user_agent=USER_AGENT),
                )
            return self._google

    @property
    def endpoint(self) -> str:
        """Where the API is."""
        return credentials.endpoint(self._auth) or "https://bigquery.googleapis.com"

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded BigQuery, and not Google's."""
        return credentials.endpoint(self._auth) is not None

    def credentials(self) -> Credentials:
        """What signs in, for calls that do not go through Google's client."""
        signed: Credentials = self.google()._credentials
        return signed

    def upload_session(self) -> AuthorizedSession:
        """An HTTP session of its own, signed in, for one upload."""
        session = AuthorizedSession(self.credentials())
        session.headers["User-Agent"] = USER_AGENT
        return session

    def close(self) -> None:
        """Close the connections."""
        if self._google is not None:
            self._google.close()
            self._google = None

    def target(self, permission: str = "", dataset: str | None = None, table: str | None = None) -> Target:
        """What a call is about, for errors."""
        return Target(self.project, dataset, table, self.account, permission, self.caller, self._use)

    def _call(self, target: Target, function: Callable[[], Result]) -> Result:
        with tracing.call(target.permission or "bigquery", resource=target.resource):
            return self.policy.call(target, function, self.cancelled)

    def get_token(self) -> None:
        """Sign in, now.

        Raises
        ------
        AccessError
            If Google does not accept the credential.
        """
        from google.auth.transport.requests import Request

        signed = credentials.build(self._auth)
        self._call(self.target(), lambda: signed.refresh(Request()))

    def check_project(self) -> None:
        """Ask for the project's datasets, one at most: it fails if the project is not there or not reachable."""
        target = self.target("bigquery.datasets.get")
        self._call(target, lambda: list(self.google().list_datasets(max_results=1, **ONCE)))

    def list_projects(self, most: int) -> list[str]:
        """Ids of projects that the account may see, so many at most."""

        def ask() -> list[str]:
            return [str(item.project_id) for item in self.google().list_projects(max_results=most, **ONCE)]

        return self._call(self.target(), ask)

    def list_datasets(self) -> list[tuple[str, str]]:
        """The datasets that the account may see, each with its location."""

        def ask() -> list[tuple[str, str]]:
            found = self.google().list_datasets(**ONCE)
            return [(item.dataset_id, str(item._properties.get("location") or "")) for item in found]

        datasets = self._call(self.target("bigquery.datasets.get"), ask)
        return [(name, location or self.get_dataset(name).location) for name, location in datasets]

    def get_dataset(self, dataset: str) -> Dataset:
        """The dataset; NotFoundError if there is none."""
        target = self.target("bigquery.datasets.get", dataset)
        name = f"{self.project}.{dataset}"
        found = self._call(target, lambda: self.google().get_dataset(name, **ONCE))
        expires = found.default_table_expiration_ms
        return Dataset(str(found.location or ""), dt.timedelta(milliseconds=expires) if expires else None)

    def locate(self, dataset: str) -> None:
        """Have jobs run where the dataset is."""
        self.location = self.get_dataset(dataset).location

    def create_dataset(self, dataset: str, location: str) -> str:
        """Make a dataset; nothing happens if it is there already. Gives its location, which may be another then."""
        from google.cloud import bigquery

        wanted = bigquery.Dataset(f"{self.project}.{dataset}")
        wanted.location = location
        target = self.target("bigquery.datasets.create", dataset)
        made = self._call(target, lambda: self.google().create_dataset(wanted, exists_ok=True, **ONCE))
        return str(made.location or location)

    def get_table(self, dataset: str, table: str) -> Table | None:
        """The table, or None if there is none."""
        target = self.target("bigquery.tables.get", dataset, table)

        def ask() -> Table | None:
            try:
                return tables.from_google(self.google().get_table(self._name(dataset, table), **ONCE))
            except api.NotFound as error:
                # The exception's own text holds the address, which names the dataset in any case.
                if errors.missing(understand(error, target).message) in {"project", "dataset"}:
                    raise
                return None

        return self._call(target, ask)

    def list_tables(self, dataset: str) -> list[str]:
        """Ids of the tables in a dataset."""
        target = self.target("bigquery.tables.list", dataset)
        name = f"{self.project}.{dataset}"
        found = self._call(target, lambda: list(self.google().list_tables(name, **ONCE)))
        return [item.table_id for item in found]

    def create_table(self, dataset: str, table: str, layout: Layout) -> Table:
        """Make a table; one that is there already stays as it is."""
        from google.cloud import bigquery

        wanted = bigquery.Table(self._name(dataset, table), schema=tables.schema(layout.columns))
        wanted.description = layout.description or None
        wanted.labels = dict(layout.labels)
        if layout.partition:
            expires = layout.partition_expires
            wanted.time_partitioning = bigquery.TimePartitioning(
                type_=layout.partition[1],
                field=layout.partition[0],
                expiration_ms=expires // dt.timedelta(milliseconds=1) if expires else None,
            )
        if layout.cluster_by:
            wanted.clustering_fields = list(layout.cluster_by)
        if layout.expires_seconds:
            wanted.expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=layout.expires_seconds)
        target = self.target("bigquery.tables.create", dataset, table)
        # Asked to tolerate an existing table, Google's client reads it back, whoever made it.
        made = self._call(target, lambda: self.google().create_table(wanted, exists_ok=True, **ONCE))
        return tables.from_google(made)

    def keep_partitions(self, dataset: str, table: str, partition: tuple[str, str], expires: dt.timedelta) -> None:
        """Have a table's partitions vanish so long after their end. `partition`: how it is partitioned, which stays."""
        from google.cloud import bigquery

        wanted = bigquery.Table(self._name(dataset, table))
        wanted.time_partitioning = bigquery.TimePartitioning(
            type_=partition[1], field=partition[0], expiration_ms=expires // dt.timedelta(milliseconds=1)
        )
        target = self.target("bigquery.tables.update", dataset, table)
        self._call(target, lambda: self.google().update_table(wanted, ["time_partitioning"], **ONCE))

    def create_view(self, dataset: str, view: str, query: str, description: str) -> None:
        """Make a view; what is there by that name already stays as it is."""
        from google.cloud import bigquery

        wanted = bigquery.Table(self._name(dataset, view))
        wanted.view_query, wanted.description = query, description
        target = self.target("bigquery.tables.create", dataset, view)
        self._call(target, lambda: self.google().create_table(wanted, exists_ok=True, **ONCE))

    def delete_table(self, dataset: str, table: str) -> None:
        """Delete a table; nothing happens if there is none."""
        name = self._name(dataset, table)
        target = self.target("bigquery.tables.delete", dataset, table)
        self._call(target, lambda: self.google().delete_table(name, not_found_ok=True, **ONCE))

    def _name(self, dataset: str, table: str) -> str:
        return f"{self.project}.{dataset}.{table}"

    def load(
        self,
        path: Path,
        job: jobs.Load,
        *,
        sent: Callable[[int], None] = lambda _: None,
        cancelled: Callable[[], bool] | None = None,
    ) -> jobs.Loaded:
        """Load one file by one job, once, however often this is called for the same job id; see `jobs.run_load`."""
        with tracing.call("load job", job=job.job_id, table=job.table):
            loaded = jobs.run_load(self, path, job, sent=sent, cancelled=cancelled or self.cancelled)
            tracing.note(job=loaded.job_id, rows=loaded.rows, bytes=loaded.bytes)
            return loaded

    def settle(self, job_id: str, dataset: str, table: str) -> None:
        """See that no job of this id is at work any more; see `jobs.settle`."""
        jobs.settle(self, job_id, self.target("bigquery.jobs.create", dataset, table))

    def wait_for(self, job_id: str, dataset: str, table: str) -> int:
        """Wait until no statement of this id is at work. Gives the rows that it changed; see `jobs.wait_for`."""
        return jobs.wait_for(self, job_id, self.target("bigquery.jobs.get", dataset, table), self.cancelled)

    def at_work(self) -> list[str]:
        """Ids of the jobs of this account that wait or run.

        Raises
        ------
        AccessError
            It may not ask.
        """

        def ask() -> list[str]:
            found = [self.google().list_jobs(state_filter=state, **ONCE) for state in ("pending", "running")]
            return [str(job.job_id) for jobs_found in found for job in jobs_found]

        return self._call(self.target("bigquery.jobs.list"), ask)

    def query(
        self,
        sql: str,
        *,
        job_id: str,
        permission: str = "bigquery.jobs.create",
        dataset: str | None = None,
        table: str | None = None,
        parameters: Sequence[bigquery.ScalarQueryParameter] = (),
        labels: dict[str, str] | None = None,
        max_bytes_billed: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Answer:
        """Run a statement, once for a job id: a second call finds the first one's job and its result.

        One that would be billed for more than `max_bytes_billed` fails, and costs nothing.
        """
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(query_parameters=list(parameters), labels=labels or {}, use_query_cache=False)
        if max_bytes_billed is not None:
            config.maximum_bytes_billed = max_bytes_billed
        target = self.target(permission, dataset, table)
        with tracing.call("query job", job=job_id, resource=target.resource):
            job = jobs.run_query(self, sql, config, job_id, target, cancelled or self.cancelled)
            tracing.note(job=str(job.job_id), bytes_billed=int(job.total_bytes_billed or 0))

        def read() -> tuple[tuple[str, ...], list[Any]]:
            found = job.result(job_retry=None, **ONCE)
            return tuple(field.name for field in found.schema or ()), list(found)

        columns, found = self._call(target, read)
        rows = [tuple(row.values()) for row in found]
        return Answer(str(job.job_id), rows, columns, job.num_dml_affected_rows, int(job.total_bytes_billed or 0))

    def bill(self, size: int) -> None:
        """Count the bytes that a statement was billed for."""
        with self._billing:
            self._billed += size

    def take_billed(self) -> int:
        """Bytes that all statements were billed for since this was asked last."""
        with self._billing:
            billed, self._billed = self._billed, 0
            return billed

    def dry_run(self, sql: str) -> int:
        """Check a statement, for which nothing is billed. Gives the bytes it would read."""
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)

        def ask() -> int:
            job = self.google().query(sql, job_config=config, location=self.location, job_retry=None, **ONCE)
            return int(job.total_bytes_processed or 0)

        return self._call(self.target("bigquery.jobs.create"), ask)

    def read(self, dataset: str, table: str, limit: int) -> list[tuple[Any, ...]]:
        """The first rows of a table, by `tabledata.list`: free, and without a job."""
        target = self.target("bigquery.tables.getData", dataset, table)

        def ask() -> list[tuple[Any, ...]]:
            source = self.google().get_table(self._name(dataset, table), **ONCE)
            rows = self.google().list_rows(source, max_results=limit, **ONCE)
            return [tuple(row.values()) for row in rows]

        return self._call(target, ask)
