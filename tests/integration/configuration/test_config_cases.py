"""Cases of configurations that are easily got wrong."""

from __future__ import annotations

import pytest
from tests.configurations import applied, changes, exported, planned, problems, said
from tests.installation import Installation
from tests.integration.configuration.conftest import Configured
from tests.syncs import People

from tidemill.access.actor import Actor
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.acting import acting
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.configuration.service import Configuration, Text
from tidemill.errors import AccessError, ConfigError


def base(installation: Installation, more: str = "", source: str = "{access: read-only}") -> str:
    """A connection, and what is said below."""
    return (
        f"connections:\n  warehouse:\n    project: {DEFAULT_PROJECT}\n    dataset: {installation.dataset}\n"
        f"    key: {{env: WAREHOUSE_KEY}}\n    source: {source}\n{more}"
    )


def test_an_import_of_google_analytics_is_found_by_its_dataset(configured: Configured, people: People) -> None:
    app, dataset = configured.app, configured.installation.dataset
    event = "1 AS event_timestamp, 'view' AS event_name, 7 AS event_bundle_sequence_id, 'u1' AS user_pseudo_id"
    params = "[STRUCT('page' AS key, STRUCT('/' AS string_value, 1 AS int_value) AS value)] AS event_params"
    people.ask(f"CREATE TABLE `{dataset}.events_20260101` AS SELECT {event}, {params}")
    text = base(
        configured.installation,
        f"imports:\n  web:\n    connection: warehouse\n    ga4: {{dataset: {dataset}, since: 2026-01-01}}\n",
    )
    applied(app, text, test=False)
    assert said(planned(app, text)) == []
    mine = exported(app).replace("CONNECTION_WAREHOUSE_KEY", "WAREHOUSE_KEY")
    assert "since: '2026-01-01'" in mine
    assert said(planned(app, mine, prune=True)) == []
    later = problems(app, text.replace("2026-01-01", "2026-02-01"))
    assert "ga4.since of web cannot be changed: it is 2026-01-01, and not 2026-02-01." in later[0]


def test_an_export_stays_where_it_is_when_its_connection_gets_another_dataset(configured: Configured) -> None:
    app, installation = configured.app, configured.installation
    text = base(installation, "exports:\n  daily: {connection: warehouse}\n")
    applied(app, text, test=False)
    installation.local.create_dataset(f"{installation.dataset}_b", "EU")
    moved = text.replace(f"dataset: {installation.dataset}", f"dataset: {installation.dataset}_b")
    (line,) = problems(app, moved)
    where = f"{DEFAULT_PROJECT}.{installation.dataset}.events"
    assert f"It goes into {where}. Write table: {where}" in line
    kept = moved.replace("{connection: warehouse}", f"{{connection: warehouse, table: {where}}}")
    assert said(planned(app, kept)) == ["change connection warehouse"]
    applied(app, kept, test=False)
    assert f"table: {installation.dataset}.events\n" in exported(app)
    assert said(planned(app, kept)) == []


def test_a_table_belongs_to_one_export_also_until_another_one_is_deleted(configured: Configured) -> None:
    app, installation = configured.app, configured.installation
    both = base(
        installation, "exports:\n  one: {connection: warehouse}\n  two: {connection: warehouse, table: events}\n"
    )
    (line,) = problems(app, both)
    assert line.startswith("9:39: ")
    assert "is the table of the export one. Choose another." in line
    applied(app, base(installation, "exports:\n  one: {connection: warehouse}\n"), test=False)
    (line,) = problems(app, base(installation, "exports:\n  two: {connection: warehouse}\n"), prune=True)
    assert "one is deleted, but last: apply the file without two before." in line


def test_a_connection_whose_file_says_nothing_of_a_source_is_none(configured: Configured) -> None:
    app, installation = configured.app, configured.installation
    model = f"models:\n  people: {{connection: warehouse, table: {installation.dataset}.people, key: [id]}}\n"
    text = base(installation, model)
    applied(app, text, test=False)
    without = text.replace("    source: {access: read-only}\n", "")
    assert "The connection warehouse is no source. Write source: {access: full} below it." in problems(app, without)[0]
    alone = base(installation).replace("    source: {access: read-only}\n", "")
    assert "The source warehouse cannot be deleted: the source model people needs it" in problems(app, alone)[0]
    none = f"{alone}models: {{}}\n"
    assert said(planned(app, none, prune=True)) == ["delete source model people", "delete source warehouse"]
    applied(app, none, prune=True)
    changed = base(installation, source=f"{{access: full, state_dataset: {installation.dataset}_s}}")
    applied(app, changed)
    assert said(planned(app, changed)) == []


def test_a_folder_is_one_configuration(configured: Configured) -> None:
    app = configured.app
    connections, exports = base(configured.installation), "exports:\n  daily: {connection: warehouse}\n"
    texts = [Text(name, text, configured.installation.home) for name, text in (("a", connections), ("b", exports))]
    configuration = Configuration(app)
    found = configuration.apply(configuration.plan(texts), by="tester", test=False)
    assert [step.title for step in found.done] == ["connection warehouse", "source warehouse", "export daily"]
    broken = [texts[0], Text("b", exports.replace("warehouse", "elsewhere"), configured.installation.home)]
    with pytest.raises(ConfigError, match="b:2:") as caught:
        configuration.plan(broken)
    assert "There is no connection 'elsewhere'. Connections: warehouse." in caught.value.message


def test_a_credential_may_become_the_machines_own_and_a_key_again(configured: Configured) -> None:
    app, installation = configured.app, configured.installation
    text = base(installation)
    applied(app, text, test=False)
    own = text.replace("key: {env: WAREHOUSE_KEY}", "impersonate: reader@my-project.iam.gserviceaccount.com")
    assert changes(planned(app, own)) == {
        "key": ("(secret)", None),
        "adc": (False, True),
        "impersonate": (None, "reader@my-project.iam.gserviceaccount.com"),
    }
    both = text.replace("key:", "impersonate: reader@my-project.iam.gserviceaccount.com\n    key:")
    applied(app, both, test=False)
    assert app.connections.get("warehouse").credential == "impersonation by service account key"
    assert said(planned(app, both)) == []
    applied(app, text, test=False)
    assert said(planned(app, text)) == []
    nothing = text.replace("    key: {env: WAREHOUSE_KEY}\n", "")
    assert "It is not said how warehouse signs in." in problems(app, nothing)[0]


def test_a_draft_of_an_import_is_mapped_and_what_cannot_be_mapped_is_not_left_behind(configured: Configured) -> None:
    app, installation = configured.app, configured.installation
    rows = f"    connection: warehouse\n    table: {installation.dataset}.people\n    key: [id]\n"
    mapped = "    kind: people\n    identity: email\n    skipped: [id, plan]\n"
    draft = base(installation, f"imports:\n  members:\n{rows}")
    applied(app, draft, test=False)
    assert said(planned(app, draft)) == []
    applied(app, f"{draft}{mapped}", test=False)
    assert said(planned(app, f"{draft}{mapped}")) == []
    assert "It is mapped, and becomes no draft again." in problems(app, draft)[0]
    wrong = f"{draft}{mapped}  others:\n{rows}{mapped.replace('plan', 'no_such')}"
    configuration = Configuration(app)
    found = configuration.apply(configuration.plan([Text("f", wrong, installation.home)]), by="tester")
    assert found.error is not None
    assert found.error.code == "column_unknown"
    assert [one.name for one in app.imports.find()] == ["members"]
    assert [one.name for one in app.reverse_etl.models.find()] == ["members"]


def test_what_a_schedule_says_no_more_is_so_no_more(configured: Configured) -> None:
    app = configured.app
    before = (
        "{interval: day, offset: 3h, jitter: 2m, time_zone: Europe/Berlin, start_at: 2026-01-31, pause_after: 10/2d}"
    )
    text = base(configured.installation, f"exports:\n  daily:\n    connection: warehouse\n    schedule: {before}\n")
    applied(app, text, test=False)
    assert said(planned(app, text)) == []
    for after in ("{pause_after: 3}", "{interval: 0 6 * * 1-5}", before, "{interval: none, pause_after: none}", "{}"):
        edited = text.replace(before, after)
        applied(app, edited, test=False)
        assert changes(planned(app, edited)) == {}


def test_who_applies_a_file_may_do_no_more_than_by_hand_and_all_is_in_the_audit_log(configured: Configured) -> None:
    app = configured.app
    admin, editor = (Actor(role.value, "user", PERMISSIONS[role], "") for role in (Role.ADMIN, Role.EDITOR))
    text = base(configured.installation, "exports:\n  daily: {connection: warehouse}\n")
    applied(acting(app, admin), text, test=False)
    done = [(one.actor, one.action, one.name) for one in app.audit.find()]
    assert ("admin", "export.create", "daily") in done
    assert ("admin", "connection.create", "warehouse") in done
    assert "PRIVATE KEY" not in repr(app.audit.find())
    exports = text[text.index("exports:") :].replace(
        "{connection: warehouse}", "{connection: warehouse, run_log: true}"
    )
    applied(acting(app, editor), exports)
    with pytest.raises(AccessError, match="connections:write"):
        planned(acting(app, editor), text)
