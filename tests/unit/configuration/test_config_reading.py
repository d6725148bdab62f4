"""A configuration as it is read: values, where they stand, and what is no configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.configuration import reading, writing
from tidemill.configuration.problems import Problems
from tidemill.configuration.reading import Text, Tree
from tidemill.errors import ConfigError

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | _NUMBERS
    | _TEXTS
    | st.sampled_from(["no", "~", "1e3", "0x1F", "2026-01-01", "*", "a: b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


def tree(text: str) -> Tree:
    """The tree of a text that is right."""
    problems = Problems()
    found = reading.read(Text("f.yaml", text, Path()), problems)
    problems.settle()
    assert found is not None
    return found


def wrong(text: str) -> str:
    """What is said of a text that is not."""
    problems = Problems()
    reading.read(Text("f.yaml", text, Path()), problems)
    with pytest.raises(ConfigError) as caught:
        problems.settle()
    return caught.value.message


@given(st.dictionaries(st.text("abc", min_size=1), _VALUES, max_size=4))
def test_what_is_written_is_read_again(data: dict[str, Any]) -> None:
    assert json.dumps(tree(writing.dumped(data)).data) == json.dumps(data)


def test_values_know_where_they_stand() -> None:
    found = tree("exports:\n  daily:\n    table: events\n    cluster_by:\n      - a\n      - b\n")
    assert str(found.at(("exports", "daily", "table"))) == "f.yaml:3:12"
    assert str(found.at(("exports", "daily", "table"), key=True)) == "f.yaml:3:5"
    assert str(found.at(("exports", "daily", "cluster_by", 1))) == "f.yaml:6:9"
    assert str(found.at(("exports", "daily", "mode"))) == "f.yaml:2:3"


def test_dates_and_words_are_texts_and_statements_stay_as_they_are() -> None:
    found = tree("a: 2026-01-31\nb: no\nc: yes\nd: true\ne: null\nf: 12\ng: 1.5\nh: |\n  SELECT 1\n  FROM x\n").data
    expected = {"a": "2026-01-31", "b": "no", "c": "yes", "d": True, "e": None, "f": 12, "g": 1.5}
    assert found == {**expected, "h": "SELECT 1\nFROM x\n"}


def test_what_is_said_once_may_be_used_again() -> None:
    found = tree("a: &usual\n  interval: day\n  jitter: 2m\nb:\n  <<: *usual\n  jitter: 5m\nc: *usual\n").data
    assert found["b"] == {"interval": "day", "jitter": "5m"}
    assert found["c"] == {"interval": "day", "jitter": "2m"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", "f.yaml:2:2: This is no YAML"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a is written twice: also at line 1."),
        ("a: &x [*x]\n", "f.yaml:1:4: It is written within itself."),
        ("a: 1\n---\nb: 2\n", "This is no YAML"),
        ("a: !!python/object:os.system x\n", "is nothing that a configuration has."),
        ("? [a, b]\n: 1\n", "f.yaml:1:3: A key is a name."),
        ("a: *nobody\n", "f.yaml:1:4: This is no YAML"),
        ("a: \x00\n", "This is no YAML"),
    ],
)
def test_what_is_no_configuration_is_told_with_its_place(text: str, said: str) -> None:
    assert said in wrong(text)


def test_a_small_file_that_stands_for_a_huge_one_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "This is too much" in wrong("\n".join(lines))


def test_a_folder_has_its_files_by_name(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text("version: 1\n")
    assert [path.name for path in reading.folder_files(tmp_path)] == ["a.yml", "b.yaml"]
