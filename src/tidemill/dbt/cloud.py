"""dbt Cloud: what its webhooks say of a run, and what the run did, as its Administrative API tells.

Facts: docs.getdbt.com/docs/deploy/webhooks (the header Authorization is the SHA-256 HMAC of the body, in hexadecimal;
ten seconds for an answer; five tries), and docs.getdbt.com/dbt-cloud/api-v2 (runs, their steps and artifacts).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import urllib.parse
from typing import Any

import msgspec

from tidemill.dbt import clear, runs
from tidemill.dbt.runs import DbtRun
from tidemill.errors import AccessError, ConfigError, NotFoundError, UnavailableError
from tidemill.outbound.client import Answer, Http

#: The event that is meant: a run is over, and what it wrote can be read.
COMPLETED = "job.run.completed"
_SUCCESS, _SUCCESS_CODE = "success", 10
#: An id of dbt Cloud's.
_NUMBER = re.compile("[0-9]{1,30}")
#: A job of more steps is not looked at further.
_MOST_STEPS = 100
_MOST_BYTES = 100_000_000
_KEY = "Look at its token: tidemill dbt edit NAME --cloud-host HOST --cloud-token-file FILE"


class _Data(msgspec.Struct, rename="camel"):
    run_id: str | int
    job_name: str = ""
    run_status: str = ""
    run_status_code: int | None = None


class _Kind(msgspec.Struct, rename="camel"):
    event_type: str


class Event(msgspec.Struct, rename="camel"):
    """What a webhook says of a run that is over."""

    account_id: int | str
    data: _Data
    timestamp: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether all of the run's steps did."""
        code = self.data.run_status_code
        return self.data.run_status.lower() == _SUCCESS if code is None else code == _SUCCESS_CODE

    @property
    def at(self) -> dt.datetime | None:
        """When it was sent; None if it does not say so."""
        try:
            found = dt.datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether who knows the secret has sent it."""
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.strip().lower().encode("utf-8", "replace"))


def event(body: bytes) -> Event | None:
    """What it says; None if it is another event.

    Raises
    ------
    ConfigError
        It is no event of dbt Cloud.
    """
    try:
        if msgspec.json.decode(body, type=_Kind).event_type != COMPLETED:
            return None
        found = msgspec.json.decode(body, type=Event)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError("dbt_event", f"That is no event of dbt Cloud: {error}", hint="Send what it sends.") from None
    if not all(_NUMBER.fullmatch(str(one)) for one in (found.account_id, found.data.run_id)):
        raise ConfigError("dbt_event", "The ids of account and run are no numbers.", hint="Send what dbt Cloud sends.")
    return found


class Cloud:
    """An account's dbt Cloud."""

    def __init__(self, http: Http, host: str, token: str) -> None:
        self._http, self._token = http, token
        self._base = host if "://" in host else f"https://{host}"

    def results(self, account: str, run: str) -> DbtRun | None:
        """What a run did, over all of its steps; None if it wrote no run_results.json.

        Raises
        ------
        AccessError
            The token is refused.
        NotFoundError
            There is no such run, or the token may not see it.
        ConfigError
            What comes is no such thing.
        UnavailableError
            dbt Cloud does not answer now.
        """
        path = f"/api/v2/accounts/{account}/runs/{run}/"
        answer = self._asked(f'{path}?include_related=["run_steps"]')
        if answer is None:
            raise NotFoundError("dbt_cloud_run", f"dbt Cloud has no run {run} for this token.", hint=_KEY)
        found = []
        for step in _steps(answer.json()):
            written = self._asked(f"{path}artifacts/run_results.json?step={step}")
            if written is not None:
                found.append(runs.read(written.body, what=f"run_results.json of step {step}"))
        return runs.joined(found) if found else None

    def _asked(self, path: str) -> Answer | None:
        """A good answer; None if there is no such thing."""
        parts = urllib.parse.urlsplit(self._base)
        if parts.scheme == "http":
            try:
                address = self._http.guard.addresses(parts.hostname or "", parts.port or 80)[0]
            except OSError as error:
                said = f"{parts.hostname} cannot be found: {error}."
                raise UnavailableError("dbt_cloud", said, hint="Is it the right host?") from None
            clear.assert_not(parts.scheme, address, self._token)
        headers = {"Authorization": f"Token {self._token}", "Accept": "application/json"}
        url = self._base + urllib.parse.quote(path, safe="/?=&")
        answer = self._http.request("GET", url, headers=headers, most_bytes=_MOST_BYTES)
        if answer.good:
            return answer
        said = f"{answer.status}: {answer.said([self._token])}"
        if answer.status in {401, 403}:
            raise AccessError("dbt_cloud", f"dbt Cloud refuses the token ({said}).", hint=_KEY)
        if answer.status in {404, 410}:
            return None
        if answer.status == 429 or answer.status >= 500:
            raise UnavailableError("dbt_cloud", f"dbt Cloud cannot answer now ({said}).", hint="Try again later.")
        raise ConfigError("dbt_cloud", f"dbt Cloud does not understand what it is asked ({said}).", hint=_KEY)


def _steps(answer: Any) -> list[int]:
    """Numbers of a run's steps, the first one first."""
    try:
        found = sorted({int(step["index"]) for step in answer["data"]["run_steps"]})
    except (TypeError, KeyError, ValueError):
        raise ConfigError("dbt_cloud", "dbt Cloud does not say which steps the run had.", hint=_KEY) from None
    return found[:_MOST_STEPS]
