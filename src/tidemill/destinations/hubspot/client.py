"""Requests to HubSpot's API.

Sources: research on reverse ETL, section 3.3 (HubSpot): paths, limits, the answer to what is too much.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.errors import RetryableError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.hubspot.config import HubSpotSettings

#: How many objects are looked up by one request.
_LOOKED_UP = 100
#: Seconds until a limit that is used up is filled again, where the answer does not say.
_WINDOWS = {"DAILY": 3_600.0, "TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
#: Statuses by which HubSpot asks to come later. An account is moved for up to a day (its page on error handling).
_BUSY = {
    429: "It is tried again. Do others use up the account's calls?",
    477: "HubSpot moves the account to another place: the rows come with a later run.",
}
#: The code of what is there already.
CONFLICT = "hubspot_conflict"
_HINT = "Look at the token, and at the scopes of the private app: the objects' write scopes, and crm.lists.write."


class HubSpotClient:
    """See port.Client. `unsure`: ids of rows that a request was to create, and to which no answer came."""

    def __init__(self, settings: HubSpotSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self.unsure: set[str] = set()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: HubSpotSettings, outlet: Outlet) -> Iterator[HubSpotClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask which account the token is of."""
        portal = self._told("GET", "/account-info/v3/details").get("portalId")
        return f"HubSpot takes the token, for account {portal}."

    def batch(self, kind: str, verb: str, inputs: bytes) -> Answer:
        """Create, update, upsert or archive objects of a kind; `inputs`: a JSON list."""
        path = f"/crm/v3/objects/{quoted(kind)}/batch/{verb}"
        answer = self._asked("POST", path, b'{"inputs":' + inputs + b"}")
        if verb == "archive":  # of which nothing else is looked at
            answers.told(answer, "HubSpot", self._settings.secrets, may_be_empty=True)
        return answer

    def ids(self, kind: str, name: str, values: Sequence[str]) -> dict[str, str]:
        """The ids of objects by a property whose values are unique, as `folded`; those that there are."""
        return {value: str(one["id"]) for value, one in self.objects(kind, name, values, ()).items()}

    def objects(self, kind: str, name: str, values: Sequence[str], more: Sequence[str]) -> dict[str, Any]:
        """The same, with the objects themselves, with more of their properties."""
        found: dict[str, Any] = {}
        for first in range(0, len(values), _LOOKED_UP):
            some = values[first : first + _LOOKED_UP]
            asked = {"idProperty": name, "properties": [name, *more], "inputs": [{"id": value} for value in some]}
            path = f"/crm/v3/objects/{quoted(kind)}/batch/read"
            said = self._told("POST", path, msgspec.json.encode(asked))
            for result in said.get("results", ()):
                found[folded(str(result["properties"].get(name)))] = result
        return found

    def change_list(self, number: str, add: Sequence[str], remove: Sequence[str]) -> Any:
        """Put records on a list, and take others off. Gives the answer's body."""
        body = msgspec.json.encode({"recordIdsToAdd": add, "recordIdsToRemove": remove})
        return self._told("PUT", f"/crm/v3/lists/{quoted(number)}/memberships/add-and-remove", body)

    def _told(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        return answers.told(self._asked(method, path, body), "HubSpot", self._settings.secrets)

    def _asked(self, method: str, path: str, body: bytes | None = None) -> Answer:
        settings = self._settings
        headers = {
            "Authorization": f"Bearer {settings.token.get_secret_value()}",
            "Content-Type": "application/json",
        }
        answer = self._http.request(method, settings.endpoint.rstrip("/") + path, headers=headers, body=body)
        if answer.status in _BUSY:
            raise RetryableError(
                "destination_busy",
                f"HubSpot answers {answer.status}: {answer.said(settings.secrets)}.",
                hint=_BUSY[answer.status],
                after=answer.after if answer.after is not None else _window(answer),
            )
        if answer.status == 409:  # of a batch: something in it is there already, which will not pass
            raise BatchRefused(CONFLICT, f"HubSpot answers 409: {answer.said(settings.secrets)}.")
        return answers.checked(answer, "HubSpot", settings.secrets, hint=_HINT)


def _window(answer: Answer) -> float:
    """Of an answer that does not say when to come again."""
    said = answer.json()
    policy = said.get("policyName") if isinstance(said, dict) else None
    return _WINDOWS.get(str(policy), 10.0)


def quoted(part: str) -> str:
    """A part of a path."""
    return urllib.parse.quote(part, safe="")


def folded(value: str) -> str:
    """HubSpot takes values that differ in case only for the same, of e-mail addresses: so does a batch."""
    return value.strip().casefold()
