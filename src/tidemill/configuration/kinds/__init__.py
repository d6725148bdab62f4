"""The kinds of things in a configuration, in the order of dependence."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.configuration.kinds.channels import Channels
from tidemill.configuration.kinds.connections import Connections
from tidemill.configuration.kinds.dbt_projects import DbtProjects
from tidemill.configuration.kinds.destinations import Destinations
from tidemill.configuration.kinds.exports import Exports
from tidemill.configuration.kinds.imports import Imports
from tidemill.configuration.kinds.kind import Kind
from tidemill.configuration.kinds.models import Models
from tidemill.configuration.kinds.sources import Sources
from tidemill.configuration.kinds.syncs import Syncs

#: By section; what comes later may need what comes before. Sources are written with their connections.
KINDS: Mapping[str, Kind] = {
    kind.section: kind
    for kind in (
        *(Connections(), Sources(), DbtProjects(), Models(), Destinations(), Exports(), Syncs(), Imports()),
        Channels(),
    )
}
