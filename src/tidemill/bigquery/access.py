"""The connection test: named steps, each shown by doing it, with a test upload that leaves nothing behind.

There is one for batch exports, and one for streaming exports, which makes no request that needs more than their five
permissions. That of sources of reverse ETL is in access_source.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from tidemill.bigquery import access_steps, sql
from tidemill.bigquery.access_steps import NotableError, Plan, Scratch, Step
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants import Use
from tidemill.errors import AccessError

#: No step: the dataset exists, or nothing speaks against it, because only the permission to look at it is missing.
THERE = "dataset exists"
_NEEDS_TABLE = ("tables.create",)
_EXPIRES = "it expires within the hour"
_NO_DROP = "It is needed for models that change (persons, sessions). The test table expires within the hour."


class DatasetTest:
    """One test of a dataset, as far as it is: what it has found out, and its scratch table."""

    def __init__(self, auth: Auth, project: str, dataset: str, location: str | None, use: Use) -> None:
        self.scratch = Scratch(auth, project, use)
        self.project, self.dataset, self.said, self.use = project, dataset, location, use
        self.unseen = False
        self.expiration: dt.timedelta | None = None

    def plans(self) -> list[Plan]:
        """The steps, in order."""
        before, tables = self.before(), self._tables()
        if self.use is Use.STREAMING:
            return [*before, *tables, self._streaming()]
        return [*before, self.scratch.running_jobs(), *tables, *self._loading()]

    def also(self, step: Step) -> str:
        """What counts as passed after a step."""
        return THERE if step.name == "dataset" and (step.status == "passed" or self.unseen) else ""

    def before(self) -> list[Plan]:
        """The steps before a table is made: signing in, and what the dataset is like."""
        exists = f"bigquery.datasets.get: the dataset {self.dataset} exists"
        return [
            *self.scratch.signing_in(),
            Plan("dataset", exists, self._dataset, ("token",), locates=True),
            Plan("location", "The dataset's location", self._location, ("dataset",)),
            Plan("expiration", "New tables do not expire", self._expiration, ("dataset",)),
        ]

    def _tables(self) -> list[Plan]:
        return [
            Plan("tables.create", "bigquery.tables.create: a table can be made", self._create, (THERE,)),
            Plan("tables.get", "bigquery.tables.get: its schema can be read", self._get, _NEEDS_TABLE),
            self.listing(),
        ]

    def listing(self) -> Plan:
        """The step that shows that tables may be listed."""
        return Plan("tables.list", "bigquery.tables.list: tables can be listed", self._list, (THERE,))

    def _streaming(self) -> Plan:
        title = "bigquery.tables.updateData: test upload, one row by a write stream"
        return Plan("tables.updateData", title, self._stream, _NEEDS_TABLE)

    def _loading(self) -> list[Plan]:
        return [
            Plan(
                "tables.updateData",
                "bigquery.tables.updateData: test upload, one row loaded",
                lambda: self.scratch.upload(self.dataset),
                (*_NEEDS_TABLE, "dataset", "jobs.create"),  # a job must know the dataset's location
            ),
            Plan(
                "tables.getData",
                "bigquery.tables.getData: the row can be read back",
                lambda: self.scratch.read_back(self.dataset, self.scratch.table),
                (*_NEEDS_TABLE, "tables.get", "tables.updateData"),
            ),
            Plan(
                "tables.delete",
                "bigquery.tables.delete: the table can be dropped",
                lambda: self.scratch.delete(self.dataset),
                _NEEDS_TABLE,
                optional=_NO_DROP,
            ),
        ]

    def _dataset(self) -> str:
        client = self.scratch.client
        try:
            found = client.get_dataset(self.dataset)
        except AccessError:
            self.unseen = True
            raise
        client.location = found.location
        self.expiration = found.table_expiration
        return found.location

    def _location(self) -> str:
        found = self.scratch.client.location or ""
        if self.said and self.said.lower() != found.lower():
            raise NotableError(
                f"The dataset is in {found}; said, or read before, was {self.said}. {found} is used.",
                f"A dataset cannot be moved. If the rows must lie in {self.said}, make another there: "
                f"tidemill connection add NAME --dataset OTHER --create-dataset --location {self.said}",
            )
        return found

    def _expiration(self) -> str:
        if self.expiration:
            raise NotableError(
                f"The dataset deletes new tables after {self.expiration}: history would be lost.",
                f"In BigQuery: {sql.without_expiration(self.project, self.dataset)}",
            )
        return ""

    def _create(self) -> str:
        table = self.scratch.create(self.dataset)
        return f"{table}; {_EXPIRES}" if self.use is Use.STREAMING else table

    def _get(self) -> str:
        found = self.scratch.client.get_table(self.dataset, self.scratch.table)
        return f"{len(found.fields)} column" if found else ""

    def _list(self) -> str:
        self.scratch.client.list_tables(self.dataset)
        return ""

    def _stream(self) -> str:
        from tidemill.bigquery import access_stream  # heavy
        from tidemill.bigquery.write_streams import WriteStreams

        client = self.scratch.client
        streams = WriteStreams(client)
        try:
            access_stream.upload(client, streams, self.dataset, self.scratch.table)
        finally:
            streams.close()
        dropped = self.scratch.drop()
        self.scratch.made_in = None  # streaming exports do not need the right to drop tables: nothing is amiss
        return "nothing is left behind" if dropped else f"the test's table is not dropped; {_EXPIRES}"


def test(auth: Auth, project: str, dataset: str, location: str | None = None, use: Use = Use.BATCH) -> Iterator[Step]:
    """Test a credential, a project and a dataset. Yields each step when it is done; cleans up in any case.

    `location`: where the dataset is thought to be; another is a warning. `use`: what the connection is to be good for.
    """
    state = DatasetTest(auth, project, dataset, location, use)
    try:
        yield from access_steps.run(state.plans(), state.also)
    finally:
        state.scratch.clean()
