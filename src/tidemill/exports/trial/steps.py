"""The steps of a test upload: a scratch table is made as the target would be, filled as a run fills it, and read back.

Rows go by a load job, or by a write stream where the export's do. Nothing of it is billed: load jobs, appending a few
rows and `tabledata.list` are free. The scratch table is deleted in any case; it expires within the hour, too, for the
process may die. Amplitude calls it the test upload (research: amplitude_clevertap.md §1.1).
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tidemill.bigquery import access, access_steps, tables
from tidemill.bigquery.access import DatasetTest
from tidemill.bigquery.access_steps import SCRATCH_EXPIRES_SECONDS, NotableError, Plan, SkippedError, Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants import Use
from tidemill.bigquery.tables import Table
from tidemill.errors import AccessError, TidemillError
from tidemill.exports.spec import Delivery, ExportSpec
from tidemill.exports.steps import prepare
from tidemill.exports.trial import compare, rows, send, views
from tidemill.exports.trial.texts import Texts, of_row
from tidemill.exports.trial.views import Told, Uploaded
from tidemill.exports.work import Parts
from tidemill.models.model import Column
from tidemill.settings import private_folder
from tidemill.store.records import Export

_NAME_LENGTH = 200  # characters of the target's name that are in that of the scratch table
_MADE = ("tables.create",)
#: How folders of tests begin. One that is so old was left by a process that died.
_FOLDER, _LEFT_SECONDS = "test-", 86_400
_IN_PLACE = "a row without values goes in their place"
_STAYS = "The scratch table expires within the hour."
#: What was sent is in a table that was made a moment ago: it may take BigQuery some seconds to tell of it.
_COMES_WITHIN_SECONDS, _LOOKS_EVERY_SECONDS = 15.0, 1.0


def _tidy(folder: Path) -> None:
    """Remove what tests left whose process died: it holds rows."""
    for left in folder.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _LEFT_SECONDS:
                shutil.rmtree(left)


class Trial:
    """One test upload."""

    def __init__(self, parts: Parts, auth: Auth, export: Export, location: str | None, *, is_new: bool) -> None:
        """`location`: where the dataset is thought to be; `is_new`: the export is not saved."""
        self._parts, self._export, self._is_new = parts, export, is_new
        self._spec = ExportSpec.model_validate(export.spec)
        self._model = self._spec.definition
        self._by_streams = self._spec.streams or self._spec.delivery is Delivery.STORAGE_WRITE
        merges = self._model.versions or self._model.replaced
        use = Use.STREAMING if self._by_streams and not merges else Use.BATCH
        self._test = DatasetTest(auth, export.project, export.dataset, location, use)
        self._scratch = self._test.scratch
        self._scratch.table = f"tidemill_test_{export.table_id[:_NAME_LENGTH]}_{secrets.token_hex(4)}"
        self._columns: tuple[Column, ...] = self._model.columns_for(json_type=self._spec.json_type)
        self._target: Table | None = None
        self._prepared: rows.Prepared | None = None
        self._compared: compare.Compared | None = None
        self._back: list[Texts] = []

    def run(self, told: Told) -> Iterator[Step]:
        """Do it. Yields each step when it is done; cleans up in any case."""
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.callback(self._scratch.clean)
            folder = private_folder(self._parts.settings.home_path / "exports")  # DuckDB may write there
            _tidy(folder)
            self._path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_FOLDER, dir=folder))) / "rows"
            yield from access_steps.run(self._plans(), self._test.also)
            if self._prepared is not None:
                told(self._uploaded(self._prepared, time.monotonic() - began))

    def _plans(self) -> list[Plan]:
        jobs = [self._scratch.running_jobs()] if self._test.use is Use.BATCH else []
        how = "by a write stream" if self._by_streams else "by a load job"
        needs_dataset = () if self._by_streams else ("dataset", "jobs.create")  # a job must know where it lies
        read = Plan(
            "tables.getData",
            "bigquery.tables.getData: the rows come back as they were sent",
            self._read_back,
            (*_MADE, "tables.get", "tables.updateData"),
        )
        return [
            *self._test.before(),
            Plan("target", f"The table {self._export.table_id}", self._look_at_target, (access.THERE,)),
            *jobs,
            Plan("rows", "The newest rows of this export", self._read, ("token",)),
            Plan("tables.create", "bigquery.tables.create: the scratch table is made", self._create, (access.THERE,)),
            Plan("tables.get", "bigquery.tables.get: it has the columns of this export", self._look_at_scratch, _MADE),
            self._test.listing(),
            Plan(
                "tables.updateData",
                f"bigquery.tables.updateData: test upload, {how}",
                self._upload,
                (*_MADE, *needs_dataset, "rows"),
            ),
            read,
            Plan(
                "tables.delete", "bigquery.tables.delete: the scratch table is deleted", self._delete, _MADE,
                optional="" if self._test.use is Use.STREAMING else _STAYS,
            ),
        ]  # fmt: skip

    @property
    def _client(self) -> Client:
        return self._scratch.client

    def _look_at_target(self) -> str:
        export, name = self._export, self._name(self._export.table_id)
        self._target = table = self._client.get_table(export.dataset, export.table_id)
        if table is None:
            if not self._is_new and self._parts.runs.brought_rows(export.id):
                raise prepare.gone(export)
            return "It is not there: the first run makes it."
        found = tables.match(self._columns, table, name)
        if table.rows and self._model.key:
            prepare.assert_keyed(self._model, {column.name for column in found.columns})
        self._columns = found.columns
        if found.missing:
            raise NotableError(
                f"The table has no column {', '.join(found.missing)}: left out.",
                "Add what is wanted to the table by hand, and it is filled from then on.",
            )
        return f"It is there, with {table.rows:,} rows, and its columns fit."

    def _name(self, table: str) -> str:
        return f"{self._export.project}.{self._export.dataset}.{table}"

    def _read(self) -> str:
        self._prepared = found = rows.prepare(
            self._parts, self._export, self._columns, self._path, by_streams=self._by_streams
        )
        if found.is_late:
            said = f"They were not found within {rows.WITHIN_SECONDS:g} seconds: {_IN_PLACE}."
            raise NotableError(said, "The first run takes as long as it needs.")
        if found.set_aside:
            one = found.set_aside[0]
            raise NotableError(
                f"{found.number:,} rows; {len(found.set_aside):,} more would be set aside, the first for this: "
                f"{one.message} [{one.code}]",
                "What is set aside is kept, told, and can be sent again. All others go on.",
            )
        if not found.number:
            why = "who is who is found out by the first run. So" if found.waits else "so"
            return f"There is none yet; {why} {_IN_PLACE}."
        return f"{found.number:,} row{'s' if found.number > 1 else ''}"

    def _create(self) -> str:
        made, there = prepare.layout(self._spec, self._export, self._columns), self._target
        layout = dataclasses.replace(
            made,
            partition=there.partition if there else made.partition,
            cluster_by=there.cluster_by if there else made.cluster_by,
            description=f"Tidemill's test upload for the export {self._export.name}. Can be deleted.",
            expires_seconds=SCRATCH_EXPIRES_SECONDS,
            partition_expires=None,  # old rows would be gone at once
        )
        self._scratch.made_in = self._export.dataset  # also if the answer is lost: then the table may be there
        try:
            self._client.create_table(self._export.dataset, self._scratch.table, layout)
        except AccessError:
            self._scratch.made_in = None
            raise
        return self._scratch.table

    def _look_at_scratch(self) -> str:
        found = self._client.get_table(self._export.dataset, self._scratch.table)
        if found is None:
            raise TidemillError("table_not_seen", "The scratch table was made, and cannot be seen.", hint="Try again.")
        lacking = tables.match(self._columns, found, self._name(self._scratch.table)).missing
        if lacking:
            raise TidemillError("columns_lost", f"BigQuery did not make the columns {', '.join(lacking)}.")
        return f"{len(found.fields):,} columns"

    def _upload(self) -> str:
        if self._prepared is None:
            raise SkippedError("no rows were read")
        place = (self._export.dataset, self._scratch.table)
        if self._by_streams:
            return send.by_stream(self._client, *place, self._prepared, self._columns)
        return send.by_job(self._client, *place, self._prepared, self._columns, self._path)

    def _read_back(self) -> str:
        if self._prepared is None:
            raise SkippedError("no rows were read")
        sent = self._prepared.sent
        self._back = self._wait_for(len(sent))
        self._compared = found = compare.compare(sent, self._back, self._columns, self._model.key)
        if found.different:
            raise TidemillError(
                "rows_differ",
                f"{found.different:,} of {len(sent):,} rows are not as they were sent. {found.said}",
                hint="Nothing was written into the table of the export. Please report it, with the column's type.",
            )
        return "the row without values" if not self._prepared.number else f"{found.rows:,} of {len(sent):,}"

    def _wait_for(self, number: int) -> list[Texts]:
        """The rows of the scratch table; as many as there are after a while, if there are fewer."""
        end = time.monotonic() + _COMES_WITHIN_SECONDS
        while True:
            try:
                found = self._client.read(self._export.dataset, self._scratch.table, number + 1)
            except AccessError:
                if self._test.use is Use.STREAMING:
                    raise SkippedError(
                        f"BigQuery counts {number:,}; the account may not read them, which a stream need not"
                    ) from None
                raise
            if len(found) >= number or time.monotonic() > end:
                return [of_row(row, self._columns) for row in found]
            self._client.policy.sleep(_LOOKS_EVERY_SECONDS)

    def _delete(self) -> str:
        if self._test.use is not Use.STREAMING:
            return self._scratch.delete(self._export.dataset)
        dropped = self._scratch.drop()
        self._scratch.made_in = None  # streams do not need the right to delete tables: nothing is amiss
        if not dropped:
            raise SkippedError(f"the account may not, which a stream need not. {_STAYS}")
        return "nothing is left behind"

    def _uploaded(self, sent: rows.Prepared, seconds: float) -> Uploaded:
        found = self._compared
        return Uploaded(
            target=self._name(self._export.table_id),
            is_there=self._target is not None,
            scratch=self._name(self._scratch.table),
            rows=sent.number,
            returned=None if found is None else found.rows if sent.number else 0,
            different=None if found is None else found.different,
            set_aside=len(sent.set_aside),
            reasons=views.reasons(sent.set_aside),
            columns=tuple(column.name for column in self._columns),
            first=views.first(sent.sent) if sent.number else (),
            seconds=seconds,
        )
