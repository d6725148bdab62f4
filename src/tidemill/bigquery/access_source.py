"""The test of a source of reverse ETL: named steps, each shown by doing it, that leave nothing behind.

What is needed by whom is in grants_source. Nothing is written into the dataset of the data, and no request needs more
than its permissions there: so a table is only sought if tables may be listed.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator

from tidemill.bigquery import access_steps, grants_source, model_sql, sql
from tidemill.bigquery.access_steps import Plan, Scratch, Step
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants_source import SourceUse
from tidemill.bigquery.jobs import ONCE
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError

#: Not a step: the dataset exists, or nothing speaks against it, because only the permission to look at it is missing.
_THERE = "dataset exists"
_STATE = "state dataset"
_SAME = "state location"
_TABLE = "state tables.create"
_LOADED, _MERGED = "state tables.updateData", "state merge"
_SLOWER = "Rows are read by the REST API instead, which is slower."
#: Tables that are looked at for one that holds rows.
_LOOKED_AT = 50


class _Test:
    """The state of one test."""

    def __init__(self, auth: Auth, project: str, dataset: str, use: SourceUse) -> None:
        self.scratch = Scratch(auth, project, use)
        self.project, self.dataset, self.use = project, dataset, use
        self.state = use.state_dataset or ""
        self.location: str | None = None
        self.unseen = False
        self.expiration: dt.timedelta | None = None

    def plans(self) -> list[Plan]:
        """The steps, in order."""
        exists = f"bigquery.datasets.get: the dataset {self.dataset} exists"
        before = [
            *self.scratch.signing_in(),
            self.scratch.running_jobs(),
            Plan("dataset", exists, self._dataset, ("token",), locates=True),
            Plan(
                "tables.getData", "bigquery.tables.getData: its rows can be read", self._read, ("jobs.create", _THERE)
            ),
        ]
        if self.use.state_dataset is None:
            return [*before, self._fast(("jobs.create", "dataset")), *self._end()]
        return [*before, *self._state_plans(), *self._table_plans(), self._fast((_LOADED,)), *self._end()]

    def also(self, step: Step) -> str:
        """What counts as passed after a step."""
        return _THERE if step.name == "dataset" and (step.status == "passed" or self.unseen) else ""

    def _state_plans(self) -> list[Plan]:
        made = ", or is made" if self.use.full else ""
        same = "It lies where the data does"
        return [
            Plan(_STATE, f"The state dataset {self.state} exists{made}", self._state_dataset, ("dataset",)),
            Plan(_SAME, same, self._same_location, (_STATE,)),
            Plan("state expiration", "Its tables do not expire", self._expiration, (_STATE,)),
        ]

    def _table_plans(self) -> list[Plan]:
        create = "bigquery.tables.create: a table can be made in it"
        load = "bigquery.tables.updateData: one row can be loaded"
        merge = "MERGE: the row can be changed"
        read = "bigquery.tables.getData: the row can be read back"
        return [
            Plan(_TABLE, create, lambda: self.scratch.create(self.state), (_SAME,)),
            Plan(_LOADED, load, lambda: self.scratch.upload(self.state), (_TABLE, "jobs.create")),
            Plan(_MERGED, merge, self._merge, (_LOADED,)),
            Plan("state tables.getData", read, self._read_back, (_MERGED,)),
        ]

    def _fast(self, needs: tuple[str, ...]) -> Plan:
        title = "bigquery.readsessions.create: the Storage Read API can be used"
        return Plan("readsessions.create", title, self._read_session, needs, optional=_SLOWER)

    def _end(self) -> list[Plan]:
        if self.use.state_dataset is None:
            return []
        title = "bigquery.tables.delete: the table can be dropped"
        return [Plan("state tables.delete", title, lambda: self.scratch.delete(self.state), (_TABLE,))]

    def _dataset(self) -> str:
        try:
            self.location = self.scratch.client.get_dataset(self.dataset).location
        except AccessError:
            self.unseen = True
            raise
        self.scratch.client.location = self.location
        return self.location

    def _read(self) -> str:
        client = self.scratch.client
        table = self._some_table()
        if table is not None:
            try:
                client.read(self.dataset, table, 1)
                return f"{self.dataset}.{table}"
            except AccessError as error:
                if "tables.getData" in error.message:
                    raise
        nothing = model_sql.read_nothing((self.project, self.dataset, self.scratch.table))
        try:
            # Who may read is told that there is no such table; who may not, is told nothing of what there is.
            client.policy.call(
                client.target("bigquery.tables.getData", self.dataset), lambda: self._dry_run(nothing), client.cancelled
            )
        except NotFoundError as error:
            if error.code == "dataset_not_found":
                raise
        return ""

    def _dry_run(self, text: str) -> None:
        from google.cloud import bigquery  # heavy

        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        self.scratch.client.google().query(text, job_config=config, location=self.location, job_retry=None, **ONCE)

    def _some_table(self) -> str | None:
        """A table of the dataset that holds rows of its own, if tables may be listed."""
        client = self.scratch.client
        name = f"{self.project}.{self.dataset}"

        def ask() -> str | None:
            found = client.google().list_tables(name, max_results=_LOOKED_AT, **ONCE)
            return next((str(item.table_id) for item in found if item.table_type == "TABLE"), None)

        try:
            return client.policy.call(client.target("bigquery.tables.list", self.dataset), ask, client.cancelled)
        except (AccessError, NotFoundError):
            return None

    def _state_dataset(self) -> str:
        client = self.scratch.client
        try:
            found = client.get_dataset(self.state)
        except NotFoundError:
            if not self.use.full:
                raise self._missing_state() from None
            client.create_dataset(self.state, str(self.location))
            found = client.get_dataset(self.state)
            said = f"it was made, in {found.location}"
        else:
            said = f"in {found.location}"
        client.location, self.expiration = found.location, found.table_expiration
        return said

    def _missing_state(self) -> NotFoundError:
        made = grants_source.state(self.project, self.state, self.scratch.client.account, self.location)
        return NotFoundError(
            "state_dataset_missing",
            f"There is no dataset {self.project}.{self.state}, where what was delivered would be remembered.",
            hint="Make it, and give it to the account, in BigQuery:\n" + "\n".join(made),
        )

    def _same_location(self) -> str:
        found = str(self.scratch.client.location)
        if found.lower() != str(self.location).lower():
            other = sql.create_dataset(self.project, f"{self.state}_OTHER", self.location)
            raise ConfigError(
                "state_location",
                f"The data is in {self.location}, and the state dataset {self.state} in {found}: "
                "no statement can read both.",
                hint=f"A dataset cannot be moved. Name another one, in {self.location}: --state-dataset NAME. "
                + ("It is made then." if self.use.full else f"It is made in BigQuery:\n{other}"),
            )
        return found

    def _expiration(self) -> str:
        if self.expiration:
            raise ConfigError(
                "state_expires",
                f"The state dataset deletes new tables after {self.expiration}: what was delivered would be forgotten, "
                "and delivered again.",
                hint=f"In BigQuery: {sql.without_expiration(self.project, self.state)}",
            )
        return ""

    def _merge(self) -> str:
        table = self.scratch.table
        text = model_sql.change_row((self.project, self.state, table), table, self._changed)
        job_id = f"tidemill_test_{secrets.token_hex(12)}"
        changed = self.scratch.client.query(
            text, job_id=job_id, permission="bigquery.tables.updateData", dataset=self.state, table=table
        ).affected
        if changed != 1:
            raise TidemillError("row_not_merged", f"A MERGE of one row changed {changed} rows.")
        return ""

    @property
    def _changed(self) -> str:
        return f"{self.scratch.table}_changed"

    def _read_back(self) -> str:
        return self.scratch.read_back(self.state, self._changed)

    def _read_session(self) -> str:
        from tidemill.bigquery import access_read  # heavy

        client = self.scratch.client
        if self.use.state_dataset is None:
            access_read.of_result(client)
        else:
            access_read.of_table(client, (self.project, self.state, self.scratch.table))
        return ""


def test(auth: Auth, project: str, dataset: str, use: SourceUse) -> Iterator[Step]:
    """Test whether rows can be read from a dataset, and state be kept. Yields each step when it is done.

    It cleans up in any case, but for a state dataset that was made.
    """
    state = _Test(auth, project, dataset, use)
    try:
        yield from access_steps.run(state.plans(), state.also)
    finally:
        state.scratch.clean()
