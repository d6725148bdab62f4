"""Requests to Klaviyo's API, and its import jobs.

Sources: research on reverse ETL, section 3.3 (Klaviyo); Klaviyo's OpenAPI file of the revision below.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import answers, lookups
from tidemill.destinations.port import Outlet
from tidemill.errors import RetryableError, UnavailableError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.klaviyo.config import KlaviyoSettings

#: Which version of the API is spoken.
REVISION = "2026-07-15"
#: Seconds between two looks at a job, at first and at most, and how long is looked in all.
_FIRST_SECONDS, _MOST_SECONDS, _WHOLE_SECONDS = 1.0, 15.0, 3_600.0
#: Values in one look-up, which is an address, and their characters in it.
_LOOKED_UP, _CHARACTERS, _AROUND = 100, 6_000, 9
#: Klaviyo allows 700 of them a minute, and counts them apart (research on reverse ETL, section 3.3).
LOOK_UPS = "look-ups"
_TYPE = "application/vnd.api+json"
_HINT = (
    "The key needs the scopes accounts:read, profiles:read and :write, lists:write, events:write (Settings, API keys)."
)


class KlaviyoClient:
    """See port.Client. `begun`: import jobs whose end was not seen, by the ids of their rows."""

    def __init__(self, settings: KlaviyoSettings, outlet: Outlet) -> None:
        self._settings, self._http, self._sleep = settings, outlet.http, outlet.sleep
        self.begun: dict[tuple[str, ...], str] = {}

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: KlaviyoSettings, outlet: Outlet) -> Iterator[KlaviyoClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask whose account the key is of."""
        said = self._told(self._asked("GET", "/api/accounts"))
        found = said["data"][0]["attributes"]["contact_information"]["organization_name"]
        return f"Klaviyo takes the key, for {found}."

    def post(self, path: str, body: bytes) -> Answer:
        """Send something. An answer of 400 may name rows, and is given as it is; all others are good ones."""
        answer = self._asked("POST", path, body)
        if answer.status != 400:
            self._told(answer, may_be_empty=True)
        return answer

    def refused(self, answer: Answer) -> Answer:
        """Raise what an answer of 400 means that names no rows."""
        return self._checked(answer)

    def ended(self, job: str) -> Mapping[str, Any]:
        """Wait until an import job has ended. Gives its attributes."""
        pause, waited = _FIRST_SECONDS, 0.0
        while True:
            said = self._told(self._asked("GET", f"/api/profile-bulk-import-jobs/{job}"))
            found: dict[str, Any] = said["data"]["attributes"]
            if found["status"] == "complete":
                return found
            if found["status"] == "cancelled":
                raise RetryableError(
                    "klaviyo_cancelled", f"Klaviyo has cancelled the import {job}.", hint="It is tried again."
                )
            if waited >= _WHOLE_SECONDS:
                raise UnavailableError(
                    "klaviyo_slow", f"Klaviyo has not ended the import {job} in an hour.", hint="It goes on there."
                )
            self._sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _MOST_SECONDS)

    def errors(self, job: str) -> Sequence[Mapping[str, Any]]:
        """What an import job refused: the attributes of each error."""
        found: list[Mapping[str, Any]] = []
        path: str | None = f"/api/profile-bulk-import-jobs/{job}/import-errors?page%5Bsize%5D=100"
        while path:
            said = self._told(self._asked("GET", path))
            found += [one["attributes"] for one in said["data"]]
            following = urllib.parse.urlsplit((said.get("links") or {}).get("next") or "")
            path = f"{following.path}?{following.query}" if following.path else None
        return found

    def profiles(self, name: str, values: Sequence[str]) -> dict[str, str]:
        """Klaviyo's ids of profiles, by the values of what they are known by, in small letters; those that there
        are."""
        found: dict[str, str] = {}
        for some in lookups.parts(values, most=_LOOKED_UP, characters=_CHARACTERS, around=_AROUND):
            listed = msgspec.json.encode(some).decode()
            asked = {"filter": f"any({name},{listed})", "page[size]": str(_LOOKED_UP)}
            if name != "id":
                asked["fields[profile]"] = name
            said = self._told(self._asked("GET", f"/api/profiles?{urllib.parse.urlencode(asked)}", lane=LOOK_UPS))
            for one in said["data"]:
                value = one["id"] if name == "id" else one["attributes"][name]
                found[str(value).casefold()] = str(one["id"])
        return found

    def change_list(self, name: str, body: bytes, *, remove: bool) -> None:
        """Put profiles on a list, or take them off."""
        path = f"/api/lists/{urllib.parse.quote(name, safe='')}/relationships/profiles"
        self._told(self._asked("DELETE" if remove else "POST", path, body), may_be_empty=True)

    def _asked(self, method: str, path: str, body: bytes | None = None, lane: str = "") -> Answer:
        headers = {
            "Authorization": f"Klaviyo-API-Key {self._settings.key.get_secret_value()}",
            "revision": REVISION,
            "Content-Type": _TYPE,
            "Accept": _TYPE,
        }
        address = self._settings.endpoint.rstrip("/") + path
        return self._http.request(method, address, headers=headers, body=body, lane=lane)

    def _told(self, answer: Answer, *, may_be_empty: bool = False) -> dict[str, Any]:
        checked = self._checked(answer)
        return answers.told(checked, "Klaviyo", self._settings.secrets, may_be_empty=may_be_empty)

    def _checked(self, answer: Answer) -> Answer:
        return answers.checked(answer, "Klaviyo", self._settings.secrets, hint=_HINT)
