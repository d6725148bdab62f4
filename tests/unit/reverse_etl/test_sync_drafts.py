"""What is wrong with a sync is told at once, and in the words in which it was given."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.destinations import registry
from tidemill.errors import ConfigError
from tidemill.reverse_etl import drafts
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.store.records_sync import Account

ACTION = registry.get("postgresql").actions[0]
COLUMNS = ("id", "email")


def made(**fields: Any) -> SyncSpec:
    given = {"name": "crm", "action": ACTION.name, "mode": ACTION.modes[0], "mapping": {"email": {"@path": "$.email"}}}
    found: SyncSpec = specs.make(SyncSpec, "sync", {**given, **fields})
    return found


def test_a_mapping_is_refused_with_all_that_is_wrong_with_it() -> None:
    mapping = {"email": {"@path": "$.emial"}, "a": {"@nothing": 1}, "b": {"@case": {"operator": "title"}}}
    with pytest.raises(ConfigError) as caught:
        drafts.check(made(mapping=mapping), ACTION, COLUMNS, ("id",))
    for told in ("emial", "@nothing", "@case.operator"):
        assert told in caught.value.message


def test_columns_and_fields_that_are_missing_are_told_together() -> None:
    needs = next(
        action
        for destination in registry.everything().values()
        for action in destination.actions
        if any(field.required for field in action.fields)
    )
    missing = next(field.name for field in needs.fields if field.required)
    spec = made(action=needs.name, mode=needs.modes[0], mapping={"other": {"@path": "$.emial"}})
    with pytest.raises(ConfigError) as caught:
        drafts.check(spec, needs, COLUMNS, ("id",))
    assert "emial" in caught.value.message
    assert missing in caught.value.message
    assert "Columns: id, email" in caught.value.hint


@pytest.mark.parametrize("text", ['{"a":' * 20_000 + "1" + "}" * 20_000, '{"a": NaN}', '{"a": -Infinity}', "[1]", "{"])
def test_a_text_that_is_no_json_object_is_no_mapping(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        drafts.mapping_of(text)
    assert caught.value.code == "mapping_json"


def test_a_number_that_json_does_not_have_is_in_no_mapping() -> None:
    with pytest.raises(ConfigError, match="nan, which JSON does not have"):
        drafts.check(made(mapping={"a": float("nan")}), ACTION, COLUMNS, ("id",))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"delete_brake": 2.0}, "--delete-brake is a share from 0% to 100%, and not 200%."),
        ({"reject_share": 1.5}, "--reject-share is a share from 0% to 100%, or none, and not 150%."),
        ({"deviation": -0.5}, "--deviation is a share of more than 0%, or none, and not -50%."),
    ],
)
def test_shares_are_told_per_cent_as_they_are_written(fields: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**fields)
    assert caught.value.message == told


def test_a_unit_and_an_overlap_are_those_of_a_cursor() -> None:
    for fields in ({"cursor_unit": "seconds"}, {"cursor_overlap": 3}):
        with pytest.raises(ConfigError, match="there is none"):
            made(**fields)
        made(extraction="cursor", cursor="id", mode="upsert", **fields)
    for wrong in ({"cursor_unit": "weeks"}, {"cursor_overlap": -1}):
        with pytest.raises(ConfigError, match="--cursor-"):
            made(extraction="cursor", cursor="id", mode="upsert", **wrong)


def test_a_unit_and_an_overlap_can_be_changed_and_a_cursor_cannot() -> None:
    now = dt.datetime.now(dt.UTC)
    account = Account(uuid.uuid4(), "mine", "postgresql", "", {}, None, now, "me", now)
    mapping = {"table": "people", "key": {"id": {"@path": "$.id"}}}
    before = made(extraction="cursor", cursor="id", mode="upsert", mapping=mapping)
    changes: dict[str, Any] = {"cursor_unit": "milliseconds", "cursor_overlap": 6}
    after = drafts.changed(before, account, COLUMNS, ("id",), changes)
    assert (after.cursor_unit, after.cursor_overlap) == ("milliseconds", 6)
    off = drafts.changed(after, account, COLUMNS, ("id",), {"cursor_unit": "none", "cursor_overlap": 0})
    assert off == before
    with pytest.raises(ConfigError, match="cannot be changed"):
        drafts.changed(before, account, COLUMNS, ("id",), {"cursor": "email"})


def test_while_a_mapping_is_written_each_field_tells_what_is_wrong_with_it() -> None:
    needed = next(field.name for field in ACTION.fields if field.required)
    mapping = {needed: {"@path": "$.emial"}, "nowhere": {"@path": "$.email"}}
    others = [field.name for field in ACTION.fields if field.required and field.name != needed]
    assert drafts.problems(ACTION, mapping, COLUMNS) == {
        needed: "The model has no column emial.",
        "nowhere": f"{ACTION.title} has no field nowhere.",
        **dict.fromkeys(others, f"{ACTION.title} needs it."),
    }


def test_where_any_field_will_do_a_mapping_of_none_is_still_said_to_be_empty() -> None:
    action = registry.get("webhook").actions[0]
    assert drafts.problems(action, {}, COLUMNS) == {"": "Nothing is mapped yet."}
    assert drafts.problems(action, {"anything": {"@path": "$.id"}}, COLUMNS) == {}
