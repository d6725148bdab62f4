"""The check of requests against BigQuery's discovery document."""

from __future__ import annotations

from typing import Any

import pytest
from tests import discovery

_JOBS = "/bigquery/v2/projects/p-1/jobs"
_TABLES = "/bigquery/v2/projects/p-1/datasets/d/tables"
_LOAD = {
    "jobReference": {"projectId": "p-1", "jobId": "j", "location": "EU"},
    "configuration": {
        "labels": {"tidemill_run": "7"},
        "load": {
            "destinationTable": {"projectId": "p-1", "datasetId": "d", "tableId": "t"},
            "sourceFormat": "PARQUET",
            "maxBadRecords": 0,
            "schema": {"fields": [{"name": "uuid", "type": "STRING", "mode": "REQUIRED"}]},
            "timePartitioning": {"type": "DAY", "field": "timestamp", "expirationMs": "86400000"},
            "clustering": {"fields": ["event"]},
        },
    },
}


def _request(method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
    return {"method": method, "path": path, "query": query, "body": body}


@pytest.mark.parametrize(
    "request_",
    [
        _request("POST", _JOBS, _LOAD, prettyPrint="false"),
        _request("GET", f"{_JOBS}/j", location="EU", projection="full"),
        _request("POST", f"{_JOBS}/j/cancel", {}, location="EU"),
        _request("POST", f"/upload{_JOBS}", _LOAD, uploadType="resumable"),
        _request("PUT", f"/upload{_JOBS}", uploadType="resumable", upload_id="x"),
        _request("POST", f"/resumable/upload{_JOBS}", _LOAD, uploadType="resumable"),
        _request("GET", "/bigquery/v2/projects/p-1/queries/j", maxResults="10", timeoutMs="0"),
        _request("PATCH", f"{_TABLES}/t", {"expirationTime": None, "description": "x"}),
        _request("POST", f"{_TABLES}/t:testIamPermissions", {"permissions": ["bigquery.tables.get"]}),
        _request("POST", f"{_TABLES}/t/insertAll", {"rows": [{"insertId": "1", "json": {"a": [1, {"b": None}]}}]}),
        _request("POST", "/token", {"anything": 1}),
        _request("GET", "/_tidemill/health"),
    ],
)
def test_what_google_knows_has_no_problems(request_: dict[str, Any]) -> None:
    assert discovery.problems(request_) == []


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (_request("PUT", _JOBS), "no method"),
        (_request("GET", f"{_JOBS}/j/nothing"), "no method"),
        (_request("DELETE", f"/upload{_JOBS}"), "no method"),
        (_request("POST", f"/upload{_TABLES}"), "no method"),
        (_request("GET", f"{_JOBS}/j", locatoin="EU"), "no parameter locatoin"),
        (_request("GET", "/bigquery/v2/projects/p-1/queries/j", maxResults="ten"), "no integer"),
        (_request("GET", f"{_JOBS}", projection="most"), "none of"),
        (_request("GET", f"{_JOBS}/j", {"a": 1}), "takes no body"),
        (_request("POST", _JOBS, {"configuraton": {}}), "no property configuraton"),
        (_request("POST", _JOBS, {"configuration": {"load": {"sourceFromat": "CSV"}}}), "no property sourceFromat"),
        (_request("POST", _JOBS, {"configuration": {"dryRun": "yes"}}), "'yes' is no boolean"),
        (_request("POST", _JOBS, {"configuration": {"jobTimeoutMs": "1.5"}}), "is no int64"),
        (_request("POST", _JOBS, {"configuration": {"labels": {"a": 1}}}), "labels.a: 1 is no string"),
        (_request("POST", _JOBS, {"configuration": {"load": {"clustering": {"fields": "event"}}}}), "a list"),
        (_request("POST", _JOBS, {"configuration": {"load": []}}), "load"),
        (_request("POST", _JOBS, [1]), "body"),
    ],
)
def test_what_google_does_not_know_is_named(request_: dict[str, Any], word: str) -> None:
    said = discovery.problems(request_)
    assert len(said) == 1
    assert word in said[0]
