"""Who may call what: each public method of the parts that the command line, the API and the web app use.

What changes something says how it is called in the audit log, and which argument tells what is changed. A method that
is not here cannot be called from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidemill.access.permissions import Permission as P  # noqa: N817 - a table of them
from tidemill.access.reach import assert_elsewhere, of_uses, runs_repository
from tidemill.access.rule import Change, Rule, edits, reads, writes


def _rules() -> Iterator[tuple[str, Rule]]:
    yield from reads(
        "connections",
        P.CONNECTIONS_READ,
        "find get datasets seen grants set_up egress allow_list differs draft changed assert_free",
    )
    yield from reads("connections", P.CONNECTIONS_WRITE, "differing")  # who asks could guess
    yield from writes(
        "connections",
        P.CONNECTIONS_WRITE,
        # What they make, they make in the customer's dataset.
        test=Change("connection.test", details=("use",)),
        test_draft=Change("connection.test", "draft.spec.name", ("use",)),
        add=edits("connection.create", "draft.spec.name"),
        save=edits("connection.edit", rename="draft.spec.name"),
        create_dataset=Change("connection.create_dataset", "draft.spec.name", ("location",)),
        delete=edits("connection.delete"),
    )
    yield from reads("connection_users", P.CONNECTIONS_READ, "counts page standing standings uses")
    yield (
        "connection_users.delete",
        Rule(P.CONNECTIONS_WRITE, edits("connection.delete", details=("force",)), also=of_uses),
    )
    yield from _of_exports()
    yield from _of_reverse_etl()
    yield from _of_imports()
    yield from _of_operations()
    yield from _of_dbt()
    yield from _of_hooks()
    yield from _of_events()
    yield from _of_access()


def _of_exports() -> Iterator[tuple[str, Rule]]:
    read, write = P.EXPORTS_READ, P.EXPORTS_WRITE
    yield from reads("exports", read, "find get using defined draft")
    yield from writes(
        "exports",
        write,
        create=edits("export.create", "fields.name", details=("connection_name",)),
        edit=edits("export.edit", rename="changes.name"),
        delete=edits("export.delete"),
        run=Change("export.run"),
    )
    yield from writes(
        "exports", P.PERSONS_DELETE, erase_person=Change("person.delete", "distinct_id", ("team_id", "events"))
    )
    yield from reads("exports.schedules", read, "due queue")
    yield from writes(
        "exports.schedules", write, pause=edits("export.pause"), unpause=edits("export.unpause", details=("skip",))
    )
    yield from reads("exports.streaming", read, "is_at_work is_moved standings status")
    yield from writes(
        "exports.streaming", write, run=Change("export.stream"), stop_now=Change("export.stop_stream", "")
    )
    yield from _of_runs()


def _of_runs() -> Iterator[tuple[str, Rule]]:
    """Of runs of exports, and of what they have brought."""
    read, write = P.EXPORTS_READ, P.EXPORTS_WRITE
    yield from reads("exports.runs", read, "find get")
    yield from writes(
        "exports.runs",
        write,
        again=Change("run.again", "run_id"),
        cancel=Change("run.cancel", "run_id"),
        retry=Change("run.retry", "run_id", ("arrived",)),
        interrupt=Change("run.interrupt", ""),
    )
    yield from reads("exports.listed", read, "backfills exports get progress run runs")
    yield from reads("exports.triggers", read, "get")
    yield from writes(
        "exports.triggers",
        write,
        run=Change("export.trigger"),
        retry=Change("run.retry", "run_id", ("arrived",)),
        again=Change("run.again", "run_id"),
        rejects=Change("rejects.retry", details=("run_id", "code")),
    )
    yield from reads("exports.backfills", read, "find get estimate")
    yield from writes(
        "exports.backfills",
        write,
        begin=Change("backfill.begin", "export", ("estimate", "parallel")),
        resume=Change("backfill.resume", "export", ("parallel",)),
        stop=Change("backfill.stop", "export", ("cancel",)),
    )
    yield from reads("exports.tables", read, "check example")
    yield from writes(
        "exports.tables",
        write,
        repair=Change("export.repair", "export"),
        settle=edits("export.settle", "export"),
        verify=Change("export.verify", "export", ("days",)),
        verify_daily=Change("export.verify", "export"),
    )
    yield from writes(
        "exports.trials",
        write,
        draft=Change("export.test", "fields.name", ("connection_name",)),
        saved=Change("export.test", "export"),
    )
    yield from reads("exports.logs", read, "of_export of_run page follow_export follow_run")
    yield from reads("exports.set_aside", read, "find page export lines")
    yield from writes(
        "exports.set_aside",
        write,
        dismiss=Change("rejects.dismiss", details=("run_id", "code")),
        retry=Change("rejects.retry", details=("run_id", "code")),
    )


def _of_reverse_etl() -> Iterator[tuple[str, Rule]]:
    yield from reads("reverse_etl.sources", P.CONNECTIONS_READ, "find get of grants")
    yield from writes(
        "reverse_etl.sources",
        P.CONNECTIONS_WRITE,
        enable=edits("source.enable", details=("fields",)),
        disable=edits("source.disable"),
        test=Change("source.test"),
    )
    yield from reads("reverse_etl.models", P.MODELS_READ, "find get columns look of_ga4")
    yield "reverse_etl.listed.models", Rule(P.MODELS_READ)
    yield "reverse_etl.listed.destinations", Rule(P.DESTINATIONS_READ)
    yield from reads("reverse_etl.listed", P.SYNCS_READ, "syncs imports")
    yield from writes(
        "reverse_etl.models",
        P.MODELS_WRITE,
        add=edits("model.create", "fields.name"),
        edit=edits("model.edit", rename="fields.name"),
        delete=edits("model.delete"),
        # BigQuery bills what these read, and rows are shown.
        preview=Change("model.preview", details=("number",)),
        check=Change("model.check"),
    )
    yield from reads("reverse_etl.unsaved", P.MODELS_WRITE, "look preview check")  # any statement may be run by it
    yield from reads("reverse_etl.unsaved", P.SYNCS_READ, "problems")
    account = "reverse_etl.destinations"
    yield from reads(account, P.DESTINATIONS_READ, "find get changed rewritten kept make assert_free home")
    yield from reads(account, P.DESTINATIONS_WRITE, "differing")
    yield from writes(
        account,
        P.DESTINATIONS_WRITE,
        add=edits("destination.create"),
        save=edits("destination.edit", rename="rename"),
        delete=edits("destination.delete"),
        test=Change("destination.test", "kind", ("settings",)),
        test_saved=Change("destination.test"),  # what it sends, the customer's tool may keep
    )
    yield from _of_syncs()


def _of_syncs() -> Iterator[tuple[str, Rule]]:
    yield from reads("reverse_etl.syncs", P.SYNCS_READ, "find get page runs show_run suggested assert_of spec_of")
    yield from writes(
        "reverse_etl.syncs",
        P.SYNCS_WRITE,
        create=edits("sync.create", "fields.name", details=("model", "destination")),
        edit=edits("sync.edit", rename="changes.name", details=("reset",)),
        delete=edits("sync.delete"),
        pause=edits("sync.pause"),
        unpause=edits("sync.unpause"),
        reset=Change("sync.reset", details=("how",)),
    )
    yield from writes(
        "reverse_etl.syncs",
        P.SYNCS_TRIGGER,
        run=Change("sync.run", details=("force", "deletes", "only")),
        cancel=Change("sync.cancel"),
    )
    yield from reads("reverse_etl.trials", P.SYNCS_TRIGGER, "planned job")
    yield from writes(
        "reverse_etl.trials",
        P.SYNCS_TRIGGER,
        estimate=Change("sync.dry_run"),  # it is billed
        send_one=Change("sync.test", details=("key",)),
    )
    yield from reads("reverse_etl.rejects", P.SYNCS_READ, "find page export lines number missing assert_chosen")
    yield from writes(
        "reverse_etl.rejects",
        P.SYNCS_TRIGGER,
        retry=Change("sync_rejects.retry", details=("text", "code")),
        drop=Change("sync_rejects.drop", details=("text", "code")),
        adopt=Change("sync_rejects.adopt"),
    )
    yield from reads("reverse_etl.logs", P.SYNCS_READ, "of follow page")
    yield from reads("sync_triggers", P.SYNCS_READ, "state wait")
    yield from writes("sync_triggers", P.SYNCS_TRIGGER, trigger=Change("sync.trigger", details=("force", "anew")))


def _of_imports() -> Iterator[tuple[str, Rule]]:
    yield from reads("imports", P.IMPORTS_READ, "find get look suggested assert_may_run")
    yield "imports.listed.imports", Rule(P.IMPORTS_READ)
    yield from writes(
        "imports",
        P.IMPORTS_WRITE,
        create=edits("import.create", details=("model", "connection")),
        edit=edits("import.edit", rename="changes.name"),
        map=edits("import.map", details=("kind",)),
        delete=edits("import.delete"),
        stop=edits("import.stop"),
        run=Change("import.run", details=("again",)),
        preview=Change("import.preview", details=("number",)),  # it is billed
        dry_run=Change("import.dry_run", details=("number", "write")),
        repair=Change("import.repair"),
        undo=Change("import.undo"),
    )


def _of_operations() -> Iterator[tuple[str, Rule]]:
    """What goes on after it was asked for."""
    part = "operations"
    yield from reads(part, P.IMPORTS_READ, "undo_of undo_by_id")
    yield from reads(part, P.PERSONS_READ, "deletion deletions")
    yield from reads(part, P.SYNCS_READ, "of_sync retry_by_id")
    yield from reads(part, P.HEALTH_READ, "waiting")
    yield from writes(part, P.IMPORTS_WRITE, undo=Change("import.undo", lasts=True))
    person = Change("person.delete", "distinct_id", ("team_id", "events"), lasts=True)
    yield from writes(part, P.PERSONS_DELETE, delete_person=person)
    deletes = Change("sync.run_with_deletes", lasts=True)
    retry = Change("sync_rejects.retry", details=("text", "code"), lasts=True)
    yield from writes(part, P.SYNCS_TRIGGER, retry_rows=retry, run_with_deletes=deletes)


def _of_dbt() -> Iterator[tuple[str, Rule]]:
    yield from reads("dbt", P.DBT_READ, "find page get models known pick")
    yield from reads("dbt", P.DBT_CHECK, "check in_use readable")
    yield from reads("dbt", P.DBT_WRITE, "differing")
    yield from writes(
        "dbt",
        P.DBT_WRITE,
        delete=edits("dbt.delete"),
        refresh=Change("dbt.refresh"),
    )
    added, edited = edits("dbt.create", "fields.name"), edits("dbt.edit", rename="fields.name")
    yield "dbt.add", Rule(P.DBT_WRITE, added, assert_elsewhere, runs_repository)
    yield "dbt.edit", Rule(P.DBT_WRITE, edited, assert_elsewhere, runs_repository)
    yield from reads("dbt_models", P.DBT_READ, "fields cloud_runs")
    yield from writes("dbt_models", P.SYNCS_TRIGGER, after=Change("dbt.after", "project"))


def _of_hooks() -> Iterator[tuple[str, Rule]]:
    for part, action, read, write in (
        ("export_hooks", "export", P.EXPORTS_READ, P.EXPORTS_WRITE),
        ("sync_hooks", "sync", P.SYNCS_READ, P.SYNCS_WRITE),
    ):
        yield from reads(part, read, "find page")
        create, revoke = Change(f"{action}.hook"), Change(f"{action}.revoke_hook", details=("start",))
        yield from writes(part, write, create=create, revoke=revoke)


def _of_events() -> Iterator[tuple[str, Rule]]:
    yield from reads(
        "events", P.EVENTS_READ, "count show page timeline rejects rejects_page export_rejects reject_lines"
    )
    yield from writes(
        "events",
        P.EVENTS_WRITE,
        load=Change("events.load", "file", ("format_name", "team_id")),
        compact=Change("events.compact", ""),
        retry_rejects=Change("events.retry", "", ("code",)),
        dismiss_rejects=Change("events.dismiss", "", ("code", "ids")),
    )
    yield from reads("event_loads", P.EVENTS_READ, "page get progress")
    yield from reads("event_loads", P.EVENTS_WRITE, "check receiving")
    yield from writes(
        "event_loads",
        P.EVENTS_WRITE,
        begin=Change("events.load", "file", ("format_name", "team_id")),
        cancel=Change("events.stop_load", "upload_id"),
    )
    yield from writes("identity", P.PERSONS_DELETE, delete=Change("person.delete", "distinct_id", ("team_id",)))
    yield from reads("identity", P.PERSONS_READ, "show ids history refusals reached catch_up unknown")


def _of_access() -> Iterator[tuple[str, Rule]]:
    yield from reads("keys", P.KEYS_READ, "find page")
    yield from writes(
        "keys",
        P.KEYS_WRITE,
        create=Change("key.create", details=("team_id", "events_per_second")),
        revoke=Change("key.revoke"),
    )
    yield from reads("notify", P.CHANNELS_READ, "find page get kept rewritten messages assert_free")
    yield from reads("notify", P.CHANNELS_WRITE, "differing")
    yield from writes(
        "notify",
        P.CHANNELS_WRITE,
        add=edits("channel.create"),
        edit=edits("channel.edit", rename="rename"),
        remove=edits("channel.delete"),
        test=Change("channel.test"),
    )
    yield from reads("tokens", P.TOKENS_READ, "find page")
    yield from writes(
        "tokens",
        P.TOKENS_WRITE,
        create=Change("token.create", details=("scopes", "expires_seconds")),
        revoke=Change("token.revoke"),
    )
    yield from reads("users", P.USERS_READ, "find page get")
    yield from writes(
        "users",
        P.USERS_WRITE,
        create=edits("user.create", details=("role",)),
        edit=edits("user.edit", rename="rename"),
        delete=edits("user.delete"),
        set_password=Change("user.set_password"),
        unlock=edits("user.unlock"),
        setup_token=Change("user.setup", ""),
    )
    yield "users.any", Rule(None)
    yield "users.change_password", Rule(None, Change("user.change_password"))
    yield from reads("audit", P.AUDIT_READ, "find export page")
    yield from reads("health", P.HEALTH_READ, "examine")
    yield from reads("overview", P.EXPORTS_READ, "look")
    yield from reads("jobs", P.EXPORTS_READ, "page")


#: By the path of each method: exports.runs.cancel.
RULES: Mapping[str, Rule] = dict(_rules())
