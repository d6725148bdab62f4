"""What a statement does, read by sqlglot: the permissions it needs, whether it changes anything, what tables it makes.

What sqlglot cannot read, or reads only as an opaque command (blocks, EXECUTE IMMEDIATE, CALL, GRANT, …), could do
anything: it is left to accounts that may do everything.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
from typing import Any

from tidemill.bigquery.local import permissions
from tidemill.bigquery.local.accounts import ALL_PERMISSIONS
from tidemill.bigquery.local.answers import Refusal, denied
from tidemill.bigquery.local.permissions import Place


class Effect(enum.Enum):
    """What a statement may change."""

    READS = "reads"
    ROWS = "rows"  # one DML statement: it is done in one transaction
    ANYTHING = "anything"


@dataclasses.dataclass(frozen=True)
class Statement:
    """What there is to know of a statement, or a script. `created`: tables; `altered`: tables whose columns may change.

    `opaque`: it could not be read.
    """

    effect: Effect
    needs: tuple[tuple[str, Place], ...] = ()
    created: tuple[Place, ...] = ()
    altered: tuple[Place, ...] = ()
    opaque: bool = False

    @property
    def datasets(self) -> list[tuple[str, str]]:
        """The datasets that must be there, and be in the job's location."""
        return [(at.project, at.dataset) for name, at in self.needs if at.dataset and name not in _OF_DATASET]

    @property
    def changed(self) -> list[Place]:
        """The tables whose rows or columns it may change."""
        rows = [at for name, at in self.needs if name == "bigquery.tables.updateData"]
        return [*rows, *self.created, *self.altered]

    def check(self, granted: frozenset[str], project: str) -> None:
        """Raise Refusal (403) for the first permission that is missing."""
        for permission, at in self.needs:
            if not permissions.has(granted, permission, at):
                raise denied(permission, at.project, at.dataset, at.table)
        missing = sorted(set(ALL_PERMISSIONS) - granted)
        if self.opaque and missing:
            said = f"the embedded BigQuery cannot read the statement: it needs all permissions, and {missing[0]} is not"
            raise Refusal(403, "accessDenied", f"Access Denied: Project {project}: {said} granted.")


_OF_DATASET = {"bigquery.datasets.create", "bigquery.datasets.delete"}
_QUIET = logging.getLogger("sqlglot")


def read(sql: str, project: str, default_dataset: str | None) -> Statement:
    """Read a statement or a script. `default_dataset`: where tables are that name none."""
    import sqlglot  # comes with the emulator

    _QUIET.setLevel(logging.ERROR)  # it warns of what it reads as a command
    try:
        found = [statement for statement in sqlglot.parse(sql, dialect="bigquery") if statement is not None]
    except sqlglot.errors.SqlglotError:
        return Statement(Effect.ANYTHING, opaque=True)
    reader = _Reader(project, default_dataset)
    for statement in found:
        reader.take(statement)
    effect = reader.effect
    if effect is Effect.ROWS and len(found) > 1:
        effect = Effect.ANYTHING
    return Statement(effect, tuple(reader.needs), tuple(reader.created), tuple(reader.altered), reader.opaque)


class _Reader:
    def __init__(self, project: str, default_dataset: str | None) -> None:
        self._project, self._default = project, default_dataset
        self.effect, self.opaque = Effect.READS, False
        self.needs: list[tuple[str, Place]] = []
        self.created: list[Place] = []
        self.altered: list[Place] = []

    def take(self, statement: Any) -> None:
        """Add what one statement needs."""
        from sqlglot import exp

        target: Any = None
        if isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.TruncateTable):
            target = self._rows(statement)
        elif isinstance(statement, exp.Create | exp.Drop | exp.Alter):
            target = self._schema(statement)
        elif isinstance(statement, exp.Declare | exp.Set | exp.Transaction | exp.Commit | exp.Rollback):
            self.effect = Effect.ANYTHING
        elif not isinstance(statement, exp.Query):
            self.effect, self.opaque = Effect.ANYTHING, True
        for table in statement.find_all(exp.Table):
            names = {str(cte.alias) for cte in statement.find_all(exp.CTE)}
            if table is not target and not (not table.db and table.name in names):
                self._need("bigquery.tables.getData", table)

    def _rows(self, statement: Any) -> Any:
        from sqlglot import exp

        if self.effect is Effect.READS:
            self.effect = Effect.ROWS
        target = statement.expressions[0] if isinstance(statement, exp.TruncateTable) else statement.this
        target = target if isinstance(target, exp.Table) else target.find(exp.Table)
        self._need("bigquery.tables.updateData", target)
        if isinstance(statement, exp.Update | exp.Delete | exp.Merge):
            self._need("bigquery.tables.getData", target)
        return target

    def _schema(self, statement: Any) -> Any:
        from sqlglot import exp

        self.effect = Effect.ANYTHING
        kind = str(statement.args.get("kind")).upper()
        target = statement.this if isinstance(statement.this, exp.Table) else statement.this.find(exp.Table)
        verb = type(statement).__name__.lower()
        if kind == "SCHEMA" and verb in {"create", "drop"}:
            *before, dataset = ".".join(part for part in (target.catalog, target.db, target.name) if part).split(".")
            place = Place(before[-1] if before else self._project, dataset, None, "")
            self.needs.append((f"bigquery.datasets.{'create' if verb == 'create' else 'delete'}", place))
            if verb == "drop":
                self.needs.append(("bigquery.tables.delete", place))
        elif kind in {"TABLE", "VIEW"}:
            self._need(f"bigquery.tables.{ {'create': 'create', 'drop': 'delete', 'alter': 'update'}[verb] }", target)
            if verb == "alter":
                self._note(self.altered, target)
            elif verb == "create" and kind == "TABLE":
                self._note(self.created, target)
                if statement.args.get("expression") is not None:
                    self._need("bigquery.tables.updateData", target)
            if verb == "create" and statement.args.get("replace"):
                self._need("bigquery.tables.update", target)
        else:
            self.opaque = True
        return target

    def _place(self, table: Any) -> Place | None:
        dataset = (table.db if table is not None else "") or self._default
        if table is None or not table.name or not dataset:
            return None
        return Place(table.catalog or self._project, dataset, table.name, "")

    def _note(self, places: list[Place], table: Any) -> None:
        if at := self._place(table):
            places.append(at)

    def _need(self, permission: str, table: Any) -> None:
        if "INFORMATION_SCHEMA" in (table.sql() if table is not None else "").upper():
            self._need_of_schema(table)
        elif at := self._place(table):
            self.needs.append((permission, at))

    def _need_of_schema(self, view: Any) -> None:
        """INFORMATION_SCHEMA of a dataset shows its tables; the one of a project shows datasets or jobs."""
        parts = [part for name in (view.catalog, view.db, view.name) for part in str(name).split(".") if part]
        names = [part.upper() for part in parts]
        if "INFORMATION_SCHEMA" not in names:
            return
        before = parts[: names.index("INFORMATION_SCHEMA")]
        what = names[-1]
        if what == "SCHEMATA":
            self.needs.append(("bigquery.datasets.get", Place(self._project, None, None, "")))
        elif not what.startswith("JOBS") and before and not before[-1].lower().startswith("region-"):
            place = Place(before[0] if len(before) > 1 else self._project, before[-1], None, "")
            self.needs += [("bigquery.tables.get", place), ("bigquery.tables.list", place)]
