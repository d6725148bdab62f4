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
    "jobBackendError": Again.SAME_ID,
    "jobInternalError": Again.SAME_ID,
    "jobRateLimitExceeded": Again.SAME_ID,
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
#: What a status of gRPC is by REST (google.rpc.Code). The Storage Write API says of ABORTED that it can be retried.
GRPC = {
    "CANCELLED": (503, "backendError"),
    "UNKNOWN": (500, "internalError"),
    "INVALID_ARGUMENT": (400, "invalid"),
    "DEADLINE_EXCEEDED": (504, "backendError"),
    "NOT_FOUND": (404, "notFound"),
    "ALREADY_EXISTS": (409, "duplicate"),
    "PERMISSION_DENIED": (403, "accessDenied"),
    "UNAUTHENTICATED": (401, "authError"),
    "RESOURCE_EXHAUSTED": (429, "rateLimitExceeded"),
    "FAILED_PRECONDITION": (400, "invalid"),
    "ABORTED": (503, "backendError"),
    "OUT_OF_RANGE": (400, "invalid"),
    "UNIMPLEMENTED": (501, "notImplemented"),
    "INTERNAL": (500, "internalError"),
    "UNAVAILABLE": (503, "backendError"),
    "DATA_LOSS": (500, "internalError"),
}
#: A reason of our own: nothing listens at an address of this machine.
LOCAL_STOPPED = "local_stopped"
#: Reasons that come with status 403 and that no permission would change.
_NO_MATTER_OF_ACCESS = {"blocked", "responseTooLarge", "resourcesExceeded", "billingTierLimitExceeded", "timeout"}
_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
_DAILY = re.compile(
    r"per ?day|daily|imports per|appends per table|(table|partition) modifications|bytes scanned", re.IGNORECASE
)
#: A statement that lost against another one on the same table. It comes with the reason `invalidQuery`.
_LOST = re.compile(r"could not serialize access|due to concurrent update", re.IGNORECASE)
#: DML on rows that were streamed a moment ago: they can be changed once BigQuery has put them into storage, within
#: about 30 minutes ("Data manipulation language", limitations). The reason is `invalidQuery` or `badRequest`.
_STREAMED = re.compile(r"streaming buffer", re.IGNORECASE)
_STREAMED_WAIT = 60.0
_MISSING = re.compile(r"Not found: (Project|Dataset|Table|Job|Routine)\b")
#: BigQuery says so of a table that is in no location, too ("Error messages": notFound).
_NAMED_TABLE = re.compile(r"Not found: Table (\S+) was not found in location")
#: An API that is off. By gRPC the code is that of a missing permission; the words are as in r-dbi/bigrquery, issue 265.
_SERVICE_OFF = re.compile(r"API has not been used in project .* before or it is disabled")
_SERVICE = re.compile(r"\b[a-z-]+\.googleapis\.com(?=/overview)")
_PERMISSION = re.compile(r"\b(bigquery\.[a-zA-Z]+\.[a-zA-Z]+|iam\.[a-zA-Z]+\.[a-zA-Z]+)\b")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A Google error, taken apart."""

    status: int
    reason: str
    message: str
    retry_after: float | None = None

    @property
    def raw(self) -> str:
        """All of it, for `--verbose`."""
        return f"{self.status} {self.reason}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Target:
    """What a call was about: for the message and for the command in the hint.

    `permission`: the one it needs. `caller`: the account that signs in, where that acts as `account`. `use`: what for.
    """

    project: str
    dataset: str | None = None
    table: str | None = None
    account: str | None = None
    permission: str = ""
    caller: str | None = None
    use: grants.Purpose = grants.Use.BATCH

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


def from_grpc(code: str, message: str) -> Problem:
    """The problem in a status of gRPC. `code`: its name, such as ``UNAVAILABLE``."""
    status, reason = GRPC.get(code, (500, ""))
    if code == "PERMISSION_DENIED" and _SERVICE_OFF.search(message):
        reason = "accessNotConfigured"
    return Problem(status, reason, message)


def from_job(result: dict[str, Any]) -> Problem:
    """The problem in a job's `errorResult`."""
    return Problem(200, str(result.get("reason") or ""), str(result.get("message") or "The job failed."))


def again(problem: Problem, *, job: bool) -> Again:
    """Whether to try once more, and how."""
    if problem.reason == "quotaExceeded":
        # Daily quotas fill up over hours: waiting in a loop would only hold everything up.
        return Again.NO if _DAILY.search(problem.message) else (Again.NEW_ID if job else Again.SAME_ID)
    if _STREAMED.search(problem.message) or (job and _LOST.search(problem.message)):
        return Again.NEW_ID if job else Again.SAME_ID
    known = (JOB if job else CALL).get(problem.reason)
    if known is not None:
        return known
    return Again.SAME_ID if not job and problem.status in _TRANSIENT_STATUS else Again.NO


@dataclasses.dataclass(frozen=True)
class _Told:
    """How a user is told: `{project}`, `{resource}`, `{reason}` and `{said}` (Google's own words) are filled in."""

    kind: type[TidemillError]
    code: str
    message: str
    hint: str


#: By what `_case` says of the problem.
_TOLD = {
    "credential": _Told(
        AccessError,
        "credential_refused",
        "Google does not accept the credential.",
        "The key may be deleted or disabled. Make a new one: tidemill connection edit NAME --key FILE",
    ),
    "billingNotEnabled": _Told(
        AccessError, "billing_disabled", "Billing is not enabled for the project {project}.", "Enable it."
    ),
    "accessNotConfigured": _Told(
        AccessError,
        "api_disabled",
        "The API {service} is not enabled in the project {project}.",
        "gcloud services enable {service} --project={project}",
    ),
    "quotaExceeded": _Told(
        RetryableError,
        "quota_exceeded",
        "A quota of BigQuery is used up for the {resource}: {said}",
        "It refills over the day; nothing is lost. Longer intervals need fewer table changes.",
    ),
    "streamed": _Told(
        RetryableError,
        "streaming_buffer",
        "The {resource} holds rows that were streamed a moment ago, and cannot be changed until BigQuery has stored "
        "them: {said}",
        "That takes half an hour at most. Run it again then; or stop streaming into that table.",
    ),
    "local_stopped": _Told(
        RetryableError,
        "local_stopped",
        "The embedded BigQuery does not answer: it is not running, or at another port than when the key was made.",
        "Start it: tidemill local start. It keeps its port, so the key stays good; "
        "if the port was taken: tidemill local key.",
    ),
    "transient": _Told(
        RetryableError,
        "bigquery_unavailable",
        "BigQuery did not do it for now ({reason}): {said}",
        "Try again in a while.",
    ),
    "stopped": _Told(
        ConflictError,
        "job_stopped",
        "Somebody cancelled the BigQuery job on the {resource}: {said}",
        "Nothing of it landed. Run it again, and it goes on where it stopped.",
    ),
    "bytesBilledLimitExceeded": _Told(
        ConfigError,
        "bytes_billed_limit",
        "The statement on the {resource} would be billed for more than its limit allows, so it was not run: {said}",
        "Nothing was billed. Raise the limit: tidemill export edit NAME --max-bytes-billed 20GB (or none)",
    ),
    "invalidQuery": _Told(
        ConfigError,
        "query_invalid",
        "BigQuery refuses it for the {resource}: {said}",
        "Correct what it names and try again.",
    ),
    "invalid": _Told(
        ConfigError,
        "bigquery_invalid",
        "BigQuery refuses it for the {resource}: {said}",
        "Correct what it names and try again.",
    ),
}
_REFUSED = dataclasses.replace(_TOLD["invalid"], code="bigquery_refused")


def _case(problem: Problem) -> str:
    """What kind of problem it is: a name in `_TOLD`, `denied` or `not found`."""
    if problem.status == 401:
        return "credential"
    if problem.reason in {"billingNotEnabled", "quotaExceeded", "bytesBilledLimitExceeded"}:
        return problem.reason
    if problem.reason == LOCAL_STOPPED:
        return problem.reason
    if _STREAMED.search(problem.message):
        return "streamed"
    if any(again(problem, job=job) is not Again.NO for job in (False, True)):
        return "transient"
    if problem.reason == "accessNotConfigured":
        return problem.reason
    if problem.reason == "accessDenied" or (problem.status == 403 and problem.reason not in _NO_MATTER_OF_ACCESS):
        return "denied"
    if problem.status == 404 or problem.reason == "notFound":
        return "not found"
    return problem.reason


def translate(problem: Problem, target: Target) -> TidemillError:
    """Our error for it."""
    case = _case(problem)
    if case == "denied":
        return denied(problem, target)
    if case == "not found":
        return _not_found(problem, target)
    told = _TOLD.get(case, _REFUSED)
    service = _SERVICE.search(problem.message)
    words = {
        "project": target.project,
        "resource": target.resource,
        "reason": problem.reason or problem.status,
        "said": problem.message,
        "service": service[0] if service else "bigquery.googleapis.com",
    }
    error = told.kind(told.code, told.message.format(**words), hint=told.hint.format(**words), raw=problem.raw)
    if isinstance(error, RetryableError):
        error.after = _STREAMED_WAIT if case == "streamed" else problem.retry_after
    return error


def denied(problem: Problem, target: Target) -> AccessError:
    """The missing permission by its name, and the command that grants it."""
    named = _PERMISSION.search(problem.message)
    permission = named[1] if named else target.permission
    raw = problem.raw
    if not permission:
        return AccessError("access_denied", f"Access to the {target.resource} is denied.", hint="Grant it.", raw=raw)
    more = ""
    if permission == "bigquery.jobs.create" and isinstance(target.use, grants.Use):
        more = " Batch exports need it. A streaming export does without it."
    of_account = permission.startswith("iam.serviceAccounts.")
    resource = f"service account {target.account}" if of_account else target.resource
    if permission == "bigquery.jobs.create":
        resource = f"project {target.project}"
    return AccessError(
        "permission_missing",
        f"The permission {permission} is missing on the {resource}.{more}",
        hint=grants.hint(permission, target.project, target.dataset, target.account, target.caller, target.use),
        raw=raw,
    )


def missing(message: str) -> str:
    """What is not there, as BigQuery says it: project, dataset, table, job or routine; empty if it does not say."""
    found = _MISSING.search(message)
    return found[1].lower() if found else ""


def _not_found(problem: Problem, target: Target) -> NotFoundError:
    raw = problem.raw
    what = missing(problem.message) or target.resource.split(" ")[0]
    if what == "table" and (named := _NAMED_TABLE.search(problem.message)):
        return NotFoundError(
            "table_not_found",
            f"There is no table {named[1].replace(':', '.')}, or the account may not see it.",
            hint="Check the name.",
            raw=raw,
        )
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
