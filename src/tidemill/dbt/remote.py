"""What of a project is in use, asked of a server of Tidemill: for the check in a repository's CI."""

from __future__ import annotations

import urllib.parse

import httpx

from tidemill.dbt import in_use
from tidemill.dbt.in_use import InUse
from tidemill.dbt.manifest import Model
from tidemill.errors import AccessError, ConfigError, NotFoundError, UnavailableError

SECONDS = 30.0


class Server:
    """A server of Tidemill, by its address and a token that may `dbt:check`."""

    def __init__(self, address: str, token: str, project: str) -> None:
        self._address, self._project = address.rstrip("/"), project
        self._headers = {"Authorization": f"Bearer {token}"}

    def in_use(self) -> InUse:
        """The project as it is known there.

        Raises
        ------
        AccessError
            The token is refused.
        NotFoundError
            There is no such project.
        UnavailableError
            The server does not answer.
        """
        return in_use.read(self._asked("GET", "in-use").content, what="What the server says")

    def readable(self, model: Model) -> bool | None:
        """Whether a model can be read where it stands now, by who reads it there. Raises as `in_use`."""
        said = {"model": model.unique_id, "relation": str(model.relation)}
        answer: bool | None = self._asked("POST", "readable", said).json()["readable"]
        return answer

    def _asked(self, method: str, what: str, body: dict[str, str] | None = None) -> httpx.Response:
        url = f"{self._address}/api/v1/dbt/{urllib.parse.quote(self._project, safe='')}/{what}"
        try:
            answer = httpx.request(method, url, headers=self._headers, json=body, timeout=SECONDS)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            hint = "It looks like https://tidemill.example.com"
            raise ConfigError("server_address", f"{self._address} is no address of a server.", hint=hint) from None
        except httpx.HTTPError as error:
            said = f"{self._address} does not answer: {error}"
            raise UnavailableError("server_unreachable", said, hint="Is it the right address?") from None
        if answer.is_success:
            return answer
        raise _error(answer, self._address)


def _error(answer: httpx.Response, address: str) -> Exception:
    """Our error, of a problem document."""
    try:
        said = answer.json()
        code, message, hint = str(said["code"]), str(said["detail"]), str(said["hint"])
    except (ValueError, KeyError, TypeError):
        code, message, hint = "server_refused", f"{address} answers {answer.status_code}.", "Is it Tidemill's address?"
    kinds = {401: AccessError, 403: AccessError, 404: NotFoundError, 422: ConfigError}
    return kinds.get(answer.status_code, UnavailableError)(code, message, hint=hint)
