"""Mappings proposed by the names of columns."""

from __future__ import annotations

from typing import Any

from tidemill.destinations.port import Field, Kind
from tidemill.reverse_etl import mapping


def field(name: str, *names: str, proposed: Any = None, kind: Kind = Kind.STRING) -> Field:
    return Field(name=name, title=name, description=name, names=names, mapping=proposed, kind=kind)


def test_columns_of_the_same_name() -> None:
    fields = (field("email"), field("firstName"), field("phone"))
    assert mapping.suggest(fields, ["email", "first_name", "Country"]) == {
        "email": {"@path": "$.email"},
        "firstName": {"@path": "$.first_name"},
    }


def test_one_that_does_not_differ_goes_first() -> None:
    assert mapping.suggest([field("e_mail")], ["E_MAIL", "email", "e_mail"]) == {"e_mail": {"@path": "$.e_mail"}}
    assert mapping.suggest([field("e_mail")], ["email", "EMAIL"]) == {"e_mail": {"@path": "$.EMAIL"}}


def test_other_names_of_a_field() -> None:
    fields = (field("external_id", "user_id", "id"), field("email", "mail"))
    assert mapping.suggest(fields, ["id", "USERID", "Mail"]) == {
        "external_id": {"@path": "$.USERID"},
        "email": {"@path": "$.Mail"},
    }


def test_what_the_destination_proposes_if_the_row_has_it() -> None:
    fields = (
        field("kind", proposed="track"),
        field("time", proposed={"@path": "$.occurred_at"}),
        field("gone", proposed={"@path": "$.nowhere"}),
        field("key", proposed={"@path": "$.__segment_id"}),
        field("data", proposed={"@path": "$.properties"}, kind=Kind.OBJECT),
    )
    assert mapping.suggest(fields, ["occurred_at"]) == {
        "kind": "track",
        "time": {"@path": "$.occurred_at"},
        "key": {"@path": "$.__segment_id"},
        "data": {"@path": "$.properties"},
    }


def test_what_is_proposed_can_be_compiled_and_reads_these_columns() -> None:
    proposed = mapping.suggest((field("email"), field("properties")), ["Email", "properties"])
    made = mapping.compile(proposed)
    assert made.apply({"Email": "a@b.c", "properties": {"x": 1}}) == {"email": "a@b.c", "properties": {"x": 1}}
