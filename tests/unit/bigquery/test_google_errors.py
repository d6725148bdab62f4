"""The table of Google's reasons: what is tried again and how, and what a user is told."""

from __future__ import annotations

import pytest

from tidemill.bigquery import errors
from tidemill.bigquery.errors import Again, Problem, Target
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, RetryableError, TidemillError

TARGET = Target("project-123", "analytics", "events", "loader@project-123.example", "bigquery.tables.updateData")

#: BigQuery "Error messages": reason, status, whether a call is tried again, whether a job is (with a new id).
TABLE = [
    ("backendError", 503, True, True),
    ("backendError", 500, True, True),
    ("internalError", 500, True, True),
    ("rateLimitExceeded", 403, True, True),
    ("jobRateLimitExceeded", 400, True, True),
    ("jobBackendError", 400, True, True),
    ("jobInternalError", 400, True, True),
    ("tableUnavailable", 400, True, True),
    ("timeout", 400, False, False),
    ("resourcesExceeded", 400, False, False),
    ("responseTooLarge", 403, False, False),
    ("billingTierLimitExceeded", 400, False, False),
    ("accessDenied", 403, False, False),
    ("notFound", 404, False, False),
    ("invalid", 400, False, False),
    ("invalidQuery", 400, False, False),
    ("billingNotEnabled", 403, False, False),
    ("blocked", 403, False, False),
    ("notImplemented", 501, False, False),
    ("resourceInUse", 400, False, False),
    ("stopped", 200, False, False),
    ("duplicate", 409, False, False),
]


@pytest.mark.parametrize(("reason", "status", "call", "job"), TABLE)
def test_each_reason_is_tried_again_as_google_says(reason: str, status: int, call: bool, job: bool) -> None:
    problem = Problem(status, reason, "message")
    assert errors.again(problem, job=False) is (Again.SAME_ID if call else Again.NO)
    assert errors.again(Problem(200, reason, "message"), job=True) is (Again.NEW_ID if job else Again.NO)
    retryable = isinstance(errors.translate(problem, TARGET), RetryableError)
    assert retryable == (call or job)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_without_reasons_is_judged_by_its_status(status: int) -> None:
    problem = errors.from_response(status, "<html>a proxy</html>", {"Retry-After": "7"})
    assert errors.again(problem, job=False) is Again.SAME_ID
    said = errors.translate(problem, TARGET)
    assert isinstance(said, RetryableError)
    assert said.after == 7


@pytest.mark.parametrize(
    "message",
    [
        "Quota exceeded: Your table exceeded quota for imports or query appends per table.",
        "Quota exceeded: Your project exceeded quota for imports per project.",
        "Quota exceeded: Your table exceeded quota for Number of partition modifications to a column partitioned table",
        "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsagePerUserPerDay",
        "Quota exceeded: Your project exceeded quota for free query bytes scanned.",
    ],
)
def test_a_quota_that_fills_up_over_hours_is_not_waited_for(message: str) -> None:
    problem = Problem(403, "quotaExceeded", message)
    assert errors.again(problem, job=False) is Again.NO
    assert errors.again(problem, job=True) is Again.NO
    said = errors.translate(problem, TARGET)
    assert said.code == "quota_exceeded"
    assert "project-123.analytics.events" in said.message


def test_a_short_quota_is_waited_for() -> None:
    problem = Problem(403, "quotaExceeded", "Quota exceeded: concurrent api requests per user per method")
    assert errors.again(problem, job=False) is Again.SAME_ID
    assert errors.again(problem, job=True) is Again.NEW_ID


def test_a_statement_that_lost_against_another_is_run_again() -> None:
    problem = Problem(200, "invalidQuery", "Could not serialize access to table p:d.t due to concurrent update")
    assert errors.again(problem, job=True) is Again.NEW_ID
    assert isinstance(errors.translate(problem, TARGET), RetryableError)


@pytest.mark.parametrize("reason", ["invalidQuery", "badRequest"])
def test_rows_in_the_streaming_buffer_are_a_matter_of_time(reason: str) -> None:
    message = "UPDATE or DELETE statement over table p.d.t would affect rows in the streaming buffer"
    problem = Problem(400, reason, message)
    assert errors.again(problem, job=True) is Again.NEW_ID
    assert errors.again(problem, job=False) is Again.SAME_ID
    said = errors.translate(problem, TARGET)
    assert isinstance(said, RetryableError)
    assert (said.code, said.after) == ("streaming_buffer", 60)


def test_braces_in_what_google_says_are_only_text() -> None:
    assert "{0} {project}" in errors.translate(Problem(400, "invalid", "Bad {0} {project}"), TARGET).message


def test_who_is_to_be_allowed_to_act_as_whom_is_named() -> None:
    account = "exporter@data-project.iam.gserviceaccount.com"
    problem = Problem(403, "accessDenied", "Permission iam.serviceAccounts.getAccessToken denied")
    said = errors.translate(problem, Target("project-123", account=account, caller="me@other.iam.gserviceaccount.com"))
    assert f"on the service account {account}" in said.message
    assert f"add-iam-policy-binding {account} --project=data-project " in said.hint
    assert '--member="serviceAccount:me@other.iam.gserviceaccount.com"' in said.hint
    said = errors.translate(problem, Target("project-123", account="a@b.example"))
    assert '--project=project-123 --member="user:YOUR_EMAIL"' in said.hint


def test_a_job_that_somebody_cancelled_is_no_fault_of_the_configuration() -> None:
    said = errors.translate(Problem(200, "stopped", "Job execution was cancelled: User requested"), TARGET)
    assert isinstance(said, ConflictError)
    assert said.code == "job_stopped"


def test_a_rate_limit_is_not_taken_for_a_missing_permission() -> None:
    body = {"error": {"message": "Exceeded rate limits", "errors": [{"reason": "rateLimitExceeded"}]}}
    said = errors.translate(errors.from_response(403, body, {"Retry-After": "3"}), TARGET)
    assert isinstance(said, RetryableError)
    assert said.after == 3


@pytest.mark.parametrize("reason", ["blocked", "responseTooLarge", "resourcesExceeded", "billingTierLimitExceeded"])
def test_a_403_that_no_grant_would_mend_names_no_grant(reason: str) -> None:
    said = errors.translate(Problem(403, reason, "no"), TARGET)
    assert isinstance(said, ConfigError)
    assert "GRANT" not in said.hint


@pytest.mark.parametrize(
    ("message", "permission", "command"),
    [
        ("Access Denied: Table t: Permission bigquery.tables.getData denied", "bigquery.tables.getData", "GRANT"),
        ("Access Denied: Table t: no permission is named", "bigquery.tables.updateData", "GRANT"),
        ("User does not have bigquery.jobs.create permission", "bigquery.jobs.create", "roles/bigquery.jobUser"),
        ("User does not have bigquery.jobs.get permission for job j", "bigquery.jobs.get", "resourceViewer"),
        ("Permission iam.serviceAccounts.getAccessToken denied", "iam.serviceAccounts.getAccessToken", "TokenCreator"),
    ],
)
def test_a_missing_permission_is_named_with_the_command_that_grants_it(
    message: str, permission: str, command: str
) -> None:
    said = errors.translate(Problem(403, "accessDenied", message), TARGET)
    assert isinstance(said, AccessError)
    assert permission in said.message
    assert command in said.hint
    assert message in said.raw
    assert ("streaming export" in said.message) == (permission == "bigquery.jobs.create")
    if permission.startswith("bigquery."):
        assert "serviceAccount:loader@project-123.example" in said.hint


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Not found: Table project-123:analytics.events", "table_not_found"),
        ("Not found: Dataset project-123:analytics", "dataset_not_found"),
        ("Not found: Project project-123", "project_not_found"),
        ("Not found: Dataset project-123:analytics was not found in location US", "wrong_location"),
        ("Not found: Table project-123:analytics.events was not found in location US", "table_not_found"),
        ("something else", "table_not_found"),
    ],
)
def test_what_is_not_found_is_named_rightly_whatever_its_id_contains(message: str, code: str) -> None:
    said = errors.translate(Problem(404, "notFound", message), TARGET)
    assert isinstance(said, NotFoundError)
    assert said.code == code


@pytest.mark.parametrize(
    ("problem", "code", "kind"),
    [
        (Problem(401, "authError", "no"), "credential_refused", AccessError),
        (Problem(403, "billingNotEnabled", "no"), "billing_disabled", AccessError),
        (Problem(403, "accessNotConfigured", "BigQuery API has not been used"), "api_disabled", AccessError),
        (Problem(400, "invalidQuery", "Syntax error"), "query_invalid", ConfigError),
        (Problem(400, "invalid", "Bad row"), "bigquery_invalid", ConfigError),
        (Problem(400, "bytesBilledLimitExceeded", "limit"), "bytes_billed_limit", ConfigError),
        (Problem(403, "bytesBilledLimitExceeded", "limit"), "bytes_billed_limit", ConfigError),
        (Problem(403, "quotaExceeded", "per day"), "quota_exceeded", RetryableError),
        (Problem(418, "", "what"), "bigquery_refused", ConfigError),
    ],
)
def test_codes_are_stable(problem: Problem, code: str, kind: type[TidemillError]) -> None:
    said = errors.translate(problem, TARGET)
    assert isinstance(said, kind)
    assert said.code == code
    assert said.hint
    assert problem.message in said.raw


@pytest.mark.parametrize("code", ["INTERNAL", "ABORTED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN"])
def test_a_status_of_grpc_that_passes(code: str) -> None:
    problem = errors.from_grpc(code, "message")
    assert errors.again(problem, job=False) is Again.SAME_ID
    assert isinstance(errors.translate(problem, TARGET), RetryableError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("NOT_FOUND", NotFoundError), ("INVALID_ARGUMENT", ConfigError), ("UNAUTHENTICATED", AccessError)],
)
def test_a_status_of_grpc_that_stays(code: str, kind: type[TidemillError]) -> None:
    problem = errors.from_grpc(code, "message")
    assert errors.again(problem, job=False) is Again.NO
    assert type(errors.translate(problem, TARGET)) is kind


@pytest.mark.parametrize(("api", "service"), [("Storage API", "bigquerystorage"), ("API", "bigquery")])
def test_an_api_that_is_off_is_no_missing_permission(api: str, service: str) -> None:
    said = (
        f"BigQuery {api} has not been used in project 123 before or it is disabled. Enable it by visiting "
        f"https://console.developers.google.com/apis/api/{service}.googleapis.com/overview?project=123 then retry."
    )
    for problem in (errors.from_grpc("PERMISSION_DENIED", said), Problem(403, "accessNotConfigured", said)):
        error = errors.translate(problem, TARGET)
        assert error.code == "api_disabled"
        assert error.hint == f"gcloud services enable {service}.googleapis.com --project=project-123"


def test_the_storage_write_api_names_its_permission_otherwise() -> None:
    """As in googleapis/python-bigquery-storage, issue 238."""
    said = "Permission 'TABLES_UPDATE_DATA' denied on resource 'projects/p/datasets/d/tables/t' (or it may not exist)."
    error = errors.translate(errors.from_grpc("PERMISSION_DENIED", said), TARGET)
    assert isinstance(error, AccessError)
    assert "bigquery.tables.updateData is missing on the table project-123.analytics.events" in error.message
