"""The way of rows to a destination, for a run and for a trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tidemill.destinations.deliver import Line
from tidemill.destinations.port import Outlet
from tidemill.errors import TidemillError
from tidemill.outbound import network
from tidemill.outbound.client import Seen
from tidemill.reverse_etl import told
from tidemill.reverse_etl.pacing import Pacer
from tidemill.reverse_etl.told import Tally
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job, Parts


@contextlib.contextmanager
def opened(
    parts: Parts, job: Job, watch: Watch, observe: Callable[[Seen], None] | None = None, tally: Tally | None = None
) -> Iterator[Line]:
    """A line to the destination of a sync, signed in and paced, for the time of the block. `observe`: is told of each
    request; `tally`: counts calls. No error of the block, and nothing that is said of a row, holds a secret of the
    account."""
    tally = tally or Tally()
    settings = parts.settings_of(parts.books.accounts.by_id(job.account.id))  # as it is now
    account, pace = f"{job.account.kind}:{settings.account}", job.destination.pace(settings)
    pacer = Pacer(account, pace, parts.paces, parts.locks.attempt, tally.waiting(watch.sleep))

    def hold(seconds: float) -> None:
        told.held(seconds)
        pacer.hold(seconds)

    try:
        with parts.http() as http:
            http.turn, http.observe = pacer.turn, observe
            with job.destination.open(settings, Outlet(http, watch.sleep)) as client:
                yield Line(client, job.action, settings.secrets, pacer, watch.sleep, tally.called, hold)
    except TidemillError as error:
        raise network.without(error, settings.secrets) from None
