"""What is told of a check."""

from __future__ import annotations

import json

from tidemill.dbt.changes import Change, Weight
from tidemill.dbt.reports import Report

GONE = Change(
    "column_removed",
    Weight.BREAKING,
    "model.shop.people",
    "people has no column plan any more.",
    "Keep the column.",
    "plan",
    "models/marts/people.sql",
    ("crm", "mail"),
)
WIDER = Change("column_widened", Weight.NOTICE, "model.shop.people", "people has BIGNUMERIC.", path="models/people.sql")
ADDED = Change(
    "column_added", Weight.HARMLESS, "model.shop.people", "people has a column city.", path="models/people.sql"
)
REPORT = Report("shop", (GONE, WIDER, ADDED), 4, 7)


def test_it_says_in_one_sentence_whether_it_passes() -> None:
    assert REPORT.verdict == "1 change would break 2 syncs (4 models of shop in use by 7 syncs)."
    assert Report("shop", (WIDER, ADDED), 1, 1).verdict == "Nothing breaks: 1 model of shop in use by 1 sync."


def test_programs_read_json() -> None:
    found = json.loads(REPORT.as_json())
    assert (found["passes"], found["project"]) == (False, "shop")
    assert found["changes"][0]["code"] == "column_removed"
    assert found["changes"][0]["weight"] == "breaking"
    assert found["changes"][0]["syncs"] == ["crm", "mail"]
    assert json.loads(Report("shop", (), 0, 0).as_json())["passes"] is True


def test_github_shows_what_matters_beside_the_file() -> None:
    lines = REPORT.as_github("analytics/").splitlines()
    assert lines[0] == (
        "::error file=analytics/models/marts/people.sql,title=column_removed%3A crm%2C mail"
        "::people has no column plan any more. Keep the column."
    )
    assert lines[1].startswith("::warning file=analytics/models/people.sql")
    assert len(lines) == 3
    assert lines[2] == REPORT.verdict


def test_a_message_is_one_command_of_github_whatever_is_in_it() -> None:
    evil = Change("x", Weight.BREAKING, "m", "one\n::set-output name=x::100%", path="models/a,b:c.sql")
    (command, _) = Report("shop", (evil,), 1, 1).as_github().split("\n")
    assert command == "::error file=models/a%2Cb%3Ac.sql,title=x%3A ::one%0A::set-output name=x::100%25"


def test_markdown_has_a_table_for_each_weight_and_hides_what_is_harmless() -> None:
    text = REPORT.as_markdown()
    assert text.startswith("### ❌ Tidemill: 1 change would break 2 syncs")
    assert "| ❌ | people has no column plan any more. | Keep the column. | crm, mail |" in text
    assert "<details><summary>Harmless (1)</summary>" in text
    assert Report("shop", (), 1, 1).as_markdown().startswith("### ✅")


def test_names_are_no_markup() -> None:
    evil = Change("x", Weight.BREAKING, "m", "a | b\n<img src=x> @everyone `c`")
    text = Report("shop", (evil,), 1, 1).as_markdown()
    assert r"| ❌ | a \| b \<img src=x\> \@everyone \`c\` |  |  |" in text


def test_a_comment_is_not_longer_than_github_takes() -> None:
    many = tuple(Change("x", Weight.BREAKING, "m", f"{number} {'x' * 500}") for number in range(1_000))
    assert len(Report("shop", many, 1, 1).as_markdown()) < 65_536
