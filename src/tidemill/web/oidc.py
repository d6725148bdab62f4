"""Sign-in by a provider of OpenID Connect: the code flow, with PKCE, a state and a nonce.

What is between the beginning and the end is in a cookie, encrypted, for ten minutes: nobody else can end what somebody
has begun. The provider is asked from here, over TLS unless it is on this machine; nothing it says is shown.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tidemill.access.roles import Role
from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.web import cookies
from tidemill.web.doors import inside, who

if TYPE_CHECKING:
    from tidemill.app import App

_log = logging.getLogger(__name__)
_PATH, _BACK = "/oidc/begin", "/oidc/back"
_SECONDS, _WAITS_SECONDS, _MOST_BYTES = 600, 10.0, 1_000_000
#: How a provider may sign: with a key of its own, never with a secret that we have, too.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
_DISCOVERED_SECONDS = 3_600.0


async def _none(_: Request) -> Response:
    return PlainTextResponse("There is nothing here.\n", 404)


class Oidc:
    """See the module. `entered`: what lets somebody in (doors.py)."""

    entered: Callable[[Request, str, str], Response]

    def __init__(self, app: App) -> None:
        self._app, self._settings = app, app.settings
        self._known: tuple[float, dict[str, Any]] | None = None

    def invitation(self, then: str) -> Markup:
        """What the sign-in page has for it; nothing, if there is no provider. `then`: where to go afterwards."""
        if not self._settings.oidc_issuer:
            return Markup()
        return Markup(
            '<p class="door-or">or</p><a class="button button-plain button-wide" href="{}">Sign in with {}</a>'
        ).format(f"{_PATH}?{urllib.parse.urlencode({'next': then})}", self._settings.oidc_name)

    def routes(self) -> list[Route]:
        """What is answered."""
        found = [Route(_PATH, self.begin, methods=["GET"]), Route(_BACK, self.back, methods=["GET"])]
        none = Route("/oidc/{rest:path}", _none)  # else a page would be built, to say so
        return [*found, none] if self._settings.oidc_issuer else [none]

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        found = await self._discovered()
        kept = {
            "state": secrets.token_urlsafe(32),
            "nonce": secrets.token_urlsafe(32),
            "verifier": secrets.token_urlsafe(48),
            "next": inside(request.query_params.get("next", "/")),
            "until": time.time() + _SECONDS,
        }
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._back_address(request),
            "scope": self._settings.oidc_scopes,
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": create_s256_code_challenge(kept["verifier"]),
            "code_challenge_method": "S256",
        }
        where = str(found["authorization_endpoint"])
        joined = "&" if urllib.parse.urlsplit(where).query else "?"
        response = RedirectResponse(f"{where}{joined}{urllib.parse.urlencode(asked)}", 303)
        sealed = await asyncio.to_thread(self._app.secrets.encrypt, json.dumps(kept))
        cookies.put(response, request.scope, cookies.ELSEWHERE, sealed.decode(), seconds=_SECONDS)
        return response

    async def back(self, request: Request) -> Response:
        """The browser comes back from the provider."""
        kept = await self._kept(request)
        if not await asyncio.to_thread(self._app.users.any):
            raise AccessError(
                "oidc_early",
                "There is no account yet.",
                hint="Make the first one with the token that tidemill serve prints.",
            )
        if "error" in request.query_params:
            raise AccessError(
                "oidc_refused",
                f"{self._settings.oidc_name} did not sign you in.",
                hint="Try again from the sign-in page.",
            )
        code = request.query_params.get("code", "")
        claims = await self._claims(request, code, kept)
        name, role = self._name(claims), self._role(claims)
        text = await asyncio.to_thread(
            lambda: self._app.users.sign_in_elsewhere(f"{claims['iss']} {claims['sub']}", name, role, **who(request))
        )
        response = self.entered(request, text, str(kept["next"]))
        cookies.drop(response, request.scope, [cookies.ELSEWHERE])
        return response

    async def _kept(self, request: Request) -> dict[str, Any]:
        """What was begun by this browser, if it is that which ends now."""
        sealed = cookies.read(request.scope).get(cookies.ELSEWHERE, "")
        try:
            kept = json.loads(await asyncio.to_thread(self._app.secrets.decrypt, sealed.encode()))
        except (ConfigError, ValueError):
            kept = {}
        state = request.query_params.get("state", "")
        if not kept or kept["until"] < time.time() or not hmac.compare_digest(kept["state"].encode(), state.encode()):
            raise AccessError(
                "oidc_state",
                "This sign-in was not begun here, or too long ago.",
                hint="Begin again from the sign-in page.",
            )
        return dict(kept)

    def _back_address(self, request: Request) -> str:
        scheme = "https" if cookies.is_secure(request.scope) else "http"
        base = self._settings.web_address or f"{scheme}://{request.headers['host']}"
        return base.rstrip("/") + _BACK

    async def _claims(self, request: Request, code: str, kept: dict[str, Any]) -> dict[str, Any]:
        """Who the provider says it is, after all was looked at that the standard demands."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import errors, jwk, jwt

        found = await self._discovered()
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back_address(request),
            "client_id": self._settings.oidc_client_id,
            "code_verifier": kept["verifier"],
        }
        if self._settings.oidc_client_secret:
            asked["client_secret"] = self._settings.oidc_client_secret
        answer = await self._asked("POST", str(found["token_endpoint"]), asked)
        keys = await self._asked("GET", str(found["jwks_uri"]))
        try:
            token = jwt.decode(str(answer["id_token"]), jwk.KeySet.import_key_set(keys), _ALGORITHMS)  # type: ignore[arg-type]
            options = {"iss": {"values": [found["issuer"]]}, "aud": {"values": [self._settings.oidc_client_id]}}
            params = {
                "nonce": kept["nonce"],
                "client_id": self._settings.oidc_client_id,
                "access_token": answer.get("access_token"),
            }
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=60)
        except (errors.JoseError, KeyError, ValueError, TypeError) as error:
            _log.warning("the token of the sign-in provider was refused: %s", type(error).__name__)
            raise AccessError(
                "oidc_token",
                f"What {self._settings.oidc_name} says of you is not valid.",
                hint="Tell an administrator.",
            ) from None
        return dict(claims)

    def _name(self, claims: dict[str, Any]) -> str:
        """By what somebody is known here: the mail address, if it is known to be theirs."""
        mail = str(claims.get("email") or "").lower()
        domains = {one.strip().lower() for one in self._settings.oidc_allowed_domains.split(",") if one.strip()}
        verified = claims.get("email_verified") in {True, "true"}
        if domains and (not verified or mail.rpartition("@")[2] not in domains):
            raise AccessError(
                "oidc_domain",
                "Your mail address is not of a domain that may sign in here.",
                hint="An administrator sets these: TIDEMILL_OIDC_ALLOWED_DOMAINS.",
            )
        return mail if mail and verified else str(claims.get("preferred_username") or claims["sub"])

    def _role(self, claims: dict[str, Any]) -> Role | None:
        """The role that the provider gives; None: the one that they have here."""
        claim = self._settings.oidc_role_claim
        if not claim:
            return None
        value: Any = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        said = {str(one) for one in value} if isinstance(value, list) else {str(value)}
        found = next((role for role in Role if role in said or f"tidemill-{role}" in said), None)
        if found is None:
            raise AccessError(
                "oidc_role",
                f"{self._settings.oidc_name} gives you no role here.",
                hint=f"The claim {claim} is to hold one of: {', '.join(Role)}.",
            )
        return found

    async def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself; looked at once an hour."""
        if self._known is None or time.monotonic() - self._known[0] > _DISCOVERED_SECONDS:
            issuer = str(self._settings.oidc_issuer)
            found = await self._asked("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if found.get("issuer") != issuer or not all(isinstance(found.get(name), str) for name in needed):
                raise ConfigError(
                    "oidc_issuer",
                    "The sign-in provider says that it is another one.",
                    hint="TIDEMILL_OIDC_ISSUER is to be written as the provider has it, up to the last character.",
                )
            self._known = (time.monotonic(), found)
        return self._known[1]

    async def _asked(self, method: str, address: str, form: dict[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        parts = urllib.parse.urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ConfigError("oidc_plain", "The sign-in provider is to be reached by https.")
        try:
            async with httpx.AsyncClient(timeout=_WAITS_SECONDS, follow_redirects=False) as client:
                answer = await client.request(method, address, data=form, headers={"accept": "application/json"})
            if len(answer.content) > _MOST_BYTES:
                raise ValueError
            answer.raise_for_status()
            return dict(answer.json())
        except (httpx.HTTPError, ValueError, TypeError) as error:
            _log.warning("the sign-in provider does not answer well: %s", type(error).__name__)
            raise UnavailableError(
                "oidc_unavailable",
                f"{self._settings.oidc_name} does not answer as it should.",
                hint="Try again; if it stays so, tell an administrator.",
            ) from None
