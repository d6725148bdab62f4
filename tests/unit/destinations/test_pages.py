"""The documents' pages of destinations are those that their definitions make."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidemill.cli.main import app
from tidemill.destinations import described, pages, registry

ROOT = Path(__file__).parents[3]


def test_each_destination_has_its_page_as_it_is_now() -> None:
    made = pages.everything()
    found = {path.relative_to(ROOT): path.read_text() for path in (ROOT / pages.FOLDER).glob("*.md")}
    assert found == made, "write them anew: python -m tidemill.destinations.pages"


def test_pages_are_written_and_those_of_destinations_that_are_gone_are_taken_away(tmp_path: Path) -> None:
    old = tmp_path / pages.FOLDER / "gone.md"
    old.parent.mkdir(parents=True)
    old.write_text("# Gone\n")
    written = pages.write(tmp_path)
    assert sorted((tmp_path / pages.FOLDER).glob("*.md")) == sorted(written)
    assert (tmp_path / pages.FOLDER / "slack.md").read_text() == pages.page(registry.get("slack"))


@pytest.mark.parametrize("name", registry.everything())
def test_a_page_has_all_that_can_be_set_and_mapped(name: str) -> None:
    destination, text = registry.get(name), pages.page(registry.get(name))
    for setting in destination.settings.model_fields:
        assert f"| `{setting}` |" in text
    for action in destination.actions:
        assert f": `{action.name}`" in text
        for mode in action.modes:
            assert mode.value in text
        for field in action.fields:
            assert f"| `{field.name}` |" in text
    assert described.pace(destination) in text


@pytest.mark.parametrize("name", registry.everything())
def test_the_command_line_tells_of_settings_modes_limits_and_pace(name: str) -> None:
    destination, said = registry.get(name), CliRunner().invoke(app, ["destination", "show-kind", name])
    assert said.exit_code == 0, said.output
    for one in described.settings(destination):
        assert one.name in said.output
    assert described.pace(destination) in said.output
    assert f"docs/reference/destinations/{name}.md" in said.output
    for action in destination.actions:
        assert described.modes(action) in said.output
        assert described.limits(action.limits) in said.output


def test_a_text_between_colons_is_shown_as_it_is() -> None:
    assert "as :ocean:, where" in CliRunner().invoke(app, ["destination", "show-kind", "slack"]).output


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("slack", "at most one request a second, one batch at once"),
        ("google_sheets", "at most 84 requests a minute, one batch at once"),
        ("hubspot", "at most 100 requests in 10 seconds (setting calls_per_ten_seconds)"),
        ("salesforce", "at most 50,000 requests in 24 hours (setting calls_per_day)"),
        ("posthog", "as many requests as come"),
    ],
)
def test_a_pace_is_said_in_words(name: str, told: str) -> None:
    assert described.pace(registry.get(name)) == told


def test_what_a_secret_is_and_what_it_is_by_default_is_said() -> None:
    found = {one.name: one for one in described.settings(registry.get("mixpanel"))}
    assert (found["token"].secret, found["token"].left_out) == (True, "required")
    assert (found["region"].kind, found["region"].left_out) == ("one of us, eu, in", "us")
    assert (found["service_secret"].kind, found["service_secret"].left_out) == ("secret", "")
