"""A new export in the web app, as far as it was said: what its URL has, and what the service gets."""

from __future__ import annotations

import urllib.parse

import pytest

from tidemill.errors import ConfigError
from tidemill.web.pages.export_draft import Draft


def test_what_is_said_comes_back_from_the_url() -> None:
    draft = Draft({})
    draft.say({"model": "events", "include_events": "sign up\nsign in", "json_type": True, "team_id": 7, "table": None})
    query = urllib.parse.urlparse(draft.url("schema")).query
    again = Draft(dict(urllib.parse.parse_qsl(query)))
    assert again.said == draft.said
    fields = again.fields()
    assert fields["include_events"] == ("sign up", "sign in")
    assert fields["json_type"] is True
    assert fields["team_id"] == 7
    assert "table" not in fields


def test_another_model_has_another_table_but_keeps_the_one_that_was_chosen() -> None:
    draft = Draft({"model": "events", "table": "events"})
    draft.say({"model": "persons"})
    assert draft["table"] == ""
    assert draft.table == "persons"
    chosen = Draft({"model": "events", "table": "mine", "json_type": "1"})
    chosen.say({"model": "persons"})
    assert chosen["table"] == "mine"
    assert chosen["json_type"] == ""


def test_what_is_folded_away_or_of_another_way_is_not_sent() -> None:
    said = {"mode": "stream", "interval": "day", "jitter": "2m", "partition_by": "none", "buffer_seconds": "2.5"}
    assert set(Draft(said).fields()) == {"name", "mode", "json_type"}
    chosen = Draft({**said, "more": "choose", "layout": "choose"}).fields()
    assert chosen["buffer_seconds"] == 2.5
    assert chosen["partition_by"] == "none"
    assert not {"interval", "jitter"} & set(chosen)


def test_a_dataset_is_put_before_the_table() -> None:
    assert Draft({"dataset": "other"}).fields()["table"] == "other.events"
    assert Draft({"dataset": "other", "table": "third.events"}).fields()["table"] == "third.events"


def test_a_cron_expression_is_the_interval() -> None:
    assert Draft({"interval": "cron", "cron": "0 6 * * 1-5"}).fields()["interval"] == "0 6 * * 1-5"


def test_a_query_brings_its_own_model_and_what_is_too_long_is_refused() -> None:
    draft = Draft({"model": "custom", "sql": "SELECT 1 AS one", "key": "one, two", "include_events": "a"})
    fields = draft.fields(upto="data")
    assert fields["sql"] == "SELECT 1 AS one"
    assert fields["key"] == ("one", "two")
    assert not {"model", "include_events"} & set(fields)
    with pytest.raises(ConfigError, match="8,000 letters"):
        draft.say({"sql": "x" * 8_001})


def test_what_a_url_says_that_nobody_asked_counts_for_nothing() -> None:
    assert Draft({"password": "x", "by": "root", "name": "n" * 500}).said == {"name": "n" * 100}
