"""All destinations. Each is a line here, and a folder."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from tidemill.destinations.home import HOME
from tidemill.destinations.port import Destination
from tidemill.errors import NotFoundError

#: By name: the module and the name in it. They are loaded when they are asked for.
_KNOWN = {
    "amplitude": ("amplitude.config", "AMPLITUDE"),
    "braze": ("braze.config", "BRAZE"),
    "clevertap": ("clevertap.config", "CLEVERTAP"),
    "customerio": ("customerio.config", "CUSTOMERIO"),
    "files": ("files.config", "FILES"),
    "google_sheets": ("google_sheets.config", "GOOGLE_SHEETS"),
    "hubspot": ("hubspot.config", "HUBSPOT"),
    "intercom": ("intercom.config", "INTERCOM"),
    "iterable": ("iterable.config", "ITERABLE"),
    "klaviyo": ("klaviyo.config", "KLAVIYO"),
    "mixpanel": ("mixpanel.config", "MIXPANEL"),
    "postgresql": ("postgresql.config", "POSTGRESQL"),
    "posthog": ("posthog.config", "POSTHOG"),
    "salesforce": ("salesforce.config", "SALESFORCE"),
    "segment": ("segment.config", "SEGMENT"),
    "slack": ("slack.config", "SLACK"),
    "webhook": ("webhook.config", "WEBHOOK"),
}


@functools.cache
def get(name: str) -> Destination:
    """The destination of that name; this installation is one, too.

    Raises
    ------
    NotFoundError
        There is none.
    """
    if name == HOME.name:
        return HOME
    if name not in _KNOWN:
        raise NotFoundError(
            "destination_unknown", f"There is no destination {name!r}.", hint=f"Known: {', '.join(_KNOWN)}."
        )
    module, attribute = _KNOWN[name]
    found: Destination = getattr(importlib.import_module(f"tidemill.destinations.{module}"), attribute)
    return found


def everything() -> Mapping[str, Destination]:
    """All other tools, by name."""
    return {name: get(name) for name in _KNOWN}
