"""Forms: fields of a model, what is taken of what was typed, and errors beside the field."""

from __future__ import annotations

import enum

import pydantic
import pytest
from pydantic import Field, SecretStr

from tidemill.web import form


class Kind(enum.StrEnum):
    ONE = "one"
    TWO = "two"


class Model(pydantic.BaseModel):
    name: str = Field(min_length=2, description="What it is called.")
    kind: Kind = Kind.ONE
    count: int | None = Field(default=None, ge=1, le=9)
    key: SecretStr
    on: bool = False
    several: list[Kind] = []


FIELDS = form.fields_of(Model, key={"value": "a secret of before"})


def test_fields_are_those_of_the_model() -> None:
    found = {field.name: field for field in FIELDS}
    assert {name: field.kind for name, field in found.items()} == {
        "name": "line", "kind": "select", "count": "number", "key": "secret", "on": "switch", "several": "choices",
    }  # fmt: skip
    assert found["name"].required
    assert not found["count"].required
    assert (found["count"].least, found["count"].greatest) == (1, 9)
    assert found["name"].help == "What it is called."
    assert [option.value for option in found["kind"].options] == ["one", "two"]


def test_a_secret_is_never_sent_back() -> None:
    described = [form._described(field, set_value=False) for field in FIELDS]
    assert "a secret of before" not in str(described)
    assert "Leave it empty to keep it" in str(described)


def test_of_what_was_typed_only_what_can_be_chosen_is_taken() -> None:
    typed = {
        "name": " x ", "kind": "three", "count": "7", "key": " with blanks ", "on": 1, "several": ["two", "four"],
        "more": "not a field",
    }  # fmt: skip
    assert form._taken(FIELDS, typed) == {
        "name": "x", "kind": None, "count": 7, "key": " with blanks ", "on": True, "several": ["two"],
    }  # fmt: skip


def test_errors_name_the_field_and_repeat_no_value() -> None:
    with pytest.raises(pydantic.ValidationError) as found:
        Model.model_validate({"name": "x", "key": 12345})
    errors = form.errors_of(found.value)
    assert set(errors) == {"name", "key"}
    assert "12345" not in str(errors)
