"""Calls to Google, with retries as the table in errors.py says and every failure as one of our errors."""

from __future__ import annotations

import dataclasses
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.resumable_media import common

from tidemill import logbook, tracing
from tidemill.bigquery import errors
from tidemill.bigquery.errors import Again, Problem, Target
from tidemill.errors import AccessError, Cancelled, RetryableError, TidemillError, UnavailableError

Result = TypeVar("Result")
FIRST_WAIT, LONGEST_WAIT = 0.5, 32.0  # seconds
AWAKE = 0.5  # how long, at most, nobody looks whether to stop


def never() -> bool:
    """Nobody cancels."""
    return False


#: What the libraries say if nothing listens at a port of this machine.
_STOPPED = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]).*Connection refused", re.DOTALL)
#: How long the embedded BigQuery may take to come back.
_RESTARTS_WITHIN = 30.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """How long to try, and how to wait. `sleep` waits that many seconds, or less if it is woken.

    The first try is always made: to be asked to stop ends waiting, and with it a call that would be tried again.
    """

    deadline: float = 600.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = threading.Event().wait
    jitter: Callable[[float, float], float] = random.uniform

    def call(self, target: Target, function: Callable[[], Result], cancelled: Callable[[], bool] = never) -> Result:
        """`function()`, tried again while BigQuery says that this helps.

        Raises
        ------
        TidemillError
            Whatever it came to; UnavailableError once the deadline is over.
        """
        waits = self.waits(cancelled)
        while True:
            try:
                return function()
            except Exception as error:  # noqa: BLE001 - `understand` raises again what is not from Google
                problem = understand(error, target)
                if errors.again(problem, job=False) is Again.NO:
                    raise errors.translate(problem, target) from None
                waits(errors.translate(problem, target))

    def waits(self, cancelled: Callable[[], bool] = never) -> Callable[[TidemillError], None]:
        """A function that waits, longer each time, until it is time for another try.

        It raises UnavailableError, with the cause, when the deadline is over, and Cancelled when asked to stop.
        """
        began = self.clock()
        end = began + self.deadline
        longest, tries = FIRST_WAIT, 0

        def wait(cause: TidemillError) -> None:
            nonlocal longest, tries
            pause = self.jitter(0, longest)
            longest = min(longest * 2, LONGEST_WAIT)
            if isinstance(cause, RetryableError) and cause.after is not None:
                pause = max(pause, cause.after)
            until = self.clock() + pause
            stopped = cause.code == errors.LOCAL_STOPPED
            if until > (min(end, began + _RESTARTS_WITHIN) if stopped else end):
                later = "run it again later, and it goes on where it stopped."
                raise UnavailableError(
                    cause.code,
                    f"{cause.message} (tried for {self.clock() - began:.0f} s)",
                    hint=cause.hint if stopped else f"Nothing is lost: {later}",
                    raw=cause.raw,
                ) from cause
            tries += 1
            _tell(cause, tries, round(pause, 1))
            if self.pause(until - self.clock(), cancelled):
                raise Cancelled

        return wait

    def pause(self, seconds: float, cancelled: Callable[[], bool]) -> bool:
        """Wait that long. Tells at once when asked to stop."""
        until = self.clock() + seconds
        while not (stop := cancelled()) and (left := until - self.clock()) > 0:
            self.sleep(min(left, AWAKE))
        return stop


def _tell(cause: TidemillError, tries: int, seconds: float) -> None:
    """That BigQuery is asked again, after so many seconds."""
    logbook.warning(f"It is tried again. {logbook.said(cause)}", **logbook.about(cause), tries=tries, wait=seconds)
    tracing.event("again", code=cause.code, tries=tries, wait=seconds)


def understand(error: Exception, target: Target) -> Problem:
    """The problem in whatever Google's libraries raised. What is none of theirs is raised again."""
    match error:
        case api.GoogleAPICallError():
            response = getattr(error, "response", None)
            details = error.errors[0] if error.errors and isinstance(error.errors[0], dict) else {}
            after = response.headers.get("Retry-After", "") if response is not None else ""
            reason = str(details.get("reason") or "")
            message = str(details.get("message") or error.message or error)
            return Problem(int(error.code or 0), reason, message, float(after) if after.isdigit() else None)
        case grpc.RpcError() if _STOPPED.search(str(error.details())):
            return Problem(503, errors.LOCAL_STOPPED, str(error.details()))
        case grpc.RpcError():
            return errors.from_grpc(error.code().name, str(error.details() or error.code().name))
        case common.InvalidResponse():
            return errors.from_response(error.response.status_code, json_of(error.response), error.response.headers)
        case auth.RefreshError() if not error.retryable:
            raise _refused(error, target) from None
        case auth.GoogleAuthError() | requests.RequestException() | ConnectionError() if _STOPPED.search(str(error)):
            return Problem(503, errors.LOCAL_STOPPED, str(error))
        case auth.GoogleAuthError() | requests.RequestException() | ConnectionError() | common.DataCorruption():
            return Problem(503, "", f"The connection failed: {type(error).__name__}")
        case api.RetryError():
            return Problem(503, "", str(error))
    raise error


def json_of(response: requests.Response) -> object:
    """The body as JSON; None if it is none, such as the page of a proxy."""
    try:
        return response.json()
    except ValueError:
        return None


def _refused(error: auth.RefreshError, target: Target) -> AccessError:
    said = str(error.args[0]) if error.args else ""
    if "generateAccessToken" in said or "impersonat" in said.lower() or "getAccessToken" in said:
        problem = Problem(403, "accessDenied", "iam.serviceAccounts.getAccessToken is missing")
        return errors.denied(problem, target)
    return AccessError(
        "credential_refused",
        f"Google does not accept the credential of {target.account or 'this machine'}.",
        hint=(
            "The key may be deleted, disabled or expired, or this machine's clock may be wrong. "
            "Make a new key: gcloud iam service-accounts keys create key.json --iam-account="
            f"{target.account or 'ACCOUNT_EMAIL'}"
        ),
        raw=said[:500],
    )
