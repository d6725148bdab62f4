"""A whole configuration, planned, applied and written, on the embedded BigQuery."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.configurations import applied, changes, exported, planned, problems, said, tried
from tests.installation import Installation, copy_home
from tests.integration.configuration.conftest import Configured
from tests.syncs import Crm, quiet

from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.configuration.service import Configuration
from tidemill.errors import ConflictError


def test_an_empty_installation_becomes_what_a_file_says_and_says_so_itself(
    configured: Configured, made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crm: Crm
) -> None:
    app, text = configured.app, configured.text
    made = applied(app, text)
    assert len(made.done) == len(planned(app, "version: 1\n").world.all("exports")) + 14
    again = planned(app, text)
    assert changes(again) == {}
    assert said(again) == []
    assert applied(app, text, prune=True).done == ()
    # It does what it says.
    assert app.reverse_etl.syncs.run("crm", quiet(), by="tester").written == 20
    assert app.imports.run("members", quiet(), by="tester").written == 20
    assert len(crm.people) == 20
    # What it says of itself makes another one the same.
    mine = exported(app)
    renamed = {
        "CONNECTION_WAREHOUSE_KEY": "WAREHOUSE_KEY",
        "DESTINATION_HOOK_URL": "HOOK_URL",
        "DESTINATION_HOOK_KEY": "HOOK_KEY",
        "CHANNEL_OPS_URL": "OPS_URL",
        "CHANNEL_OPS_KEY": "OPS_KEY",
    }
    for name, known in renamed.items():
        monkeypatch.setenv(name, os.environ[known])
        assert f"#   {name}\n" in mine
        assert os.environ[known] not in mine
    assert said(planned(app, mine, prune=True)) == []
    copy_home(made_home, tmp_path / "other")
    other = Installation(tmp_path / "other", configured.installation.local, configured.installation.dataset, {})
    with other.app(outbound_allow="127.0.0.1") as empty:
        applied(empty, mine.replace("_state", "_state_of_another"))
        assert exported(empty).replace("_state_of_another", "_state") == mine


def test_what_changes_is_planned_field_by_field_and_done(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    edits = {
        "exclude_events: [debug]": "include_events: [a, b]",
        "max_bytes_billed: 20GB\n    reject_share: 5%": "reject_share: 2%",
        "interval: day, offset: 3h": "interval: hour",
        "verify_days: 7": "verify_days: all",
        "buffer_seconds: 2.5": "buffer_bytes: 2MB",
        "mode: mirror\n    delete_brake: 50%": "mode: upsert\n    deviation: 50%",
        "WHERE plan <> 'free'": "WHERE plan = 'pro'",
        "calls_per_second: 20": "method: PUT",
        "causes: [failed, paused], exports: [daily]": "syncs: [crm]",
        "refresh: 1h": "refresh: 2h",
        "description: All people.": "description: Everybody.",
        "event: Signed Up": "event: Joined",
        "once: true": "once: false\n    most_rejects: 7",
    }
    changed = text
    for before, after in edits.items():
        assert before in changed, before
        changed = changed.replace(before, after)
    found = planned(app, changed)
    shown = changes(found)
    assert {step.act for step in found.steps} == {"change"}
    assert shown["max_bytes_billed"] == ("20GB", None)
    assert shown["exclude_events"] == (["debug"], [])
    assert shown["schedule.offset"] == ("3h", "0s")
    assert shown["verify_days"] == (7, "all")
    assert (shown["deviation"], shown["refresh"]) == ((None, "50%"), ("1h", "2h"))
    assert shown["exports"] == (["daily"], [])
    applied(app, changed, test=False)
    assert said(planned(app, changed, prune=True)) == []
    applied(app, text, test=False)
    assert said(planned(app, text, prune=True)) == []


def test_a_secret_is_a_change_when_it_is_another_one_and_is_never_shown(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    another = json.dumps(configured.installation.local.key("tidemill-other"))
    monkeypatch.setenv("WAREHOUSE_KEY", another)
    monkeypatch.setenv("OPS_KEY", "whsec_" + "B" * 32)
    found = planned(app, text)
    assert said(found) == ["change connection warehouse", "change channel ops"]
    assert changes(found) == {"key": ("(secret)", "(another secret)")}
    assert "BBBB" not in json.dumps(found.described(), default=str)
    assert "PRIVATE" not in json.dumps(found.described(), default=str)
    applied(app, text, test=False)
    assert said(planned(app, text)) == []
    assert app.connections.get("warehouse").account == json.loads(another)["client_email"]
    without = text.replace(", key: {env: HOOK_KEY}", "")
    assert changes(planned(app, without)) == {"key": ("(secret)", None)}
    applied(app, without, test=False)
    assert said(planned(app, without)) == []


def test_what_a_file_does_not_have_stays_unless_it_is_pruned(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    less = text[: text.index("  counts:")] + text[text.index("syncs:") : text.index("  draft:")]
    found = planned(app, less)
    assert (said(found), found.others) == ([], 4)
    pruned = planned(app, less, prune=True)
    assert said(pruned) == ["delete import draft", "delete export counts"]
    applied(app, less, prune=True)
    assert len(app.notify.find()) == 2  # of a section that the file does not have nothing is deleted
    bases = ("connections", "dbt_projects", "models", "destinations", "exports")
    nothing = "".join(f"{section}:\n" for section in bases)
    (one, *_) = problems(app, nothing, prune=True)
    assert "cannot be deleted" in one
    empty = f"{nothing}syncs:\nimports:\nchannels:\n"
    assert [step.section for step in planned(app, empty, prune=True).steps][::-1][:3] == [
        "connections",
        "sources",
        "dbt_projects",
    ]
    applied(app, empty, prune=True)
    assert planned(app, "version: 1\n").others == 0


def test_it_stops_at_the_first_failure_and_goes_on_from_there(
    configured: Configured, local_bigquery: LocalBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, text = configured.app, configured.text
    table = f"table: {configured.installation.dataset}.people\n    key: [id]\n    description"
    broken = text.replace(table, "table: no.one\n    key: [id]\n    description")
    assert broken != text
    found = tried(app, broken)
    assert found.failed is not None
    assert found.failed.title == "source model people"
    assert [step.title for step in found.done][:3] == ["connection warehouse", "source warehouse", "dbt project shop"]
    assert "sync crm" in [step.title for step in found.left]
    assert app.exports.defined() == []
    applied(app, text)
    assert said(planned(app, text)) == []
    # A connection is tested before it is saved.
    monkeypatch.setenv("WAREHOUSE_KEY", json.dumps(local_bigquery.key("nobody", allow=[])))
    refused = tried(app, text)
    assert refused.error is not None
    assert (refused.error.code, refused.error.exit_code, refused.done) == ("test_failed", 3, ())


def test_what_somebody_else_changes_meanwhile_is_noticed(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    edited = text.replace("exclude_events: [debug]", "exclude_events: [trace]").replace("refresh: 1h", "refresh: 2h")
    shown = planned(app, edited)
    app.exports.edit("daily", {"include_events": ("x",)})
    configuration = Configuration(app)
    with pytest.raises(ConflictError, match="export daily") as caught:
        configuration.assert_same(shown, planned(app, edited))
    assert caught.value.code == "plan_outdated"
    found = configuration.apply(shown, by="tester", test=False)
    assert [step.title for step in found.done] == ["dbt project shop"]
    assert found.error is not None
    assert found.error.code == "plan_outdated"


def test_what_is_edited_while_it_is_applied_is_not_overwritten(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    edited = text.replace("exclude_events: [debug]", "exclude_events: [trace]").replace("refresh: 1h", "refresh: 2h")
    shown = planned(app, edited)
    configuration, looking = Configuration(app), app.exports.defined

    def defined() -> Any:
        found = looking()  # at the last moment: it was looked at, and is not changed yet
        app.exports.edit("daily", {"include_events": ("x",)})
        return found

    monkeypatch.setattr(app.exports, "defined", defined)
    found = configuration.apply(shown, by="tester", test=False)
    assert [step.title for step in found.done] == ["dbt project shop"]
    assert found.error is not None
    assert found.error.code == "plan_outdated"
    (export,) = [one for one in looking() if one.name == "daily"]
    assert list(export.spec.include_events or ()) == ["x"]


def test_a_mapping_changes_when_it_is_said_what_becomes_of_delivered_rows(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text)
    app.reverse_etl.syncs.run("crm", quiet(), by="tester")
    edited = text.replace('      email: {"@path": $.email}\n', '      mail: {"@path": $.email}\n')
    found = planned(app, edited)
    assert found.resets == ("crm",)
    assert set(changes(found)) == {"mapping.email", "mapping.mail"}
    with pytest.raises(Exception, match="delivered already"):
        tried(app, edited)
    applied(app, edited, reset="resend")
    assert said(planned(app, edited)) == []
    assert app.reverse_etl.syncs.run("crm", quiet(), by="tester").written == 20


def test_what_cannot_be_is_told_before_anything_is_done(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text, test=False)
    edits = {
        "table: events\n": "table: elsewhere\n",
        "model: people\n    dest": "model: nobody\n    dest",
        "  live: {connection: warehouse": "  live: {connection: warehose",
        "exports: [daily]": "exports: [weekly]",
        "  counts:": "  Counts:",
        "  signups:": "  paying:",
    }
    wrong = text
    for before, after in edits.items():
        assert before in wrong, before
        wrong = wrong.replace(before, after)
    found = problems(app, wrong)
    text_of = "\n".join(found)
    assert "It goes into" in text_of
    assert "There is no source model 'nobody'." in text_of
    assert "There is no connection 'warehose'. Connections: warehouse." in text_of
    assert "There is no export 'weekly'." in text_of
    assert "There is counts already, which differs by its case alone." in text_of
    assert "There is a source model paying already" in text_of
    assert all(line.split(":")[0].isdecimal() for line in found)


def test_what_is_fixed_by_what_was_delivered_is_told_before(configured: Configured) -> None:
    app, text = configured.app, configured.text
    applied(app, text)
    app.imports.run("members", quiet(), by="tester")
    dataset = configured.installation.dataset
    edits = {
        f"state_dataset: {dataset}_state": f"state_dataset: {dataset}_other",
        "key: [id]\n    description": "key: [email]\n    description",
        "kind: people\n    identity": "kind: people\n    mode: insert\n    identity",
        "mode: mirror": "mode: upsert\n    extraction: full",
    }
    wrong = text
    for before, after in edits.items():
        assert before in wrong, before
        wrong = wrong.replace(before, after)
    found = "\n".join(problems(app, wrong))
    assert f"What was delivered is kept in {dataset}_state, for crm, crm dbt, draft, members, signups." in found
    assert "crm, members know its rows by id. Make another model with another key." in found
    assert "mode cannot be changed: runs of it have begun." in found
    assert "extraction of crm cannot be changed: it is diff, and not full." in found
    assert app.reverse_etl.syncs.get("crm").spec.mode == "mirror"
