"""The table of who may call what is that of the parts: nothing is forgotten or left over. Roles are as said."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from tidemill.access.audit import AuditService
from tidemill.access.hooks import HookService
from tidemill.access.permissions import Permission
from tidemill.access.reach import of_repository
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.access.rule import Rule
from tidemill.access.rules import RULES
from tidemill.access.service import TokenService
from tidemill.access.users import UserService
from tidemill.capture.service import KeyService
from tidemill.connection_users import ConnectionUsers
from tidemill.connections.service import ConnectionService
from tidemill.dbt.service import DbtService
from tidemill.dbt_models import DbtModels
from tidemill.events.identity.service import IdentityService
from tidemill.events.service import EventService
from tidemill.events.uploads import UploadService
from tidemill.exports.backfills import BackfillService
from tidemill.exports.listing import Listing
from tidemill.exports.logs import Logs
from tidemill.exports.runs import RunService
from tidemill.exports.schedules.service import Scheduling
from tidemill.exports.service import ExportService
from tidemill.exports.set_aside import SetAside
from tidemill.exports.stream.streaming import Streaming
from tidemill.exports.tables import TableService
from tidemill.exports.trial.service import TrialService
from tidemill.exports.triggers import TriggerService as ExportTriggerService
from tidemill.health import Health
from tidemill.imports.service import ImportService
from tidemill.notify.service import NotifyService
from tidemill.operations.service import OperationService
from tidemill.overview import OverviewService
from tidemill.reverse_etl.accounts import AccountService
from tidemill.reverse_etl.logs import SyncLogs
from tidemill.reverse_etl.models import SourceModelService
from tidemill.reverse_etl.rejects import SyncRejectService
from tidemill.reverse_etl.sources import SourceService
from tidemill.reverse_etl.syncs import SyncService
from tidemill.reverse_etl.trials import Trials
from tidemill.reverse_etl.triggers import TriggerService
from tidemill.reverse_etl.unsaved import Unsaved

PARTS: dict[str, type[Any]] = {
    "audit": AuditService,
    "connection_users": ConnectionUsers,
    "connections": ConnectionService,
    "dbt": DbtService,
    "dbt_models": DbtModels,
    "event_loads": UploadService,
    "events": EventService,
    "exports": ExportService,
    "exports.backfills": BackfillService,
    "exports.listed": Listing,
    "exports.logs": Logs,
    "exports.runs": RunService,
    "exports.schedules": Scheduling,
    "exports.set_aside": SetAside,
    "exports.streaming": Streaming,
    "exports.tables": TableService,
    "health": Health,
    "export_hooks": HookService,
    "sync_hooks": HookService,
    "exports.trials": TrialService,
    "exports.triggers": ExportTriggerService,
    "identity": IdentityService,
    "imports": ImportService,
    "keys": KeyService,
    "notify": NotifyService,
    "operations": OperationService,
    "overview": OverviewService,
    "reverse_etl.destinations": AccountService,
    "reverse_etl.logs": SyncLogs,
    "reverse_etl.models": SourceModelService,
    "reverse_etl.rejects": SyncRejectService,
    "reverse_etl.sources": SourceService,
    "reverse_etl.syncs": SyncService,
    "reverse_etl.trials": Trials,
    "reverse_etl.unsaved": Unsaved,
    "sync_triggers": TriggerService,
    "tokens": TokenService,
    "users": UserService,
}
#: What other parts of the installation call, and nobody from outside.
INSIDE = {
    *(f"audit.{name}" for name in ("begin", "end")),
    *(f"connections.{name}" for name in ("auth", "client", "ending")),
    *(f"dbt.{name}" for name in ("refresh_due",)),
    *(f"dbt_models.{name}" for name in ("after_cloud",)),
    *(f"events.{name}" for name in ("captured",)),
    *(f"event_loads.{name}" for name in ("prune",)),
    *(f"exports.{name}" for name in ("assert_known", "brought", "places", "take_back")),
    *(f"exports.schedules.{name}" for name in ("changed", "pause_failing")),
    *(f"exports.set_aside.{name}" for name in ("retry_these",)),
    *(f"exports.streaming.{name}" for name in ("cut_off", "quiet", "run_all")),
    *(f"identity.{name}" for name in ("delete_all", "distinct_ids", "erase", "forget", "living", "recompute")),
    *(f"notify.{name}" for name in ("of",)),
    *(f"reverse_etl.destinations.{name}" for name in ("settings",)),
    *(f"reverse_etl.sources.{name}" for name in ("client",)),
    *(f"reverse_etl.syncs.{name}" for name in ("begin", "begin_due", "run_once")),
    *(f"reverse_etl.rejects.{name}" for name in ("to_retry",)),
    *(f"tokens.{name}" for name in ("holder",)),
    *(f"{part}.{name}" for part in ("export_hooks", "sync_hooks") for name in ("holder", "of")),
    *(f"users.{name}" for name in ("begin", "sign_in", "sign_in_elsewhere", "session", "sign_out")),
    *(f"users.{name}" for name in ("forget_old",)),
}


def lacking(rule: Rule, permissions: Collection[Permission], given: Mapping[str, Any]) -> Permission | None:
    """What a call takes, and is not among these."""
    wanted = {*([rule.permission] if rule.permission else []), *(rule.also(None, given) if rule.also else [])}
    return min(wanted - set(permissions), default=None)


def methods(part: str) -> set[str]:
    found = PARTS[part]
    return {
        f"{part}.{name}"
        for name in dir(found)
        if not name.startswith("_") and callable(inspect.getattr_static(found, name, None).__get__(None, found))
        if not inspect.isdatadescriptor(inspect.getattr_static(found, name))
    }


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_method_is_in_the_table_or_is_for_nobody_outside(part: str) -> None:
    there = methods(part)
    ruled = {path for path in RULES if path.rpartition(".")[0] == part}
    assert there - ruled - INSIDE == set(), "they need a line in access/rules.py"
    assert ruled - there == set(), "there is no such method"
    assert {one for one in INSIDE if one.rpartition(".")[0] == part} - there == set()
    assert not ruled & INSIDE


@pytest.mark.parametrize(("path", "rule"), sorted((path, rule) for path, rule in RULES.items() if rule.change))
def test_what_is_written_down_is_an_argument_of_the_method(path: str, rule: Any) -> None:
    part, _, name = path.rpartition(".")
    arguments = inspect.signature(getattr(PARTS[part], name)).parameters
    change = rule.change
    for wanted in (change.target, change.rename, *change.details):
        assert not wanted or wanted.partition(".")[0] in arguments, wanted
    assert "password" not in change.details


#: What each role may change, in words of the audit log; admin: everything.
EDITORS = {
    "backfill", "dbt", "events", "export", "import", "model", "rejects", "run", "sync", "sync_rejects",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(RULES))
def test_roles(path: str) -> None:
    rule = RULES[path]
    if rule.permission is None:
        return
    assert rule.permission in PERMISSIONS[Role.ADMIN]
    changes = rule.change is not None
    assert (rule.permission in PERMISSIONS[Role.VIEWER]) <= (not changes), "who looks changes nothing"
    if changes:
        assert rule.change is not None
        assert (rule.permission in PERMISSIONS[Role.EDITOR]) == (rule.change.kind in EDITORS)


def test_what_only_administrators_see() -> None:
    hidden = set(Permission) - PERMISSIONS[Role.EDITOR]
    assert {one for one in hidden if one.endswith(":read")} == {
        Permission.KEYS_READ,
        Permission.TOKENS_READ,
        Permission.USERS_READ,
        Permission.AUDIT_READ,
    }
    assert PERMISSIONS[Role.VIEWER] < PERMISSIONS[Role.EDITOR] < PERMISSIONS[Role.ADMIN]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "shop", "git": "https://git.example.com/evil.git"},
        {"branch": "evil"},
        {"branch": None},
        {"subfolder": ""},
        {"host_key": "evil"},
        {"git": "https://git.example.com/evil.git", "manifest": "https://ci.example.com/manifest.json"},
    ],
)
def test_which_repository_dbt_runs_is_not_for_editors(fields: dict[str, Any]) -> None:
    assert of_repository({"fields": fields}) is Permission.DBT_RUN
    for path in ("dbt.add", "dbt.edit"):
        assert lacking(RULES[path], PERMISSIONS[Role.EDITOR], {"fields": fields}) is Permission.DBT_RUN
        assert lacking(RULES[path], {Permission.DBT_WRITE}, {"fields": fields}) is Permission.DBT_RUN
        assert lacking(RULES[path], {Permission.DBT_RUN}, {"fields": fields}) is Permission.DBT_WRITE
        assert lacking(RULES[path], PERMISSIONS[Role.ADMIN], {"fields": fields}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "shop", "manifest": "https://ci.example.com/manifest.json", "git": None, "branch": None},
        {"manifest": "gs://bucket/manifest.json", "subfolder": ""},
        {"refresh": 60},
        {"token": "another"},
        {"name": "store", "cloud_host": "ab123.us1.dbt.com"},
    ],
)
def test_what_is_only_read_is_for_editors(fields: dict[str, Any]) -> None:
    assert lacking(RULES["dbt.edit"], PERMISSIONS[Role.EDITOR], {"fields": fields}) is None
    assert lacking(RULES["dbt.refresh"], PERMISSIONS[Role.EDITOR], {"name": "shop"}) is None
