"""Fault plans: what the gate shall do wrong, and when. For tests, and for the curious.

A plan is a list of faults; each says which request it waits for and what happens then::

    {"path": "/upload/.*", "method": "PUT", "nth": 3, "fault": "status", "status": 503, "reason": "backendError",
     "after_commit": true}

`path` is a regular expression on the path, `nth` counts the requests that match (from 1), `times` (default 1) is for
how many of them it holds. `fault`: ``status`` (an error answer; with `retry_after` seconds if given), ``cut`` (the
connection ends without an answer; with `after_bytes`, once so much of the request's body has come), ``job_error`` (the
job that the request starts, or the upload leads to, ends with `reason` and does nothing), ``delay_response`` (the work
is done, the answer comes `seconds` later), ``slow_job`` (the query job that the request starts is RUNNING, and its work
begins `seconds` later, or once another plan is in force) or ``expire_tokens`` (every token is void, then the request
goes on). With `after_commit` the work is done before ``status`` or ``cut``.

Calls of the Storage Write API have the method ``GRPC`` and paths such as
``/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows``, of which each message is a request. There, ``status``
ends the call with `grpc_code` (without it, the code that goes with `status`), or with `in_response` is the `error` of
an answer to the message; and ``expire_stream`` forgets the write stream that the request names, then it goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
from typing import Any

KINDS = ("status", "cut", "job_error", "delay_response", "slow_job", "expire_tokens", "expire_stream")
#: What happens to the job that a request starts.
OF_JOBS = ("job_error", "slow_job")
#: The method of a call that comes by gRPC.
GRPC = "GRPC"
#: The codes that a call may end with ("Status codes" of gRPC).
CODES = (
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


@dataclasses.dataclass
class Fault:
    """One fault; see the module."""

    path: str
    fault: str
    method: str = ""
    nth: int = 1
    times: int = 1
    status: int = 503
    reason: str = "backendError"
    message: str = "A fault that was asked for."
    retry_after: int | None = None
    after_commit: bool = False
    after_bytes: int | None = None
    seconds: float = 1.0
    grpc_code: str = ""
    in_response: bool = False
    seen: int = 0
    fired: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Count the request, and tell whether the fault happens to it."""
        if (self.method and self.method != method) or not re.search(self.path, path):
            return False
        if self.fault in OF_JOBS and not starts_job(method, path):
            return False
        if self.fault == "expire_stream" and method != GRPC:
            return False
        if self.fault == "slow_job" and "/upload/" in path:
            return False
        self.seen += 1
        if self.nth <= self.seen < self.nth + self.times:
            self.fired += 1
            return True
        return False


def starts_job(method: str, path: str) -> bool:
    """Whether the request starts a job, or is part of an upload that does."""
    return method in {"POST", "PUT"} and path.endswith(("/jobs", "/queries"))


class Faults:
    """The plan that is in force."""

    def __init__(self) -> None:
        self.plan: list[Fault] = []
        self._replaced = asyncio.Event()

    def set(self, plan: object) -> None:
        """Put another plan in force. Raises ValueError, and changes nothing, if it is no plan."""
        if not isinstance(plan, list):
            raise ValueError("a plan is a list of faults")
        self.plan = [parse(fault) for fault in plan]
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def let_go(self, fault: Fault, stopped: asyncio.Event) -> bool:
        """Wait as long as a ``slow_job`` says, or until another plan is in force. False if it was stopped before."""
        if any(fault is one for one in self.plan):
            ends = [asyncio.create_task(event.wait()) for event in (self._replaced, stopped)]
            await asyncio.wait(ends, timeout=fault.seconds, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        return not stopped.is_set()

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that happens to this request, if any. Every fault counts the request."""
        hit = [fault for fault in self.plan if fault.hits(method, path)]
        return hit[0] if hit else None


def parse(described: object) -> Fault:
    """A fault from its JSON. Raises ValueError that says what is wrong with it."""
    if not isinstance(described, dict):
        raise ValueError(f"a fault is an object, not {described!r}")
    kinds: dict[str, tuple[type, ...]] = {
        field.name: {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}.get(
            str(field.type), (int, type(None))
        )
        for field in dataclasses.fields(Fault)
    }
    for name, value in described.items():
        if name not in kinds:
            raise ValueError(f"a fault has no {name}; it may have {', '.join(kinds)}")
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and bool not in kinds[name]):
            raise ValueError(f"{name} cannot be {value!r}")
    if missing := [name for name in ("path", "fault") if name not in described]:
        raise ValueError(f"a fault needs {missing[0]}")
    if described["fault"] not in KINDS:
        raise ValueError(f"there is no fault {described['fault']!r}; there are {', '.join(KINDS)}")
    if described.get("grpc_code", "") not in {"", *CODES}:
        raise ValueError(f"there is no grpc_code {described['grpc_code']!r}; there are {', '.join(CODES)}")
    try:
        re.compile(described["path"])
    except re.error as error:
        raise ValueError(f"path is no regular expression: {error}") from None
    return Fault(**described)


def seeded(seed: int, count: int = 4) -> list[dict[str, Any]]:
    """A plan drawn from a seed: faults that a client must survive."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    upload, jobs, tables = "/upload/bigquery/", "/bigquery/v2/projects/[^/]+/jobs", "/bigquery/v2/.*/tables"
    kinds: list[dict[str, Any]] = [
        {"path": upload, "method": "PUT", "fault": "status", "status": 503, "after_commit": True},
        {"path": upload, "method": "PUT", "fault": "status", "status": 503},
        {"path": upload, "method": "PUT", "fault": "cut", "after_commit": True},
        {"path": upload, "method": "PUT", "fault": "cut"},
        {
            "path": upload,
            "method": "POST",
            "fault": "status",
            "status": 429,
            "reason": "rateLimitExceeded",
            "retry_after": 1,
        },
        {"path": upload, "method": "PUT", "fault": "job_error", "reason": "backendError"},
        {"path": upload, "method": "PUT", "fault": "job_error", "reason": "rateLimitExceeded"},
        {"path": upload, "fault": "status", "status": 403, "reason": "quotaExceeded"},
        {"path": jobs, "method": "GET", "fault": "status", "status": 500, "reason": "internalError"},
        {"path": jobs, "method": "GET", "fault": "cut"},
        {"path": tables, "fault": "status", "status": 502, "reason": "badGateway"},
        {"path": "/bigquery/v2/", "fault": "expire_tokens"},
        {"path": upload, "method": "PUT", "fault": "cut", "after_bytes": 1000},
        {"path": jobs, "method": "POST", "fault": "job_error", "reason": "backendError"},
    ]
    return [{**draw.choice(kinds), "nth": draw.randint(1, 4)} for _ in range(count)]


def seeded_stream(seed: int, count: int = 4) -> list[dict[str, Any]]:
    """A plan drawn from a seed, of the Storage Write API: faults that who sends rows with offsets must survive.

    What says of rows that they are there, if they are not, is none of them: offsets are what BigQuery promises. And
    that tokens are void stands alone, for one that is void before it was ever good means that the key is.
    """
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    service = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
    append, create, finalize = (
        f"{service}{name}" for name in ("AppendRows", "CreateWriteStream", "FinalizeWriteStream")
    )
    if not draw.randrange(6):
        return [{"path": append, "method": GRPC, "fault": "expire_tokens", "nth": draw.randint(2, 8)}]
    lost = {"fault": "status", "after_commit": True}
    said = {"fault": "status", "in_response": True}
    kinds: list[dict[str, Any]] = [
        {"path": append, **lost, "grpc_code": "UNAVAILABLE"},
        {"path": append, **lost, "grpc_code": "CANCELLED"},
        {"path": append, **lost, "grpc_code": "UNKNOWN"},
        {"path": append, "fault": "cut", "after_commit": True},
        {"path": append, "fault": "cut", "times": 2},
        {"path": append, "fault": "status", "grpc_code": "RESOURCE_EXHAUSTED"},
        {"path": append, **said, "grpc_code": "ABORTED", "times": 2},
        {"path": append, **said, "grpc_code": "INTERNAL"},
        {"path": append, **said, "grpc_code": "OUT_OF_RANGE", "after_commit": True},
        {"path": append, "fault": "delay_response", "seconds": 0.5, "times": 3},
        {"path": append, "fault": "expire_stream"},
        {"path": create, **lost, "grpc_code": "UNAVAILABLE"},
        {"path": create, "fault": "status", "grpc_code": "NOT_FOUND", "times": 2},
        {"path": finalize, **lost, "grpc_code": "UNAVAILABLE"},
        {"path": finalize, "fault": "expire_stream"},
        {"path": service, "fault": "status", "grpc_code": "UNAVAILABLE", "times": 4},
    ]
    return [{**draw.choice(kinds), "method": GRPC, "nth": draw.randint(1, 8)} for _ in range(count)]
