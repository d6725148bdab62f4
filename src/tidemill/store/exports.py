"""Saved exports."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError, TidemillError
from tidemill.store import run_lines
from tidemill.store.named import Named, changed_since
from tidemill.store.records import Export
from tidemill.store.tables import exports as table
from tidemill.store.tables import runs


class Exports(Named[Export]):
    """The repository of exports. A table is written into by one of them."""

    table, record, what, command = table, Export, "export", "export"
    makes = "create"

    def _refused(self, error: exc.IntegrityError, name: str) -> TidemillError:
        if "exports_target" in str(error.orig):
            return ConflictError(
                "table_taken",
                "Another export writes into that table already: rows would be there twice.",
                hint="Choose another table, or use that export: tidemill export list",
            )
        if "exports_connection_id_fkey" in str(error.orig):
            return NotFoundError("connection_unknown", "The connection was deleted.", hint="tidemill connection list")
        return self._taken(name)

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            "export_exists",
            f"There is an export {name!r} already.",
            hint="Choose another name; tidemill export list shows those there are.",
        )

    def find(self, connection_id: uuid.UUID | None = None) -> list[Export]:
        """All, or those of one connection, by name."""
        query = sa.select(table).order_by(sa.func.lower(table.c.name))
        if connection_id is not None:
            query = query.where(table.c.connection_id == connection_id)
        with self._database.begin() as connection:
            return [self._made(row) for row in connection.execute(query)]

    def any_of(self, mode: str) -> bool:
        """Whether there is one of that mode."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(table.c.spec["mode"].astext == mode))))

    def skip(self, export_id: uuid.UUID, before: int, to: int) -> None:
        """Leave out what is new: the position is moved over it, if it is still where it was.

        Raises
        ------
        ConflictError
            A run of what is new is not finished, or has moved the position meanwhile.
        """
        with self._database.begin() as connection:
            connection.execute(sa.select(table.c.id).where(table.c.id == export_id).with_for_update())
            unfinished = connection.scalar(
                sa.select(runs.c.id).where(
                    runs.c.export_id == export_id, runs.c.status != "completed", runs.c.backfill_id.is_(None)
                )
            )
            if unfinished is not None:
                raise ConflictError(
                    "run_unfinished",
                    f"Run {unfinished.hex[:8]} of this export is not finished: some of its rows may be in the table.",
                    hint=f"Finish it first: tidemill export run retry {unfinished.hex[:8]}",
                )
            change = sa.update(table).where(table.c.id == export_id, table.c.position == before).values(position=to)
            if not connection.execute(change).rowcount:
                raise ConflictError("run_running", "A run has exported some of it meanwhile.", hint="Try again.")

    def delete(self, thing_id: uuid.UUID, *, as_of: dt.datetime | None = None) -> None:
        """Delete one, with its runs.

        Raises
        ------
        NotFoundError
            Somebody else has deleted it.
        ConflictError
            If a run of it is running; or it was changed since `as_of`, as in `change`.
        """
        export_id = thing_id
        with self._database.begin() as connection:
            changed = connection.scalar(sa.select(table.c.updated_at).where(table.c.id == export_id).with_for_update())
            if changed is None:
                self.by_id(export_id)
            if as_of is not None and changed != as_of:
                raise changed_since(self.what)
            running = connection.scalar(
                sa.select(runs.c.id).where(runs.c.export_id == export_id, runs.c.status == "running")
            )
            if running is not None:
                raise ConflictError(
                    "run_running",
                    f"Run {running.hex[:8]} of this export is running.",
                    hint=f"Wait for it, or cancel it: tidemill export run cancel {running.hex[:8]}",
                )
            run_lines.forget(connection, export_id)
            connection.execute(sa.delete(table).where(table.c.id == export_id))
