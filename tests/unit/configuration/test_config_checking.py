"""What is wrong with a configuration by itself: all of it at once, with file, line and column, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.configuration import checking, reading
from tidemill.configuration.checking import Entries
from tidemill.configuration.origins import Shell
from tidemill.configuration.problems import Problems, in_fields
from tidemill.configuration.reading import Text
from tidemill.errors import ConfigError


def checked(*texts: str) -> Entries:
    """What files say that are right."""
    problems = Problems()
    trees = [reading.read(Text(f"{n}.yaml", text, Path()), problems) for n, text in enumerate(texts)]
    found = checking.entries([tree for tree in trees if tree is not None], problems, Shell())
    problems.settle()
    return found


def wrong(*texts: str) -> list[str]:
    """What is said of files that are not."""
    with pytest.raises(ConfigError) as caught:
        checked(*texts)
    return caught.value.message.splitlines()[1:]


def one(line: str) -> str:
    """What is said of an export with that line."""
    (found,) = wrong(f"exports:\n  daily:\n    connection: w\n    {line}\n")
    return found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tabel: x", "0.yaml:4:5: There is no 'tabel' here. Is table meant? Allowed: connection, model, table,"),
        ("mode: stram", "0.yaml:4:11: mode: it should be 'batch' or 'stream', and not 'stram'."),
        ("team_id: one", "0.yaml:4:14: team_id: it should be a valid integer"),
        ("team_id: -1", "0.yaml:4:14: team_id: it should be greater than or equal to 0, and not -1."),
        ("reject_share: many", "0.yaml:4:19: reject_share: 'many' is no share; write 1% or 0.01."),
        ("max_bytes_billed: 20 apples", "0.yaml:4:23: max_bytes_billed: '20 APPLES' is no number of bytes."),
        ("schedule: {interval: 7m}", "0.yaml:4:26: schedule.interval: '7m' divides no hour evenly."),
        ("schedule: {intervall: 1h}", "0.yaml:4:16: There is no 'intervall' here. Is interval meant?"),
        ("schedule: hourly", "0.yaml:4:15: schedule: it should be a valid dictionary"),
        ("cluster_by: event", "0.yaml:4:17: cluster_by: it should be a valid tuple"),
    ],
)
def test_a_field_that_is_wrong_is_told_with_its_place_and_what_is_allowed(line: str, said: str) -> None:
    assert one(line).lower().startswith(said.lower())


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    found = wrong(
        "exports:\n  daily: {tabel: x}\n  weekly: {connection: w, mode: 1}\ndestinations:\n  hook: {kind: webhok}\n"
        "things: {}\n"
    )
    assert [line.split(": ")[0] for line in found] == [
        "0.yaml:2:3",
        "0.yaml:2:11",
        "0.yaml:3:33",
        "0.yaml:5:16",
        "0.yaml:6:1",
    ]


def test_names_that_are_there_twice_are_told_also_in_two_files_and_in_another_case() -> None:
    (found,) = wrong("models: {a: {connection: w, table: d.t, key: [id]}}\n", "models:\n  A: {connection: w}\n")
    assert found == "1.yaml:2:3: A is written twice: also at 0.yaml:1:10."


@pytest.mark.parametrize("key", ["s3cret", "{env: X, value: s3cret}", "[s3cret]", "{file: s3cret}", "{s3cret: 1}"])
def test_a_secret_that_is_written_into_the_file_is_refused_and_not_repeated(key: str) -> None:
    found = wrong(f"connections:\n  w:\n    project: my-project\n    dataset: d\n    key: {key}\n")
    assert found[0].startswith("0.yaml:5:")
    if "s3cret:" not in key:
        assert "s3cret" not in "".join(found)


def test_a_variable_that_is_not_set_is_named() -> None:
    (found,) = wrong("connections:\n  w:\n    project: my-project\n    dataset: d\n    key: {env: NOT_THERE_AT_ALL}\n")
    assert found == "0.yaml:5:10: The variable NOT_THERE_AT_ALL is not set."


def test_what_is_left_out_is_left_out() -> None:
    entries = checked("version: 1\nexports:\n  daily: {connection: w, table: null}\nsyncs:\n")
    assert entries.of("exports")["daily"].given == {"connection": "w"}
    assert set(entries.named) == {"exports", "syncs"}


def test_a_source_is_written_with_its_connection() -> None:
    entries = checked("connections:\n  w: {project: my-project, dataset: d, adc: true, source: {access: limited}}\n")
    assert entries.of("sources")["w"].given == {"access": "limited"}
    assert entries.of("connections")["w"].given == {"project": "my-project", "dataset": "d", "adc": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "0.yaml:1:1: A configuration has sections: connections"),
        ("version: 2\n", "0.yaml:1:10: There is no version 2: this one is 1."),
        ("exports: [a]\n", "0.yaml:1:10: exports has names"),
        ("exports: {a: b}\n", "0.yaml:1:14: Below a is written what it is"),
        ("exports:\n  a/b: {connection: w}\n", "0.yaml:2:3: 'a/b' is no name"),
        ("channels: {ops: {}}\n", "0.yaml:1:12: kind is missing. One of: email, slack, webhook."),
    ],
)
def test_what_is_no_section_and_no_thing_is_told(text: str, said: str) -> None:
    assert wrong(text)[0].startswith(said)


def test_texts_about_options_name_the_fields_of_a_file() -> None:
    assert in_fields("Say of which: --team 1, or --verify-daily all.") == "Say of which: team_id 1, or verify_days all."
