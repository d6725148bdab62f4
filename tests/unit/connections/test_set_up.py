"""What is to be set up on Google's side, said in three ways that grant the same."""

from __future__ import annotations

import re

import pytest

from tidemill.bigquery import grants
from tidemill.connections import set_up
from tidemill.connections.set_up import Purpose
from tidemill.errors import ConfigError

ACCOUNT = "mill@acme-product.iam.gserviceaccount.com"
CUSTOM = {
    Purpose.BATCH: "tidemillBatchExport",
    Purpose.STREAMING: "tidemillStreamingExport",
    Purpose.READ_ONLY: "tidemillReverseEtl",
    Purpose.LIMITED: "tidemillReverseEtl",
}


def made(purpose: Purpose, account: str | None = ACCOUNT) -> set_up.SetUp:
    return set_up.make("acme-product", "analytics", account, purpose, location="EU", state_dataset="state")


def granted(text: str) -> set[str]:
    """The roles that a text names, and permissions of one's own."""
    return set(re.findall(r"roles/bigquery\.\w+|bigquery\.\w+\.\w+|tidemill(?:Batch|Streaming|Reverse)\w+", text))


@pytest.mark.parametrize("purpose", Purpose)
def test_commands_console_and_terraform_grant_the_same(purpose: Purpose) -> None:
    found = made(purpose)
    needed = [part for part in found.commands if "not needed" not in part.title]
    commands = granted("\n".join(part.text for part in needed))
    assert commands
    assert granted("\n".join(found.console)) == commands
    assert granted(found.terraform) == commands
    assert (CUSTOM.get(purpose) in commands) == (purpose is not Purpose.FULL)


def test_the_commands_are_those_of_the_command_line() -> None:
    text = "\n".join(part.text for part in made(Purpose.BATCH).commands)
    for command in grants.least("acme-product", "analytics", ACCOUNT):
        assert command in text


def test_without_an_account_it_is_made_with_its_key() -> None:
    found = made(Purpose.STREAMING, None)
    assert "gcloud iam service-accounts create tidemill --project=acme-product" in found.commands[0].text
    assert "Create new key" in " ".join(found.console)
    assert 'resource "google_service_account" "tidemill"' in found.terraform
    assert "google_service_account.tidemill.member" in found.terraform
    assert "service-accounts create" not in "".join(part.text for part in made(Purpose.STREAMING).commands)


def test_a_streaming_export_gets_nothing_on_the_project() -> None:
    assert "google_project_iam_member" not in made(Purpose.STREAMING).terraform
    assert "IAM & Admin, IAM" not in " ".join(made(Purpose.STREAMING).console)


def test_what_was_delivered_is_kept_in_a_dataset_of_its_own_or_not_at_all() -> None:
    assert "`acme-product.state`" in "".join(part.text for part in made(Purpose.LIMITED).commands)
    assert 'dataset_id = "state"' in made(Purpose.LIMITED).terraform
    assert "state" not in made(Purpose.READ_ONLY).terraform


def test_terraform_is_written_as_its_formatter_would() -> None:
    assert made(Purpose.STREAMING).terraform.startswith(
        "# If it is there already: terraform import google_bigquery_dataset.tidemill acme-product/analytics\n"
        'resource "google_bigquery_dataset" "tidemill" {\n'
        '  project    = "acme-product"\n'
        '  dataset_id = "analytics"\n'
        '  location   = "EU"\n'
        "}\n"
    )
    for line in made(Purpose.BATCH).terraform.splitlines():
        assert line == line.rstrip()


@pytest.mark.parametrize(
    "changed",
    [
        {"account": "$(rm -rf ~)@x.iam.gserviceaccount.com"},
        {"account": 'a"@x.com'},
        {"dataset": "a`; DROP"},
        {"project": "p; rm"},
        {"location": "EU'); DROP"},
        {"state_dataset": "s`"},
        {"purpose": "everything"},
    ],
)
def test_nothing_that_could_do_harm_comes_into_commands(changed: dict[str, str]) -> None:
    names = {"project": "acme-product", "dataset": "analytics", "account": ACCOUNT, "purpose": "limited"}
    with pytest.raises(ConfigError):
        set_up.make(**{**names, **changed})
