"""Requests to Salesforce: signing in, and what its errors mean.

Sources: research on reverse ETL, section 3.3 (Salesforce); the vendor's pages on client credentials and on Bulk API
2.0, for what is asked of each job.
"""

from __future__ import annotations

import contextlib
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import answers, lookups
from tidemill.destinations.port import Outlet
from tidemill.errors import AccessError, ConfigError, RetryableError, UnavailableError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.salesforce.config import SalesforceSettings

#: The organisation's calls or batches of a day are used up: it is not known when there are more.
_USED_UP = frozenset({"REQUEST_LIMIT_EXCEEDED", "EXCEEDEDQUOTA", "API_CURRENTLY_DISABLED"})
_USED_UP_SECONDS = 3_600.0
#: Values in one look-up, and characters of its statement: it goes into an address.
_LOOKED_UP, _STATEMENT, _AROUND = 200, 8_000, 7
_HINT = "The app's user needs the permission API Enabled, and to edit that object and its fields."


class SalesforceClient:
    """See port.Client. `begun`: jobs whose data are there, and whose end was not seen, by the ids of their rows."""

    def __init__(self, settings: SalesforceSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self.sleep: Callable[[float], None] = outlet.sleep
        self.begun: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()
        self._unique: dict[tuple[str, str], bool] = {}
        self._token: str | None = settings.access_token.get_secret_value() if settings.access_token else None

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: SalesforceSettings, outlet: Outlet) -> Iterator[SalesforceClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask what the organisation's limits are."""
        left = self.told("GET", "/limits").get("DailyApiRequests", {}).get("Remaining")
        more = f"; {left:,} calls are left today" if isinstance(left, int) else ""
        return f"{self._settings.account} takes the credential{more}."

    def asked(self, method: str, path: str, body: bytes | None = None, content: str = "application/json") -> Answer:
        """A request below the version's path, signed in."""
        return self._checked(self._answered(method, path, body, content))

    def told(self, method: str, path: str) -> dict[str, Any]:
        """The same, for what is answered with an object: that."""
        return answers.told(self.asked(method, path), "Salesforce", self._secrets())

    def _answered(self, method: str, path: str, body: bytes | None, content: str) -> Answer:
        """A session that has ended is begun again, once."""
        answer = self._once(method, path, body, content)
        if answer.status == 401 and self._settings.access_token is None:
            with self._lock:
                self._token = None
            answer = self._once(method, path, body, content)
        return answer

    def ids(self, kind: str, name: str, values: Sequence[str]) -> dict[str, str]:
        """Salesforce's ids of records by a field, whose values are in small letters; those that there are."""
        found: dict[str, str] = {}
        for some in lookups.parts(values, most=_LOOKED_UP, characters=_STATEMENT, around=_AROUND):
            listed = ",".join(_literal(value) for value in some)
            query = urllib.parse.urlencode({"q": f"SELECT Id,{name} FROM {kind} WHERE {name} IN ({listed})"})
            path: str | None = f"/query?{query}"
            while path:
                said = self.told("GET", path)
                found |= {str(one[name]).casefold(): str(one["Id"]) for one in said["records"]}
                path = str(said["nextRecordsUrl"]).partition("/query")[2] if not said.get("done", True) else None
                path = path and f"/query{path}"
        return found

    def unique(self, kind: str, name: str) -> bool:
        """Whether no two records have the same value in a field."""
        known = self._unique.get((kind, name))
        if known is None:
            said = self.told("GET", f"/sobjects/{kind}/describe")
            of_field = [one for one in said.get("fields", ()) if str(one.get("name")).casefold() == name.casefold()]
            known = self._unique[kind, name] = bool(of_field) and bool(of_field[0].get("unique"))
        return known

    def _once(self, method: str, path: str, body: bytes | None, content: str) -> Answer:
        settings = self._settings
        headers = {"Authorization": f"Bearer {self._signed_in()}", "Content-Type": content, "Accept": "*/*"}
        url = f"{settings.base}/services/data/v{settings.version}{path}"
        return self._http.request(method, url, headers=headers, body=body)

    def _signed_in(self) -> str:
        with self._lock:
            if self._token is None:
                self._token = self._sign_in()
            return self._token

    def _sign_in(self) -> str:
        settings = self._settings
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        asked = {"grant_type": "client_credentials", "client_id": settings.client_id or "", "client_secret": secret}
        answer = self._http.request(
            "POST",
            f"{settings.base}/services/oauth2/token",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urllib.parse.urlencode(asked).encode(),
            signs_in=True,
        )
        if answer.status == 400:
            raise AccessError(
                "destination_denied",
                f"Salesforce does not let the app in: {answer.said(settings.secrets)}.",
                hint="Look at client_id and client_secret, and whether the app allows the client credentials flow.",
            )
        answers.checked(answer, "Salesforce", settings.secrets, hint=_HINT)
        token = answers.told(answer, "Salesforce", settings.secrets).get("access_token")
        if not isinstance(token, str):
            raise UnavailableError("destination_failed", "Salesforce gives no token.", hint="It is tried again.")
        return token

    def _checked(self, answer: Answer) -> Answer:
        codes = _codes(answer)
        if not answer.good and codes & _USED_UP:
            raise RetryableError(
                "destination_busy",
                f"Salesforce's limit is reached: {answer.said(self._secrets())}.",
                hint="The rows come with a later run. Setup, Company Information shows what is used.",
                after=_USED_UP_SECONDS,
            )
        return answers.checked(answer, "Salesforce", self._secrets(), hint=_HINT)

    def _secrets(self) -> tuple[str, ...]:
        return (*self._settings.secrets, *([self._token] if self._token else []))

    def create(self, kind: str, operation: str, external: str | None) -> str:
        """Make a job. Gives its id.

        Raises
        ------
        ConfigError
            There is no such object, field or operation: no row of its kind can be delivered.
        """
        told = {"object": kind, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if external is not None:
            told["externalIdFieldName"] = external
        answer = self._answered("POST", "/jobs/ingest", msgspec.json.encode(told), "application/json")
        if answer.status == 400 and not _codes(answer) & _USED_UP:
            raise ConfigError(
                "salesforce_job",
                f"Salesforce makes no job for {operation} of {kind}: {answer.said(self._secrets())}.",
                hint="Look at the object and at the external id field of the mapping: they are API names.",
            )
        said = answers.told(self._checked(answer), "Salesforce", self._secrets())
        if not said.get("id"):
            raise UnavailableError(
                "salesforce_answer", "Salesforce does not say which job it has made.", hint="It is tried again."
            )
        return str(said["id"])


def _codes(answer: Answer) -> frozenset[str]:
    said = answer.json() if not answer.good else None
    return frozenset(
        str(one.get("errorCode")).upper() for one in (said if isinstance(said, list) else ()) if isinstance(one, dict)
    )


def _literal(value: str) -> str:
    """A text in SOQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") + "'"
