"""What the service tells the shells about connections."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from tidemill.connections.set_up import Part
from tidemill.errors import TidemillError
from tidemill.store import records


@dataclasses.dataclass(frozen=True)
class Connection:
    """A saved connection, without its secret."""

    id: uuid.UUID
    name: str
    project: str
    dataset: str
    location: str | None
    credential: str
    account: str | None
    connected_at: dt.datetime
    connected_by: str
    updated_at: dt.datetime
    #: Since when, and by whom, it is being deleted: nothing new is begun on it.
    deleting_at: dt.datetime | None
    deleting_by: str | None


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a credential can see, before there is a connection. `project`: the key's; `datasets`: of the project that
    was asked, with their locations; `trouble`: why they could not be asked, if they could not."""

    account: str | None
    project: str | None
    projects: tuple[str, ...] = ()
    datasets: tuple[tuple[str, str], ...] = ()
    trouble: TidemillError | None = None


@dataclasses.dataclass(frozen=True)
class Egress:
    """From where this installation reaches Google and others. `allowing`: what lets that through a perimeter."""

    networks: tuple[str, ...]
    allowing: tuple[Part, ...]


def view(saved: records.Connection) -> Connection:
    """A saved connection, without its secret."""
    own = "service account key" if saved.key else "application default credentials"
    return Connection(
        id=saved.id,
        name=saved.name,
        project=saved.project,
        dataset=saved.dataset,
        location=saved.location,
        credential=f"impersonation by {own}" if saved.impersonate else own,
        account=saved.account,
        connected_at=saved.connected_at,
        connected_by=saved.connected_by,
        updated_at=saved.updated_at,
        deleting_at=saved.deleting_at,
        deleting_by=saved.deleting_by,
    )
