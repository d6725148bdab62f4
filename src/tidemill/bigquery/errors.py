"""The one translation of Google's errors into ours, by reason.

The table is BigQuery's "Error messages" page: what to retry, with the same job id or a new one, and what never.
`errors` may be absent from an answer (a proxy's 5xx): then the status decides.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any

from tidemill.bigquery import grants
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, RetryableError, TidemillError


class Again(enum.Enum):
    """Whether a call, or a job, is worth another try."""

    NO = "no"
    SAME_ID = "same id"  # the call may or may not have been done: the job id makes the second try harmless
    NEW_ID = "new id"  # the job is over and failed: only a new job can do it


#: Reasons of a call's error, and of a job's. `quotaExceeded` is decided by its message.
CALL = {
    "backendError": Again.SAME_ID,
    "internalError": Again.SAME_ID,
    "badGateway": Again.SAME_ID,
    "rateLimitExceeded": Again.SAME_ID,
    "tableUnavailable": Again.SAME_ID,
}
JOB = {
    "backendError": Again.NEW_ID,
    "internalError": Again.NEW_ID,
    "rateLimitExceeded": Again.NEW_ID,
    "jobBackendError": Again.NEW_ID,
    "jobInternalError": Again.NEW_ID,
    "jobRateLimitExceeded": Again.NEW_ID,
    "tableUnavailable": Again.NEW_ID,
}
#: Reasons that come with status 403 and that no permission would change.
_NO_MATTER_OF_ACCESS = {"blocked", "responseTooLarge", "resourcesExceeded", "billingTierLimitExceeded", "timeout"}
_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
_DAILY = re.compile(
    r"per ?day|daily|imports per|appends per table|(table|partition) modifications|bytes scanned", re.IGNORECASE
)
#: A statement that lost against another one on the same table. It comes with the reason `invalidQuery`.
_LOST = re.compile(r"could not serialize access|due to concurrent update", re.IGNORECASE)
_MISSING = re.compile(r"Not found: (Project|Dataset|Table|Job|Routine)\b")
_PERMISSION = re.compile(r"\b(bigquery\.[a-zA-Z]+\.[a-zA-Z]+|iam\.[a-zA-Z]+\.[a-zA-Z]+)\b")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A Google error, taken apart."""

    status: int
    reason: str
    message: str
    retry_after: float | None = None


@dataclasses.dataclass(frozen=True)
class Target:
    """What a call was about: for the message and for the command in the hint. `permission`: the one it needs."""

    project: str
    dataset: str | None = None
    table: str | None = None
    account: str | None = None
    permission: str = ""

    @property
    def resource(self) -> str:
        """The most exact name there is."""
        if self.table:
            return f"table {self.project}.{self.dataset}.{self.table}"
        return f"dataset {self.project}.{self.dataset}" if self.dataset else f"project {self.project}"


def from_response(status: int, body: Any, headers: Any = None) -> Problem:
    """The problem in an HTTP answer. `body`: parsed JSON, or anything else if it was none."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("errors") if isinstance(error, dict) else None
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    message = (error.get("message") if isinstance(error, dict) else None) or f"HTTP {status}"
    after = (headers or {}).get("Retry-After", "")
    return Problem(status, str(first.get("reason") or ""), str(message), float(after) if after.isdigit() else None)


def from_job(result: dict[str, Any]) -> Problem:
    """The problem in a job's `errorResult`."""
    return Problem(200, str(result.get("reason") or ""), str(result.get("message") or "The job failed."))


def again(problem: Problem, *, job: bool) -> Again:
    """Whether to try once more, and how."""
    if problem.reason == "quotaExceeded":
        # Daily quotas fill up over hours: waiting in a loop would only hold everything up.
        return Again.NO if _DAILY.search(problem.message) else (Again.NEW_ID if job else Again.SAME_ID)
    if job and _LOST.search(problem.message):
        return Again.NEW_ID
    known = (JOB if job else CALL).get(problem.reason)
    if known is not None:
        return known
    return Again.SAME_ID if not job and problem.status in _TRANSIENT_STATUS else Again.NO


def translate(problem: Problem, target: Target) -> TidemillError:
    """Our error for it."""
    raw = f"{problem.status} {problem.reason}: {problem.message}".strip()
    if problem.status == 401:
        return AccessError(
            "credential_refused",
            "Google does not accept the credential.",
            hint="The key may be deleted or disabled. Make a new one: tidemill connection edit NAME --key FILE",
            raw=raw,
        )
    if problem.reason == "billingNotEnabled":
        return AccessError(
            "billing_disabled", f"Billing is not enabled for the project {target.project}.", hint="Enable it.", raw=raw
        )
    if problem.reason == "quotaExceeded":
        return RetryableError(
            "quota_exceeded",
            f"A quota of BigQuery is used up for the {target.resource}: {problem.message}",
            hint="It refills over the day; nothing is lost. Longer intervals need fewer table changes.",
            raw=raw,
        )
    if any(again(problem, job=job) is not Again.NO for job in (False, True)):
        return RetryableError(
            "bigquery_unavailable",
            f"BigQuery did not do it for now ({problem.reason or problem.status}): {problem.message}",
            hint="Try again in a while.",
            raw=raw,
            after=problem.retry_after,
        )
    if problem.reason == "accessNotConfigured":
        return AccessError(
            "api_disabled",
            f"The BigQuery API is not enabled in the project {target.project}.",
            hint=f"gcloud services enable bigquery.googleapis.com --project={target.project}",
            raw=raw,
        )
    if problem.reason == "accessDenied" or (problem.status == 403 and problem.reason not in _NO_MATTER_OF_ACCESS):
        return denied(problem, target)
    if problem.status == 404 or problem.reason == "notFound":
        return _not_found(problem, target, raw)
    if problem.reason == "stopped":
        return ConflictError(
            "job_stopped",
            f"Somebody cancelled the BigQuery job on the {target.resource}: {problem.message}",
            hint="Nothing of it landed. Run it again, and it goes on where it stopped.",
            raw=raw,
        )
    codes = {"invalidQuery": "query_invalid", "invalid": "bigquery_invalid"}
    return ConfigError(
        codes.get(problem.reason, "bigquery_refused"),
        f"BigQuery refuses it for the {target.resource}: {problem.message}",
        hint="Correct what it names and try again.",
        raw=raw,
    )


def denied(problem: Problem, target: Target) -> AccessError:
    """The missing permission by its name, and the command that grants it."""
    named = _PERMISSION.search(problem.message)
    permission = named[1] if named else target.permission
    raw = f"{problem.status} {problem.reason}: {problem.message}"
    if not permission:
        return AccessError("access_denied", f"Access to the {target.resource} is denied.", hint="Grant it.", raw=raw)
    more = ""
    if permission == "bigquery.jobs.create":
        more = " Batch exports need it. The streaming export, which is to come, does without it."
    return AccessError(
        "permission_missing",
        f"The permission {permission} is missing on the {target.resource}.{more}",
        hint=grants.hint(permission, target.project, target.dataset, target.account),
        raw=raw,
    )


def missing(message: str) -> str:
    """What is not there, as BigQuery says it: project, dataset, table, job or routine; empty if it does not say."""
    found = _MISSING.search(message)
    return found[1].lower() if found else ""


def _not_found(problem: Problem, target: Target, raw: str) -> NotFoundError:
    what = missing(problem.message) or target.resource.split(" ")[0]
    if "not found in location" in problem.message:
        return NotFoundError(
            "wrong_location",
            f"The {target.resource} is not in that location: {problem.message}",
            hint="tidemill connection test NAME reads the location anew.",
            raw=raw,
        )
    if what == "project":
        return NotFoundError(
            "project_not_found",
            f"There is no project {target.project}, or the account may not see it.",
            hint="The project id is beside the project's name in the console.",
            raw=raw,
        )
    make = f"CREATE SCHEMA `{target.project}.{target.dataset}`;" if what == "dataset" else "Check the name."
    return NotFoundError(
        f"{what}_not_found",
        f"There is no {target.resource}, or the account may not see it."
        if what != "dataset"
        else f"There is no dataset {target.project}.{target.dataset}, or the account may not see it.",
        hint=f"Create it in BigQuery: {make} or with --create-dataset." if what == "dataset" else make,
        raw=raw,
    )
