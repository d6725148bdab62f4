"""Fault plans: what the gate shall do wrong, and when. For tests, and for the curious.

A plan is a list of faults; each says which request it waits for and what happens then::

    {"path": "/upload/.*", "method": "PUT", "nth": 3, "fault": "status", "status": 503, "reason": "backendError",
     "after_commit": true}

`path` is a regular expression on the path, `nth` counts the requests that match (from 1), `times` (default 1) is for
how many of them it holds. `fault`: ``status`` (an error answer; with `retry_after` seconds if given), ``cut`` (the
connection ends without an answer), ``job_error`` (the job that the request starts ends with `reason` and does nothing)
or ``expire_tokens`` (every token is void, then the request goes on). With `after_commit` the work is done first.
"""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any


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
    seen: int = 0
    fired: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Count the request, and tell whether the fault happens to it."""
        if (self.method and self.method != method) or not re.search(self.path, path):
            return False
        self.seen += 1
        if self.nth <= self.seen < self.nth + self.times:
            self.fired += 1
            return True
        return False


class Faults:
    """The plan that is in force."""

    def __init__(self) -> None:
        self.plan: list[Fault] = []

    def set(self, plan: list[dict[str, Any]]) -> None:
        """Put another plan in force."""
        self.plan = [Fault(**fault) for fault in plan]

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that happens to this request, if any. Every fault counts the request."""
        hit = [fault for fault in self.plan if fault.hits(method, path)]
        return hit[0] if hit else None


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
    ]
    return [{**draw.choice(kinds), "nth": draw.randint(1, 4)} for _ in range(count)]
