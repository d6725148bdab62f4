"""Whatever a configuration says, and whatever was there before: applied, it is so, and what is written says it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.configurations import applied, exported, planned, said
from tests.integration.configuration.conftest import Configured

from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.configuration import writing

_SECRETS = ("OPS_KEY", "HOOK_KEY")
_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A choice of these fields: each may be left out."""
    return st.fixed_dictionaries({}, optional=fields)


_PACE: dict[str, st.SearchStrategy[Any]] = {
    "time_zone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
    "jitter": st.sampled_from(["90s", "2m", 120, 0]),
    "pause_after": st.sampled_from([3, "none", "10/2d", "5"]),
}
_TIMES: dict[str, st.SearchStrategy[Any]] = {
    **_PACE,
    "interval": st.sampled_from(["5m", "hour", "daily", "week", "none", "0 6 * * 1-5", "15m"]),
}
_OF_EXPORTS: dict[str, st.SearchStrategy[Any]] = {
    **_TIMES,
    "start_at": st.sampled_from(["2026-01-31", "2026-01-31T06:00", "2026-01-31T06:00:00Z"]),
    "missed": st.sampled_from(["each", "join"]),
}
_OFFSET = st.fixed_dictionaries({"interval": st.just("day"), "offset": st.sampled_from(["30m", "3h"])})
#: What may change, of exports whose names say what may not.
_EDITABLE: dict[str, st.SearchStrategy[Any]] = {
    "schedule": _some(**_OF_EXPORTS) | _OFFSET,
    "delivery": st.sampled_from(["load", "storage-write"]),
    "run_log": st.booleans(),
    "max_bytes_billed": st.sampled_from(["20GB", "11MB", 123_456_789]),
    "reject_share": st.sampled_from(["1%", "0.5%", 0, 1, 0.123]),
    "verify_days": st.sampled_from(["all", 7, "30"]),
}
_EXPORTS: dict[str, tuple[dict[str, Any], dict[str, st.SearchStrategy[Any]]]] = {
    "events": ({}, {**_EDITABLE, "exclude_events": st.lists(_NAMES, max_size=3, unique=True)}),
    "wide": ({"table": "wide", "json_type": True, "cluster_by": ["event"], "partition_by": "none"}, _EDITABLE),
    "people 1": (
        {"model": "persons", "table": "people_1", "team_id": 1},
        {name: value for name, value in _EDITABLE.items() if name != "verify_days"},
    ),
    "live": (
        {"table": "live", "mode": "stream"},
        {"buffer_bytes": st.sampled_from(["2MB", 3_000_000]), "buffer_seconds": st.floats(0, 600)},
    ),
}
_SYNCED: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(["upsert", "mirror"]),
    "schedule": _some(**_TIMES),
    "delete_brake": st.sampled_from(["20%", 0.5, 1]),
    "deviation": st.sampled_from(["50%", 2.0]),
    "most_rejects": st.integers(1, 1000),
    "max_bytes_billed": st.sampled_from(["20GB", "11MB"]),
}
_MAPPINGS = st.dictionaries(st.sampled_from(["n", "email", "plan"]), st.just({"@path": "$.email"}), min_size=1)
_CHANNELS: dict[str, st.SearchStrategy[Any]] = {
    "causes": st.lists(st.sampled_from(["failed", "paused", "overdue"]), unique=True, max_size=2)
}


@st.composite
def configurations(draw: st.DrawFn, dataset: str) -> dict[str, Any]:
    """A configuration that is right, of a few names."""
    source = {"access": "full", "state_dataset": f"{dataset}_state"}
    connection = {"project": DEFAULT_PROJECT, "dataset": dataset, "key": {"env": "WAREHOUSE_KEY"}}
    made: dict[str, Any] = {"version": 1, "connections": {"warehouse": {**connection, "source": source}}}
    exports = {}
    for name in draw(st.sets(st.sampled_from(sorted(_EXPORTS)))):
        fixed, editable = _EXPORTS[name]
        exports[name] = {"connection": "warehouse", **fixed, **draw(_some(**editable))}
    model = {"connection": "warehouse", "key": ["id"], **draw(_some(description=_NAMES))}
    rows = draw(st.sampled_from([{"table": f"{dataset}.people"}, {"sql": f"SELECT *\nFROM {dataset}.people\n"}]))
    hook = draw(
        _some(calls_per_second=st.integers(1, 100), key=st.sampled_from(_SECRETS).map(lambda one: {"env": one}))
    )
    syncs = {
        name: {"model": "people", "destination": "hook", "mapping": draw(_MAPPINGS), **draw(_some(**_SYNCED))}
        for name in draw(st.sets(st.sampled_from(["crm", "other"])))
    }
    channels = {}
    if draw(st.booleans()):
        told = draw(_some(**_CHANNELS))
        for section, named in (("exports", exports), ("syncs", syncs)):
            told[section] = draw(st.lists(st.sampled_from(sorted(named)), unique=True)) if named else []
        key = {"env": draw(st.sampled_from(_SECRETS))}
        channels["ops"] = {"kind": "webhook", "url": {"env": "OPS_URL"}, "key": key, **told}
    return {
        **made,
        "models": {"people": {**model, **rows}},
        "destinations": {"hook": {"kind": "webhook", "url": {"env": "HOOK_URL"}, **hook}},
        "exports": exports,
        "syncs": syncs,
        "channels": channels,
    }


def test_whatever_is_applied_is_so(configured: Configured) -> None:
    app, dataset = configured.app, configured.installation.dataset
    nothing = writing.dumped({section: {} for section in ("channels", "syncs", "exports", "destinations", "models")})

    @settings(max_examples=15, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(configurations(dataset), configurations(dataset))
    def each(first: dict[str, Any], second: dict[str, Any]) -> None:
        applied(app, nothing, prune=True)
        for data in (first, second):  # from nothing, and from something else
            text = writing.dumped(data)
            applied(app, text, prune=True, test=False)
            again = planned(app, text, prune=True)
            assert (said(again), again.others) == ([], 0), json.dumps(data)
            mine = _with_secrets(exported(app), data)
            whole = planned(app, mine, prune=True)
            assert (said(whole), whole.others) == ([], 0), mine

    each()


def _with_secrets(text: str, data: dict[str, Any]) -> str:
    """What was written, with the variables that the secrets are in."""
    known = {
        "CONNECTION_WAREHOUSE_KEY": "WAREHOUSE_KEY",
        "DESTINATION_HOOK_URL": "HOOK_URL",
        "CHANNEL_OPS_URL": "OPS_URL",
    }
    if "key" in data["destinations"]["hook"]:
        known["DESTINATION_HOOK_KEY"] = data["destinations"]["hook"]["key"]["env"]
    if data["channels"]:
        known["CHANNEL_OPS_KEY"] = data["channels"]["ops"]["key"]["env"]
    for name, variable in known.items():
        text = text.replace(f"env: {name}\n", f"env: {variable}\n")
    return text
