"""All resources of one server. Written by tests/client_writer.py."""

from __future__ import annotations

from types import TracebackType

import httpx

from tidemill.client.core import Core
from tidemill.client.resources.audit import Audit
from tidemill.client.resources.backfills import Backfills
from tidemill.client.resources.channels import Channels
from tidemill.client.resources.configuration import Configuration
from tidemill.client.resources.connections import Connections
from tidemill.client.resources.dbt import Dbt
from tidemill.client.resources.dbt_projects import DbtProjects
from tidemill.client.resources.destinations import Destinations
from tidemill.client.resources.event_loads import EventLoads
from tidemill.client.resources.events import Events
from tidemill.client.resources.exports import Exports
from tidemill.client.resources.health import Health
from tidemill.client.resources.hooks import Hooks
from tidemill.client.resources.imports import Imports
from tidemill.client.resources.keys import Keys
from tidemill.client.resources.models import Models
from tidemill.client.resources.persons import Persons
from tidemill.client.resources.rejects import Rejects
from tidemill.client.resources.runs import Runs
from tidemill.client.resources.source_models import SourceModels
from tidemill.client.resources.sources import Sources
from tidemill.client.resources.syncs import Syncs
from tidemill.client.resources.tokens import Tokens
from tidemill.client.resources.users import Users


class Client:
    """A server, as the holder of a token may use it. It is closed at the end of a `with` block, or by `close`."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 120.0,
        tries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`url`: of the server, without a path; `tries`: how often a call is made, if the server cannot answer now."""
        self._core = Core(url, token, timeout=timeout, tries=tries, transport=transport)
        self.audit = Audit(self._core)
        self.backfills = Backfills(self._core)
        self.channels = Channels(self._core)
        self.configuration = Configuration(self._core)
        self.connections = Connections(self._core)
        self.dbt = Dbt(self._core)
        self.dbt_projects = DbtProjects(self._core)
        self.destinations = Destinations(self._core)
        self.event_loads = EventLoads(self._core)
        self.events = Events(self._core)
        self.exports = Exports(self._core)
        self.health = Health(self._core)
        self.hooks = Hooks(self._core)
        self.imports = Imports(self._core)
        self.keys = Keys(self._core)
        self.models = Models(self._core)
        self.persons = Persons(self._core)
        self.rejects = Rejects(self._core)
        self.runs = Runs(self._core)
        self.source_models = SourceModels(self._core)
        self.sources = Sources(self._core)
        self.syncs = Syncs(self._core)
        self.tokens = Tokens(self._core)
        self.users = Users(self._core)

    def close(self) -> None:
        """Ask nothing more."""
        self._core.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
