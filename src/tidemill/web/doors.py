"""The doors: set-up of the first account, sign-in, sign-out, and the change of one's password."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tidemill.acting import acting
from tidemill.errors import AccessError, RetryableError, TidemillError
from tidemill.web import cookies, guard, plain
from tidemill.web.plain import Input
from tidemill.web.sessions import Sessions
from tidemill.web.turns import BUSY, Turns

if TYPE_CHECKING:
    from tidemill.app import App

T = TypeVar("T")

#: For so long a form may stay open.
_FORM_SECONDS = 12 * 3_600
_AGENT_CHARACTERS = 300


def inside(wanted: str) -> str:
    """Where to go then: a page of ours, whatever is asked for."""
    parts = urllib.parse.urlsplit(wanted)
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc
    return wanted if is_ours and "\\" not in wanted and wanted.isprintable() else "/"


def who(request: Request) -> dict[str, str]:
    """From where somebody comes, as it is kept with the session and in the audit log."""
    address = request.client.host if request.client else ""
    return {"address": address, "agent": request.headers.get("user-agent", "")[:_AGENT_CHARACTERS]}


class Doors:
    """See the module. `elsewhere`: what to show for sign-in by a provider, if there is one, which leads to a page."""

    def __init__(self, app: App, sessions: Sessions, elsewhere: Callable[[str], Markup]) -> None:
        self._app, self._sessions, self._elsewhere = app, sessions, elsewhere
        self._turns = Turns()

    def routes(self) -> list[Route]:
        """What is answered."""
        both = ["GET", "POST"]
        return [
            Route("/sign-in", self.sign_in, methods=both),
            Route("/set-up", self.set_up, methods=both),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/account/password", self.password, methods=both),
        ]

    async def sign_in(self, request: Request) -> Response:
        """By name and password."""
        then = inside(request.query_params.get("next", "/"))
        if request.scope.get(guard.SESSION) is not None and request.method == "GET":
            return RedirectResponse(then, 303)
        if request.method == "GET":
            if not await asyncio.to_thread(self._app.users.any):
                return RedirectResponse("/set-up", 303)
            return self._sign_in(request, then)
        given = await self._given(request)
        name, then = given.get("name", ""), inside(given.get("next", "/"))
        try:
            text = await self._in_turn(
                request, lambda: self._app.users.sign_in(name, given.get("password", ""), **who(request))
            )
        except TidemillError as error:
            return self._sign_in(request, then, name=name, error=error)
        return self.entered(request, text, then)

    def entered(self, request: Request, text: str, then: str) -> Response:
        """Let somebody in: with a session that is new, whatever the browser had before."""
        if before := request.scope.get(guard.TEXT):
            self._sessions.forget(before)
            self._app.users.sign_out(before)
        response = RedirectResponse(then, 303)
        cookies.drop(response, request.scope, [cookies.FORM])
        cookies.put(response, request.scope, cookies.SESSION, text)
        return response

    def _sign_in(self, request: Request, then: str, name: str = "", error: TidemillError | None = None) -> Response:
        fields = [
            Input("name", "Name", autocomplete="username", value=name, focus=not name),
            Input("password", "Password", "password", "current-password", focus=bool(name)),
        ]
        problem = plain.problem(error) if error else Markup()
        if request.query_params.get("out"):
            problem = plain.note("You are signed out.")
        hidden = then if then != "/" else ""
        return self._shown(
            request, "Sign in", "/sign-in", fields, "Sign in", problem, hidden, self._elsewhere(then), error
        )

    async def set_up(self, request: Request) -> Response:
        """The first account, an administrator's: who has the token of the server's log makes it."""
        if await asyncio.to_thread(self._app.users.any):
            return RedirectResponse("/sign-in", 303)
        if request.method == "GET":
            return self._set_up(request, request.query_params.get("token", ""))
        given = await self._given(request)
        token, name, password = (given.get(field, "") for field in ("token", "name", "password"))
        try:
            if not hmac.compare_digest(password.encode(), given.get("again", "").encode()):
                return self._set_up(request, token, name, again="These are not the same.")
            text = await self._in_turn(request, lambda: self._app.users.begin(token, name, password, **who(request)))
        except TidemillError as error:
            return self._set_up(request, token, name, error=error)
        return self.entered(request, text, "/")

    def _set_up(
        self, request: Request, token: str, name: str = "", error: TidemillError | None = None, again: str = ""
    ) -> Response:
        where = _field_of(error)
        said = error.message if error else ""
        fields = [
            Input(
                "token", "Set-up token", help="tidemill serve prints it when there is no account yet.", value=token,
                error=said if where == "token" else "", focus=not token,
            ),
            Input(
                "name", "Your name", autocomplete="username", value=name, help="You sign in with it.",
                error=said if where == "name" else "", focus=bool(token),
            ),
            Input(
                "password", "Password", "password", "new-password", help="At least 12 characters.",
                error=said if where == "password" else "",
            ),
            Input("again", "Password, once more", "password", "new-password", error=again),
        ]  # fmt: skip
        problem = plain.problem(error) if error and not where else Markup()
        intro = Markup("<p class=lead>This account may do everything, also add others.</p>")
        return self._shown(
            request,
            "Make the first account",
            "/set-up",
            fields,
            "Make the account",
            problem,
            "",
            Markup(),
            error,
            intro,
        )

    async def password(self, request: Request) -> Response:
        """One's own, by who knows it."""
        session = request.scope[guard.SESSION]
        if request.method == "GET":
            return self._password(request)
        given = await self._given(request, session.csrf)
        old, new = given.get("old", ""), given.get("password", "")
        if new != given.get("again", ""):
            return self._password(request, again="These are not the same.")
        actor, name, text = session.actor(who(request)["address"]), session.user.name, request.scope[guard.TEXT]
        try:
            await self._in_turn(
                request, lambda: acting(self._app, actor).users.change_password(name, old, new, session=text)
            )
        except TidemillError as error:
            return self._password(request, error=error)
        return RedirectResponse("/?changed=password", 303)

    def _password(self, request: Request, error: TidemillError | None = None, again: str = "") -> Response:
        where = _field_of(error)
        said = error.message if error else ""
        fields = [
            Input(
                "old", "Password of now", "password", "current-password", error=said if where == "old" else "",
                focus=True,
            ),
            Input(
                "password", "New password", "password", "new-password", help="At least 12 characters.",
                error=said if where == "password" else "",
            ),
            Input("again", "New password, once more", "password", "new-password", error=again),
        ]  # fmt: skip
        back = Markup('<p><a href="/">Back</a></p>')
        problem = plain.problem(error) if error and not where else Markup()
        return self._shown(
            request, "Change your password", "/account/password", fields, "Change it", problem, "", back, error
        )

    async def sign_out(self, request: Request) -> Response:
        """The session is over, here and in the database."""
        session, text = request.scope[guard.SESSION], request.scope[guard.TEXT]
        await self._given(request, session.csrf)
        self._sessions.forget(text)
        await asyncio.to_thread(self._app.users.sign_out, text)
        response = RedirectResponse("/sign-in?out=1", 303)
        cookies.drop(response, request.scope, [cookies.SESSION])
        return response

    async def _in_turn(self, request: Request, work: Callable[[], T]) -> T:
        return await self._turns.run(who(request)["address"], work)

    async def _given(self, request: Request, known: str | None = None) -> dict[str, str]:
        """What was typed, if the form is one of ours; without zero bytes, which no text of a database may hold.

        Raises
        ------
        AccessError
            It is not: it has no token, or an old one.
        """
        form = await request.form(max_files=0, max_fields=20)
        given = {name: str(value).replace("\0", "") for name, value in form.items()}
        expected = known or cookies.read(request.scope).get(cookies.FORM, "")
        if not expected or not hmac.compare_digest(expected.encode(), given.get("form_token", "").encode()):
            raise AccessError(
                "form_expired",
                "This form is too old, or not ours.",
                hint="Go back, load the page again, and repeat it.",
            )
        return given

    def _shown(
        self,
        request: Request,
        title: str,
        action: str,
        fields: list[Input],
        submit: str,
        problem: Markup,
        hidden: str,
        after: Markup,
        error: TidemillError | None,
        before: Markup = Markup(),
    ) -> Response:
        session = request.scope.get(guard.SESSION)
        token = session.csrf if session is not None else secrets.token_urlsafe(32)
        wrong = error is not None or any(field.error for field in fields)
        body = before + plain.form(action, token, fields, submit, problem=problem, hidden=hidden) + after
        response = plain.document(title, body, _status(error) if wrong else 200)
        if isinstance(error, RetryableError) and error.after is not None:
            response.headers["retry-after"] = str(round(error.after))
        if session is None:
            cookies.put(response, request.scope, cookies.FORM, token, seconds=_FORM_SECONDS)
        return response


#: Beside which field an error is said.
_FIELDS = {
    "setup_refused": "token", "password_short": "password", "password_long": "password", "password_easy": "password",
    "password_wrong": "old", "user_name_invalid": "name",
}  # fmt: skip


def _status(error: TidemillError | None) -> int:
    if error is not None and error.code == BUSY:
        return 503
    return 403 if isinstance(error, AccessError) else 422


def _field_of(error: TidemillError | None) -> str:
    """The field that an error is about; nothing, if it is about none."""
    return _FIELDS.get(error.code, "") if error else ""
