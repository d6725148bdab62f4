"""What somebody has said of a new export so far: it is all in the page's URL, so it outlives a reload, and a server."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from tidemill.errors import ConfigError
from tidemill.models import registry
from tidemill.models.model import Model

#: The steps of the wizard, in order.
STEPS = (
    ("data", "Data"),
    ("schema", "Schema"),
    ("destination", "Destination"),
    ("schedule", "Schedule"),
    ("test", "Test and finish"),
)
#: All that is said, each with its longest text. Nothing of it is secret.
_SAID = {
    "model": 40, "team_id": 20, "sql": 8_000, "key": 500, "versions": 500, "include_events": 4_000,
    "exclude_events": 4_000, "json_type": 1, "name": 100, "connection": 100, "dataset": 1_024, "table": 1_024,
    "layout": 10, "partition_by": 300, "cluster_by": 500, "partition_expiration_days": 10, "table_expiration_days": 10,
    "mode": 10, "interval": 100, "cron": 100, "time_zone": 60, "offset": 30, "more": 10, "jitter": 30, "start_at": 40,
    "end_at": 40, "missed": 10, "pause_after": 20, "delivery": 20, "max_bytes_billed": 30, "verify_days": 10,
    "reject_share": 20, "run_log": 1, "buffer_bytes": 20, "buffer_seconds": 20,
}  # fmt: skip
_NUMBERS = ("team_id", "partition_expiration_days", "table_expiration_days", "buffer_seconds")
_LINES = ("include_events", "exclude_events")
_COMMAS = ("key", "versions", "cluster_by")
#: What is said of runs alone, of a stream alone, and after folding out.
_OF_RUNS: tuple[str, ...] = (
    "interval",
    "time_zone",
    "offset",
    "jitter",
    "start_at",
    "end_at",
    "missed",
    "pause_after",
    "delivery",
)
_OF_RUNS = (*_OF_RUNS, "run_log", "verify_days")
_OF_STREAMS = ("buffer_bytes", "buffer_seconds")
_LAYOUT = ("partition_by", "cluster_by", "partition_expiration_days", "table_expiration_days")
_MORE: tuple[str, ...] = (
    "jitter",
    "start_at",
    "end_at",
    "missed",
    "pause_after",
    "delivery",
    "max_bytes_billed",
    "verify_days",
)
_MORE = (*_MORE, "reject_share", "run_log", *_OF_STREAMS)
_OF_QUERIES = ("sql", "key", "versions")


class Draft:
    """A new export, as far as it is said."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.said = {name: given[name][:most] for name, most in _SAID.items() if given.get(name)}

    def say(self, given: Mapping[str, Any]) -> None:
        """Something more, or something else. ConfigError if it is too long for a URL."""
        before = self.table, self.model.name
        for name, value in given.items():
            if name not in _SAID:
                continue
            text = "1" if value is True else "0" if value is False else "" if value is None else str(value)
            if len(text) > _SAID[name]:
                raise ConfigError(
                    "too_long",
                    f"This is too long for the form: {name} may have {_SAID[name]:,} letters.",
                    hint="tidemill export create takes it from a file: --sql @FILE",
                )
            if text:
                self.said[name] = text
            else:
                self.said.pop(name, None)
        if self.model.name != before[1]:  # what was proposed for another model is none of this one
            for name in ("json_type", "mode", *_LAYOUT, *(["table"] if self["table"] == before[0] else [])):
                self.said.pop(name, None)

    def __getitem__(self, name: str) -> str:
        """What is said of that; empty: nothing."""
        return self.said.get(name, "")

    def url(self, step: str) -> str:
        """The page of a step, with all that is said."""
        return f"/exports/new/{step}?{urllib.parse.urlencode(self.said)}"

    @property
    def model(self) -> Model:
        """Of which it is."""
        name = self["model"]
        return registry.MODELS.get(name, registry.MODELS["events"])

    @property
    def is_query(self) -> bool:
        """Whether it is of a query of one's own."""
        return self.model.name == "custom"

    @property
    def json_type(self) -> bool:
        """Whether JSON columns are of type JSON."""
        return self["json_type"] == "1" if self["json_type"] else self.model.json_type

    @property
    def table(self) -> str:
        """Where rows go if nothing is said."""
        return self.model.table.format(team_id=self["team_id"] or "1")

    def fields(self, *, upto: str = "test") -> dict[str, Any]:
        """What the service takes, as far as it was said until a step."""
        left_out = {"connection", "dataset", "layout", "more", "cron", "json_type"}
        streams = self["mode"] == "stream"
        left_out |= set(_OF_RUNS if streams else _OF_STREAMS)
        left_out |= set() if self["layout"] == "choose" else set(_LAYOUT)
        left_out |= set() if self["more"] == "choose" else set(_MORE)
        left_out |= set() if self.is_query else set(_OF_QUERIES)
        left_out |= set() if self.model.event_column else set(_LINES)
        if upto in {"data", "schema"}:
            left_out |= {"table", *_LAYOUT, *_OF_RUNS, *_MORE, "mode"}
        elif upto == "destination":
            left_out |= {*_OF_RUNS, *_MORE, "mode"}
        found = {name: self._value(name) for name, text in self.said.items() if text and name not in left_out}
        found["name"] = self["name"] if upto not in {"data", "schema"} else "draft"
        if self["interval"] == "cron" and "interval" in found:
            found["interval"] = self["cron"]
        if any(column.json for column in self.model.columns):
            found["json_type"] = self.json_type
        if self.is_query:
            found.pop("model", None)
            found.setdefault("sql", "")
            if upto in {"data", "schema"}:
                found["table"] = "draft"
        if self["dataset"] and found.get("table", self.table) and upto not in {"data", "schema"}:
            table = str(found.get("table") or self.table)
            found["table"] = table if "." in table else f"{self['dataset']}.{table}"
        return found

    def _value(self, name: str) -> Any:
        text = self.said[name]
        if name in _NUMBERS:
            try:
                return float(text) if name == "buffer_seconds" else int(text)
            except ValueError:
                return text
        if name in _LINES:
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        if name in _COMMAS:
            return tuple(one.strip() for one in text.split(",") if one.strip())
        return text == "1" if name == "run_log" else text
