"""What is seen of exports from outside: logs of runs, and figures for metrics. Each part is made when it is used."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill import tracing
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.events.lake import Lake
    from tidemill.exports.backlog import Backlogs
    from tidemill.exports.figures import ExportMetrics
    from tidemill.logbook import Book
    from tidemill.store.database import Database
    from tidemill.store.old_runs import OldRuns
    from tidemill.store.run_lines import RunLines
    from tidemill.store.totals import Totals


class Seeing:
    """See the module. One an installation and process."""

    def __init__(self, settings: Settings, database: Database, lake: Callable[[], Lake]) -> None:
        """`lake`: the event store, which not all of this needs."""
        self._settings, self._database, self._lake = settings, database, lake

    @functools.cached_property
    def lines(self) -> RunLines:
        """What runs have told."""
        from tidemill.store.run_lines import RunLines

        return RunLines(self._database)

    @functools.cached_property
    def old_runs(self) -> OldRuns:
        """Runs that were over long ago."""
        from tidemill.store.old_runs import OldRuns

        return OldRuns(self._database)

    @functools.cached_property
    def book(self) -> Book:
        """Where runs tell what they do."""
        from tidemill.logbook import Book

        return Book(self.lines.add, self.lines.trim, self._settings.logs_level)

    @functools.cached_property
    def totals(self) -> Totals:
        """Sums over runs that are over."""
        from tidemill.store.totals import Totals

        return Totals(self._database)

    @functools.cached_property
    def metrics(self) -> ExportMetrics:
        """What `/metrics` tells of exports."""
        from tidemill.engine import liveness
        from tidemill.exports.figures import ExportMetrics
        from tidemill.store.figures import FiguresBook

        workers = functools.partial(liveness.standing, self._database.postgres.dsn)
        return ExportMetrics(self._settings, FiguresBook(self._database), workers)

    @functools.cached_property
    def backlogs(self) -> Backlogs:
        """Measures how many events wait."""
        from tidemill.exports.backlog import Backlogs
        from tidemill.store.figures import FiguresBook

        return Backlogs(self._lake(), FiguresBook(self._database))

    def close(self) -> None:
        """Have all kept, and sent, that was told. Who has told something deletes some of what is old, too: there may be
        no server that does."""
        if "book" in self.__dict__:
            if self.book.close():
                with contextlib.suppress(Exception):  # another time; nobody waits for it
                    self.prune(pieces=1)
                    self.prune_runs(pieces=1)
            tracing.close()

    def prune(self, pieces: int | None = None) -> int:
        """Delete lines that are older than they are kept; so many pieces at most. Gives how many that were."""
        return self.lines.prune(dt.datetime.now(dt.UTC) - dt.timedelta(days=self._settings.logs_days), pieces)

    def prune_runs(self, pieces: int | None = None) -> int:
        """Forget runs that were over for longer than they are kept, and backfills; those that something needs stay. So
        many pieces at most. Gives how many that were."""
        return self.old_runs.prune(dt.datetime.now(dt.UTC) - dt.timedelta(days=self._settings.runs_days), pieces)
