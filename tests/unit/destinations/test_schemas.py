"""Forms and programs see of a destination what it takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from tests.contract.everything import APIS

from tidemill.destinations import described, registry, schemas

CASES = [(name, action.name) for name, found in registry.everything().items() for action in found.actions]


@pytest.mark.parametrize("name", list(registry.everything()))
def test_settings_are_a_schema_whose_secrets_are_only_written(name: str) -> None:
    found = schemas.described(registry.get(name))
    jsonschema.Draft202012Validator.check_schema(found["settings"])
    known = {one.name: one.secret for one in described.settings(registry.get(name))}
    properties: dict[str, Any] = found["settings"]["properties"]
    assert list(properties) == list(known), "in the order of a form"
    for setting, is_secret in known.items():
        assert ('"writeOnly": true' in json.dumps(properties[setting])) == is_secret, setting


def fields_of(name: str, action: str) -> dict[str, Any]:
    """What the API takes of a row."""
    kind = APIS[name]
    if name == "postgresql":  # which needs a server, though not for that
        return kind.fields(kind.__new__(kind), action, 1)
    api = kind()
    try:
        return api.fields(action, 1)
    finally:
        api.close()


@pytest.mark.parametrize(("name", "action"), CASES)
def test_what_an_api_takes_fits_the_schema_of_a_row(name: str, action: str) -> None:
    found = schemas.row(registry.get(name).action(action))
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.validate(fields_of(name, action), found)
    assert not found["required"] or not jsonschema.Draft202012Validator(found).is_valid({})
