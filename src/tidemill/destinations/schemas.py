"""What a destination takes, as JSON Schema (2020-12): forms and programs are made of it.

A schema says of each setting and field its title, type, limits, and whether it must be there, in the order in which a
form has them; secrets are `writeOnly`.
"""

from __future__ import annotations

from typing import Any

from tidemill.destinations.port import Action, Destination, Field, Kind

_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.STRING: {"type": "string"},
    Kind.NUMBER: {"type": "number"},
    Kind.INTEGER: {"type": "integer"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATETIME: {"type": ["string", "number"], "format": "date-time"},
    Kind.OBJECT: {"type": "object"},
    Kind.ANY: {},
}


def settings(destination: Destination) -> dict[str, Any]:
    """Of an account."""
    found = destination.settings.model_json_schema()
    return {**found, "title": destination.title, "description": destination.description}


def row(action: Action) -> dict[str, Any]:
    """Of what a mapping makes of a row that is added or updated."""
    made: dict[str, Any] = {
        "type": "object",
        "title": action.title,
        "description": action.description,
        "properties": {field.name: _field(field) for field in action.fields},
        "required": [field.name for field in action.fields if field.required],
        "additionalProperties": action.more,
    }
    return made


def _field(field: Field) -> dict[str, Any]:
    one: dict[str, Any] = dict(_TYPES[field.kind])
    if field.choices:
        one["enum"] = list(field.choices)
    if field.longest is not None and field.kind is Kind.STRING:
        one["maxLength"] = field.longest
    said = {"title": field.title, "description": field.description}
    if field.mapping is not None:
        said["x-mapping"] = field.mapping
    return {"type": "array", "items": one, **said} if field.multiple else {**one, **said}


def described(destination: Destination) -> dict[str, Any]:
    """All of it: `settings`, and of each action `modes`, the first of which is proposed, and the schema of a `row`."""
    actions = [
        {
            "name": action.name,
            "title": action.title,
            "description": action.description,
            "modes": [mode.value for mode in action.modes],
            "row": row(action),
        }
        for action in destination.actions
    ]
    return {
        "name": destination.name,
        "title": destination.title,
        "description": destination.description,
        "page": destination.page,
        "settings": settings(destination),
        "actions": actions,
    }
