"""Syncs of models of dbt projects: a change that would break one pauses it, any other goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.api_client import Client
from tests.dbt_projects import Project
from tests.dbt_syncs import SHOP, Shop
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, run

from tidemill.access.permissions import Permission
from tidemill.app import App
from tidemill.dbt.changes import Weight
from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.imports.spec import Kind
from tidemill.paging import Wanted
from tidemill.store.tables_dbt import dbt_projects


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def test_a_model_of_a_project_has_its_key_and_its_table(app: App, shop: Shop) -> None:
    model = app.reverse_etl.models.get("people")
    assert (model.table, model.key, model.dbt) == (f"{shop.google}.{shop.dataset}.people", ("id",), "model.shop.people")
    assert model.description == "All people."
    view = app.dbt.get(SHOP)
    assert (view.project, view.models, view.used_by) == ("shop", 3, ("people",))


def test_a_column_that_is_gone_pauses_the_sync_with_the_reason(app: App, shop: Shop, crm: Crm) -> None:
    del shop.columns()["plan"]
    shop.save()
    found = app.dbt.refresh(SHOP)
    assert found.paused == (NAME,)
    sync = app.reverse_etl.syncs.get(NAME)
    assert sync.pause_reason is not None
    assert sync.pause_reason["code"] == "dbt_column_removed"
    assert "has no column plan any more" in sync.pause_reason["message"]
    assert len(crm.sent) == 20, "nothing was sent"
    assert app.dbt.refresh(SHOP).paused == (), "once"


def test_a_harmless_change_pauses_nothing(app: App, shop: Shop) -> None:
    shop.columns()["city"] = {"name": "city", "data_type": "STRING"}
    shop.project.of("people")["checksum"] = {"name": "sha256", "checksum": "other"}
    shop.project.remove("orders")
    shop.save()
    found = app.dbt.refresh(SHOP)
    assert {change.weight for change in found.changes} == {Weight.HARMLESS}
    assert found.paused == ()
    assert app.reverse_etl.syncs.get(NAME).pause_reason is None
    assert found.project.models == 2


@pytest.fixture
def imported(app: App, shop: Shop) -> str:
    """An import of the model `people`, which has no other sync. It leaves `plan` out."""
    assert shop.dataset
    app.reverse_etl.syncs.delete(NAME)
    app.imports.create("signups", model="people", by="me")
    properties = ({"column": "email", "name": "mail"},)
    app.imports.map("signups", Kind.PEOPLE, {"identity": "id", "properties": properties, "skipped": ("plan",)})
    return "signups"


def test_a_column_that_an_import_reads_is_missed_when_it_is_gone(app: App, shop: Shop, imported: str) -> None:
    changed = shop.project.copy()
    del changed.of("people")["columns"]["email"]
    (broken,) = app.dbt.check(SHOP, changed.text()).breaking
    assert (broken.code, broken.column, broken.syncs) == ("column_removed", "email", (imported,))
    del shop.columns()["email"]
    shop.save()
    assert app.dbt.refresh(SHOP).paused == (imported,)
    reason = app.imports.get(imported).pause_reason
    assert reason is not None
    assert "has no column email any more" in reason["message"]


def test_a_column_that_an_import_reads_keeps_its_type_or_it_is_paused(app: App, shop: Shop, imported: str) -> None:
    shop.columns()["email"]["data_type"] = "INT64"
    shop.save()
    found = app.dbt.refresh(SHOP)
    assert [change.code for change in found.changes] == ["column_retyped"]
    assert found.paused == (imported,)


def test_a_column_that_an_import_leaves_out_may_go(app: App, shop: Shop, imported: str) -> None:
    del shop.columns()["plan"]
    shop.save()
    found = app.dbt.refresh(SHOP)
    assert [change.weight for change in found.changes] == [Weight.HARMLESS]
    assert found.paused == ()
    assert app.imports.get(imported).pause_reason is None


def test_a_model_that_stands_elsewhere_is_read_there(app: App, shop: Shop, people: People, crm: Crm) -> None:
    people.ask(f"CREATE TABLE `{shop.dataset}.persons` AS SELECT id, 'new' AS email, plan FROM `{people.table}`")
    shop.stands("persons")
    shop.save()
    found = app.dbt.refresh(SHOP)
    assert [(change.code, change.weight) for change in found.changes] == [("relation_moved", Weight.NOTICE)]
    assert run(app).updated == 20
    assert {row["email"] for row in crm.people.values()} == {"new"}


def test_a_check_says_what_would_break_and_changes_nothing(app: App, shop: Shop) -> None:
    changed = shop.project.copy()
    changed.remove("people")
    report = app.dbt.check(SHOP, changed.text())
    assert [change.code for change in report.breaking] == ["model_removed"]
    assert report.breaking[0].syncs == (NAME,)
    assert (report.models, report.syncs) == (1, 1)
    assert app.reverse_etl.syncs.get(NAME).pause_reason is None
    assert app.dbt.check(SHOP, shop.project.text()).changes == ()


def test_a_project_that_cannot_be_read_keeps_what_was_known(app: App, shop: Shop) -> None:
    (shop.folder / "target" / "manifest.json").write_text("{")
    with pytest.raises(ConfigError):
        app.dbt.refresh(SHOP)
    view = app.dbt.get(SHOP)
    assert view.error is not None
    assert view.error["code"] == "manifest_invalid"
    assert view.models == 3
    shop.save()
    assert app.dbt.refresh(SHOP).project.error is None


def test_a_list_tells_of_projects_as_they_are(app: App, shop: Shop) -> None:  # noqa: ARG001 - its project is there
    assert list(app.dbt.page().items) == app.dbt.find()
    assert list(app.reverse_etl.listed.syncs().items) == app.reverse_etl.syncs.find()
    with app.database.begin() as connection:  # as a program of before has kept it
        connection.execute(sa.update(dbt_projects).values(summary=None))
    assert list(app.dbt.page(wanted=Wanted(sort="-models")).items) == app.dbt.find()


def test_a_project_in_use_is_not_deleted(app: App, shop: Shop) -> None:
    with pytest.raises(ConflictError, match="people"):
        app.dbt.delete(SHOP)
    app.reverse_etl.syncs.delete(NAME)
    app.reverse_etl.models.delete("people")
    app.dbt.delete(SHOP)
    assert app.dbt.find() == []
    assert shop.folder.is_dir()


def test_a_source_model_that_is_given_a_statement_is_none_of_dbts_any_more(
    app: App, shop: Shop, people: People
) -> None:
    app.reverse_etl.models.edit("people", {"sql": f"SELECT * FROM `{people.table}`"})
    assert app.dbt.get(SHOP).used_by == ()
    shop.project.remove("people")
    shop.save()
    assert app.dbt.refresh(SHOP).changes == ()


def test_secrets_of_a_project_are_kept_and_not_shown(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    fields = {"name": "other", "manifest": str(tmp_path / "manifest.json"), "token": "s3cret-token"}
    view = app.dbt.add(fields, by="me")
    assert view.secrets == ("token",)
    assert "s3cret" not in repr(vars(view))
    with app.database.begin() as connection:
        from sqlalchemy import text

        assert "s3cret" not in str(connection.execute(text("SELECT * FROM tidemill.dbt_projects")).all())
    assert app.dbt.edit("other", {"refresh": 60}).secrets == ("token",)


def test_one_that_is_due_is_read_once(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    app.dbt.add({"name": "other", "manifest": str(tmp_path / "manifest.json"), "refresh": 60}, by="me")
    assert not app.dbt.refresh_due()
    with app.database.begin() as connection:
        from sqlalchemy import text

        connection.execute(text("UPDATE tidemill.dbt_projects SET next_at = now()"))
    (tmp_path / "manifest.json").unlink()
    assert app.dbt.refresh_due()
    assert not app.dbt.refresh_due()
    error = app.dbt.get("other").error
    assert error is not None
    assert error["code"] == "dbt_manifest"


def test_a_manifest_that_nobody_can_read_does_not_keep_others_waiting(app: App, tmp_path: Path) -> None:
    for name in ("deep", "good"):
        (tmp_path / f"{name}.json").write_bytes(Project().text())
        app.dbt.add({"name": name, "manifest": str(tmp_path / f"{name}.json"), "refresh": 60}, by="me")
    (tmp_path / "deep.json").write_bytes(Project().text()[:-1] + b', "macros": ' + b"[" * 100_000)
    with app.database.begin() as connection:
        from sqlalchemy import text

        connection.execute(text("UPDATE tidemill.dbt_projects SET next_at = now() - interval '1 s'"))
    assert app.dbt.refresh_due()
    assert app.dbt.refresh_due()
    assert not app.dbt.refresh_due()
    error = app.dbt.get("deep").error
    assert error is not None
    assert error["code"] == "manifest_invalid"
    assert app.dbt.get("good").error is None


def test_how_often_it_is_read_can_be_changed(app: App, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    assert app.dbt.add({"name": "other", "manifest": str(tmp_path / "manifest.json")}, by="me").next_at is None
    assert app.dbt.edit("other", {"refresh": 60}).next_at is not None
    assert app.dbt.edit("other", {"refresh": None}).next_at is None


def test_a_token_stays_with_the_place_that_it_is_for(app: App, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_bytes(Project().text())
    app.dbt.add({"name": "other", "manifest": str(tmp_path / "a.json"), "token": "s3cret"}, by="me")
    assert app.dbt.edit("other", {"manifest": str(tmp_path / "b.json")}).secrets == ()


@pytest.mark.parametrize(
    ("named", "kind", "said"),
    [
        ("shop", ConfigError, "PROJECT/MODEL"),
        ("none/people", NotFoundError, "none"),
        ("shop/none", ConfigError, "no model none"),
        ("shop/countries", ConfigError, "does not say what the key"),
    ],
)
def test_what_cannot_be_a_source_model(
    named: str, kind: type[TidemillError], said: str, app: App, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_bytes(Project().text())
    app.dbt.add({"name": SHOP, "manifest": str(tmp_path / "manifest.json")}, by="me")
    with pytest.raises(kind) as caught:
        app.dbt_models.fields(named, {"name": "x"})
    assert said in f"{caught.value.message} {caught.value.hint}"


def work(app: App) -> None:
    """A worker does what is due."""
    while app.worker.look():
        app.worker.drain()


def results(**statuses: str) -> bytes:
    """A run_results.json: people="success", unique_people_id="fail"."""
    head = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}
    found = [
        {"unique_id": f"{'test' if '_' in name else 'model'}.shop.{name}", "status": status}
        for name, status in statuses.items()
    ]
    return json.dumps({"metadata": head, "results": found}).encode()


def test_after_a_run_of_dbt_the_syncs_of_what_it_built_run(app: App, shop: Shop) -> None:
    assert shop.dataset

    def after(project: str | None = None, **statuses: str) -> list[tuple[str, bool, str]]:
        found = app.dbt_models.after(results(**statuses), what="x", project=project, by="me")
        return [(one.sync, one.number is not None, one.reason) for one in found]

    assert after(orders="success") == []
    assert after(people="error") == [(NAME, False, "The model was not built.")]
    assert after(people="skipped") == [(NAME, False, "The model was not built.")]
    assert after(people="success", unique_people_id="fail") == [
        (NAME, False, "Tests do not hold: test.shop.unique_people_id.")
    ]
    with pytest.raises(NotFoundError):
        after("other", people="success")
    client, kind = Client(app), {"content-type": "application/json"}
    token, text = client.token(Permission.SYNCS_TRIGGER), results(people="error")
    asked = client.ask("POST", f"/dbt/after-run?project={SHOP}", token, content=text, headers=kind)
    assert (asked.status_code, [one["reason"] for one in asked.json()]) == (202, ["The model was not built."])
    assert client.ask("POST", "/dbt/after-run", token, content=b"{}", headers=kind).status_code == 422
    assert app.reverse_etl.syncs.get(NAME).next_at is None, "nothing was triggered"
    assert after(SHOP, people="success", unique_people_id="pass", not_null_people_id="warn") == [(NAME, True, "")]
    assert app.reverse_etl.syncs.get(NAME).next_at is not None
    app.reverse_etl.syncs.pause(NAME, "me")
    ((_, triggered, reason),) = after(people="success")
    assert (triggered, "paused" in reason) == (False, True)


def test_a_sync_that_is_at_work_when_dbt_is_done_runs_once_more(app: App, shop: Shop, people: People, crm: Crm) -> None:
    """By a worker; the run that is at work has read what was there before."""
    assert shop.dataset
    plan, told = crm.handle, []

    def meanwhile(asked: Any) -> Any:
        crm.handle = plan  # type: ignore[method-assign]
        people.rows[3] = ("new@example.com", "pro")
        people.save()
        for _ in range(2):
            told.extend(app.dbt_models.after(results(people="success"), what="x", project=SHOP, by="me"))
        return plan(asked)

    crm.handle = meanwhile  # type: ignore[method-assign]
    people.rows[4] = ("first@example.com", "pro")
    people.save()
    app.sync_triggers.trigger(NAME, by="me")
    work(app)
    assert [(one.number, one.reason) for one in told] == [(3, "Run 2 is at work since before: once more after it.")] * 2
    assert [one.number for one in app.reverse_etl.syncs.runs(NAME)] == [3, 2, 1], "once more, and no oftener"
    assert crm.people == people.expected()
    assert app.reverse_etl.syncs.get(NAME).next_at is None


def test_a_sync_that_is_at_work_by_hand_runs_once_more_by_a_worker(
    app: App, shop: Shop, people: People, crm: Crm
) -> None:
    assert shop.dataset
    plan, told = crm.handle, []

    def meanwhile(asked: Any) -> Any:
        crm.handle = plan  # type: ignore[method-assign]
        people.rows[3] = ("new@example.com", "pro")
        people.save()
        told.extend(app.dbt_models.after(results(people="success"), what="x", project=SHOP, by="me"))
        return plan(asked)

    crm.handle = meanwhile  # type: ignore[method-assign]
    people.rows[4] = ("first@example.com", "pro")
    people.save()
    assert run(app).number == 2
    assert [one.number for one in told] == [3]
    assert app.sync_triggers.state(NAME, 3).status == "waiting"
    work(app)
    assert app.sync_triggers.state(NAME, 3).status == "completed"
    assert crm.people == people.expected()


@pytest.mark.parametrize(
    "text", [b"", b"{}", b'{"metadata": {"dbt_schema_version": "https://x/dbt/manifest/v12.json"}}']
)
def test_what_is_no_run_of_dbt_is_refused(text: bytes, app: App) -> None:
    with pytest.raises(ConfigError, match=r"x\.json") as caught:
        app.dbt_models.after(text, what="x.json", project=None, by="me")
    assert caught.value.code == "run_results_invalid"
