"""What is proposed for a model, by its columns."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.bigquery.tables import Field
from tidemill.imports import suggestions
from tidemill.imports.spec import ImportSpec, Kind, Property, TimeFormat, Type

VALUE = tuple(
    Field(name, kind)
    for name, kind in {"string_value": "STRING", "int_value": "INT64", "double_value": "FLOAT64"}.items()
)
KEY_VALUES = (Field("key", "STRING"), Field("value", "RECORD", fields=VALUE))
GA4 = [
    Field("event_date", "STRING"),
    Field("event_timestamp", "INT64"),
    Field("event_name", "STRING"),
    Field("event_params", "RECORD", "REPEATED", fields=KEY_VALUES),
    Field("user_id", "STRING"),
    Field("user_pseudo_id", "STRING"),
    Field("user_properties", "RECORD", "REPEATED", fields=KEY_VALUES),
    Field("device", "RECORD", fields=(Field("category", "STRING"),)),
    Field("items", "RECORD", "REPEATED", fields=(Field("item_id", "STRING"),)),
]


def columns(**types: str) -> list[Field]:
    return [Field(name, kind) for name, kind in types.items()]


def test_ga4s_events_need_no_word() -> None:
    spec = ImportSpec(**suggestions.suggest(GA4, Kind.EVENTS))
    assert (spec.identity, spec.event_column, spec.time) == ("user_pseudo_id", "event_name", "event_timestamp")
    assert spec.time_format is TimeFormat.MICROSECONDS
    assert spec.insert_id is None
    kept = {one.column: (one.name, one.type) for one in spec.properties}
    assert kept == {
        "event_date": ("event_date", Type.AUTO),
        "event_params": ("*", Type.KEY_VALUES),
        "user_id": ("user_id", Type.AUTO),
        "user_properties": ("user_properties.*", Type.KEY_VALUES),
        "device": ("device", Type.AUTO),
        "items": ("items", Type.AUTO),
    }


def test_columns_are_known_by_their_usual_names() -> None:
    fields = columns(
        eventType="STRING", User_ID="INT64", time="INT64", insert_id="STRING", event_properties="STRING", n="INT64"
    )
    assert suggestions.suggest(fields, Kind.EVENTS) == {
        "kind": Kind.EVENTS,
        "identity": "User_ID",
        "event_column": "eventType",
        "time": "time",
        "time_format": TimeFormat.MILLISECONDS,
        "insert_id": "insert_id",
        "properties": (
            Property(column="event_properties", name="*", type=Type.JSON),
            Property(column="n", name="n"),
        ),
    }


@pytest.mark.parametrize(
    ("field", "form"),
    [
        (Field("created_at", "TIMESTAMP"), TimeFormat.AUTO),
        (Field("created_at", "STRING"), TimeFormat.AUTO),
        (Field("created_at", "INT64"), TimeFormat.SECONDS),
        (Field("time", "INT64"), TimeFormat.MILLISECONDS),
    ],
)
def test_how_a_time_is_written_is_told_by_its_type(field: Field, form: TimeFormat) -> None:
    found = suggestions.suggest([field], Kind.EVENTS)
    assert (found["time"], found["time_format"]) == (field.name, form)


def test_people_are_known_by_the_models_key_if_no_column_has_a_name_for_it() -> None:
    fields = columns(id="INT64", plan="STRING", traits="JSON", extra_json="STRING", created_at="TIMESTAMP")
    found = suggestions.suggest(fields, Kind.PEOPLE, ["id"])
    assert found["identity"] == "id"
    assert [(one.name, one.type) for one in found["properties"]] == [
        ("plan", Type.AUTO),
        ("*", Type.AUTO),
        ("extra.*", Type.JSON),
        ("created_at", Type.AUTO),
    ]
    assert "time" not in found
    assert "identity" not in suggestions.suggest(fields, Kind.EVENTS, ["id"])
    assert suggestions.suggest(fields, Kind.DELETIONS, ["id"]) == {"kind": Kind.DELETIONS, "identity": "id"}


def test_no_two_columns_are_proposed_for_one_property() -> None:
    fields = [Field(name, kind) for name, kind in {"a": "JSON", "a_json": "STRING", "a.*": "STRING"}.items()]
    fields += columns(properties="JSON", event_params="STRING")
    found = suggestions.suggest([Field("user_id", "STRING"), *fields], Kind.EVENTS)
    ImportSpec(**found, event="x")
    assert len({one.name for one in found["properties"]}) == 5


def test_a_number_is_the_id_of_an_event_only_if_it_is_the_models_key() -> None:
    fields = columns(user_id="STRING", event_id="INT64")
    assert "insert_id" not in suggestions.suggest(fields, Kind.EVENTS)
    assert suggestions.suggest(fields, Kind.EVENTS, ["event_id"])["insert_id"] == "event_id"
    assert suggestions.suggest(columns(event_id="STRING"), Kind.EVENTS)["insert_id"] == "event_id"


def test_a_column_that_holds_several_values_is_no_id_and_no_time() -> None:
    fields: list[Any] = [Field("user_id", "STRING", "REPEATED"), Field("time", "TIMESTAMP", "REPEATED")]
    assert suggestions.suggest(fields, Kind.EVENTS).keys() == {"kind", "properties"}


def test_newer_rows_are_told_by_a_time_or_a_number() -> None:
    assert suggestions.cursor(columns(inserted_at="TIMESTAMP", _updated_at="INT64")) == "_updated_at"
    assert suggestions.cursor(columns(updated_on="TIMESTAMP")) == "updated_on"
    assert suggestions.cursor(columns(updated_at="STRING", x="TIMESTAMP")) is None
