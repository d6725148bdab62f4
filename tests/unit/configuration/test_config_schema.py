"""The JSON Schema of a configuration: it takes what is taken, and knows what all may be written."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tidemill.configuration.service import schema
from tidemill.destinations import registry
from tidemill.exports.spec import ExportSpec


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return found


GOOD: dict[str, Any] = {
    "version": 1,
    "connections": {"w": {"project": "p", "dataset": "d", "key": {"env": "K"}, "source": {"access": "limited"}}},
    "exports": {
        "e": {"connection": "w", "max_bytes_billed": "20GB", "schedule": {"interval": "hour", "pause_after": 3}}
    },
    "destinations": {"h": {"kind": "webhook", "url": {"file": "url"}, "calls_per_second": 3}},
    "syncs": None,
    "channels": {"c": {"kind": "slack", "url": {"env": "U"}, "causes": ["failed"]}},
}


def test_it_takes_what_is_taken(made: dict[str, Any]) -> None:
    jsonschema.validate(GOOD, made)


@pytest.mark.parametrize(
    ("section", "thing"),
    [
        ("exports", {"connection": "w", "tabel": "x"}),
        ("exports", {"table": "x"}),
        ("exports", {"connection": "w", "mode": "stram"}),
        ("destinations", {"kind": "webhook"}),
        ("destinations", {"kind": "nothing"}),
        ("destinations", {"kind": "webhook", "url": "https://example.com"}),
        ("channels", {"kind": "slack", "url": {"env": "U"}, "to": ["a@example.com"]}),
        ("imports", {"connection": "w", "kind": "persons"}),
    ],
)
def test_it_refuses_what_is_refused(made: dict[str, Any], section: str, thing: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({section: {"x": thing}}, made)


def test_every_option_of_an_export_and_every_tool_is_in_it(made: dict[str, Any]) -> None:
    fields = made["$defs"]["Export"]["properties"]
    assert set(ExportSpec.model_fields) - {"name", "query"} <= set(fields)
    assert all("description" in field for field in fields.values())
    kinds = {
        one["properties"]["kind"]["const"] for name, one in made["$defs"].items() if name.startswith("Destination_")
    }
    assert kinds == set(registry.everything())
