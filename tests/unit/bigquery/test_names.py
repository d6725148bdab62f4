"""Names as people write them, and ids that BigQuery would refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.bigquery import names
from tidemill.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "project", "dataset"),
    [
        ("analytics", None, "analytics"),
        ("project-123:my-dataset", "project-123", "my-dataset"),
        ("project-123.analytics", "project-123", "analytics"),
        (" `project-123.analytics` ", "project-123", "analytics"),
        ("example.com:project-123:analytics", "example.com:project-123", "analytics"),
        ("example.com:project-123.analytics", "example.com:project-123", "analytics"),
    ],
)
def test_a_dataset_is_understood_in_each_form(text: str, project: str | None, dataset: str) -> None:
    found = names.parse_dataset(text)
    assert (found.project, found.dataset) == (project, dataset)
    assert bool(found.note) == (project is not None)
    if project:
        assert project in found.note
        assert dataset in found.note


@pytest.mark.parametrize(
    ("text", "project", "dataset", "table"),
    [
        ("events", None, None, "events"),
        ("analytics.events", None, "analytics", "events"),
        ("project-123:dataset:MyExportTable", "project-123", "dataset", "MyExportTable"),
        ("project-123:dataset.events", "project-123", "dataset", "events"),
        ("project-123.dataset.events", "project-123", "dataset", "events"),
        ("Ereignisse für März", None, None, "Ereignisse für März"),
    ],
)
def test_a_table_is_understood_in_each_form(text: str, project: str | None, dataset: str | None, table: str) -> None:
    found = names.parse_table(text)
    assert (found.project, found.dataset, found.table) == (project, dataset, table)
    assert bool(found.note) == (dataset is not None)


@pytest.mark.parametrize("text", ["", " ", "a.b.c.d", "project-123:", ":analytics", "my dataset", "ü", "d" * 1025])
def test_what_is_no_dataset_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names.parse_dataset(text)
    assert caught.value.code == "dataset_name"
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "a.b.c.d", "a..b", "ev`ents", "events$20240101", "it's", "a;b", "a\nb", "50%", "a/b"]
)
def test_what_is_no_table_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names.parse_table(text)
    assert caught.value.hint


def test_a_table_id_has_1024_bytes_at_most_not_characters() -> None:
    assert names.check_table("ü" * 512)
    with pytest.raises(ConfigError):
        names.check_table("ü" * 513)


@pytest.mark.parametrize("text", ["Project-123", "short", "1project", "project_1", "project-", "p" * 64])
def test_what_is_no_project_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no project id"):
        names.check_project(text)


@given(st.text(max_size=80))
def test_no_table_id_that_is_taken_can_leave_its_backticks(text: str) -> None:
    try:
        table = names.check_table(text)
    except ConfigError:
        return
    assert names.quoted("project-123", "d", table).count("`") == 2
    assert "\\" not in table


@given(st.text(max_size=200))
def test_a_label_is_always_one_that_google_takes(text: str) -> None:
    made = names.label(text)
    assert len(made) <= 63
    assert all(character in "abcdefghijklmnopqrstuvwxyz0123456789_-" for character in made)


@pytest.mark.parametrize("text", ["project-123:dataset:MyExportTable", "project-123:dataset.MyExportTable"])
def test_the_dataset_of_a_table_is_understood(text: str) -> None:
    found = names.parse_dataset(text)
    assert (found.project, found.dataset) == ("project-123", "dataset")
    assert found.note
