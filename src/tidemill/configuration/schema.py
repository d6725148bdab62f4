"""The JSON Schema of a configuration, for editors: made of the same documents that check it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from tidemill.configuration import documents
from tidemill.configuration.checking import SECTIONS, VERSION
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds import KINDS
from tidemill.connections.spec import NAME_RULE
from tidemill.destinations import registry
from tidemill.notify.spec import KINDS as CHANNELS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Of what there are several kinds.
_KINDS = {
    "destinations": (registry.everything, documents.destination),
    "channels": (lambda: CHANNELS, documents.channel),
}


def schema() -> dict[str, Any]:
    """The schema of a file."""
    of = {section: list(_documents(section)) for section in SECTIONS}
    every = [(document, "validation") for found in of.values() for _, document in found]
    names, made = models_json_schema(every, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    properties: dict[str, Any] = {"version": {"const": VERSION, "description": "Of what may be written."}}
    for section, found in of.items():
        refs = [names[document, "validation"] for _, document in found]
        properties[section] = {
            "description": f"Each {KINDS[section].title}, by its name.",
            "type": ["object", "null"],
            "propertyNames": {"pattern": NAME_RULE},
            "additionalProperties": refs[0] if len(refs) == 1 else {"anyOf": refs},
        }
        for kind, document in found:
            if kind is not None:
                key = names[document, "validation"]["$ref"].rpartition("/")[2]
                made["$defs"][key]["properties"]["kind"]["const"] = kind
    whole = {"$schema": _DRAFT, "title": "Configuration of Tidemill", "type": "object"}
    found_schema: dict[str, Any] = _tidied(
        {**whole, "properties": properties, "additionalProperties": False, "$defs": made["$defs"]}
    )
    return found_schema


def _documents(section: str) -> Iterator[tuple[str | None, type[Document]]]:
    if section not in _KINDS:
        yield None, KINDS[section].document({})
        return
    known, document = _KINDS[section]
    for kind in sorted(known()):
        yield kind, document(kind)


def _tidied(value: Any) -> Any:
    """Without titles that repeat names, and defaults that say that nothing is said."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _tidied(item) for key, item in value.items()}
    is_schema = "type" in found or "anyOf" in found or "$ref" in found
    if isinstance(found.get("title"), str) and is_schema and "$schema" not in found:
        found.pop("title")
    if "default" in found and found["default"] is None:
        found.pop("default")
    return found
