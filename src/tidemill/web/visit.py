"""Who looks at a page, and what is done for them: services, in threads, as who is signed in.

What takes long (it asks BigQuery, or somebody else's server) has threads of its own: `slowly`, and `each`. However many
of such are at work, a page is read by `call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nicegui import ui

from tidemill.acting import acting
from tidemill.errors import AccessError, ConflictError
from tidemill.web import guard
from tidemill.web.lane import Lane

if TYPE_CHECKING:
    from nicegui import Client

    from tidemill.access.actor import Actor
    from tidemill.access.permissions import Permission
    from tidemill.app import App
    from tidemill.web.sessions import Sessions

T = TypeVar("T")

#: So many services are at work at once; of one user so many, and so many more of theirs wait.
_THREADS, _OF_ONE, _WAITING = 8, 4, 100
#: Of such as take long so many, beside them; of one user at once; and of one user that wait. The database has 15
#: connections for all of them.
_SLOW, _SLOW_OF_ONE, _WAITING_OF_ONE = 6, 2, 6
_SIGNED_OUT = "signed_out"


class _Process:
    app: App
    sessions: Sessions
    quick: Lane
    slow: Lane


def begin(app: App, sessions: Sessions) -> None:
    """To be called once in the process, before there are pages."""
    _Process.app, _Process.sessions = app, sessions
    _Process.quick = Lane(_THREADS, _OF_ONE, _WAITING, "web")
    _Process.slow = Lane(_SLOW, _SLOW_OF_ONE, _WAITING_OF_ONE, "web-slow")


class Visit:
    """A page that somebody has open."""

    def __init__(self, client: Client) -> None:
        scope = client.request.scope
        self._client = client
        self.session, self._text = scope[guard.SESSION], str(scope[guard.TEXT])
        #: As what the page was built.
        self.role = self.session.user.role
        self.address = client.request.client.host if client.request.client else ""
        self.path = str(scope["path"])

    @property
    def user(self) -> Any:
        """Who it is."""
        return self.session.user

    @property
    def actor(self) -> Actor:
        """As whom services are called."""
        actor: Actor = self.session.actor(self.address)
        return actor

    def may(self, permission: Permission | None) -> bool:
        """Whether who looks may do that: what they may not is not shown. It is the services that refuse it."""
        return permission is None or permission in self.actor.permissions

    def waits(self, why: str) -> None:
        """Tell on the page that something waits for its turn."""
        from tidemill.web import notices

        if not self._client.is_deleted:
            with self._client:
                notices.notice("It waits for its turn.", "warning", why)

    def assert_open(self) -> None:
        """See that somebody still looks.

        Raises
        ------
        ConflictError
            Nobody does.
        """
        if self._client.is_deleted:
            raise ConflictError("page_closed", "This page is closed.", hint="Open it again.")

    def renew(self) -> None:
        """Look whether the session still lasts; to be called in a thread.

        Raises
        ------
        AccessError
            It does not: somebody has signed out, or was removed.
        """
        found = _Process.sessions.find(self._text)
        if found is None:
            raise AccessError(_SIGNED_OUT, "You are signed out.", hint="Sign in again.")
        self.session = found


def is_signed_out(error: Exception) -> bool:
    """Whether somebody has no session any more."""
    return isinstance(error, AccessError) and error.code == _SIGNED_OUT


def current() -> Visit:
    """That of the page that is built, or whose event is handled."""
    return of(ui.context.client)


def of(client: Client) -> Visit:
    """That of a page."""
    scope = client.request.scope
    if "tidemill.visit" not in scope:
        scope["tidemill.visit"] = Visit(client)
    return cast("Visit", scope["tidemill.visit"])


async def call(work: Callable[[App], T]) -> T:
    """Do something with services, in a thread, as who is signed in: ``await call(lambda app: app.exports.get(name))``.

    Errors need not be caught: while a page is built, the page shows them; later, a notice does.
    """
    return await call_as(current(), work)


async def call_as(visit: Visit, work: Callable[[App], T]) -> T:
    """The same, where there is no page at hand. What has not begun when the page is closed is not done.

    Raises
    ------
    ConflictError
        The page is closed; or too much of this user waits.
    """

    def done() -> T:
        visit.assert_open()
        visit.renew()
        return work(acting(_Process.app, visit.actor))

    return await _Process.quick.run(visit.user.id, done)


async def slowly(work: Callable[[App], T]) -> T:
    """The same for what may take longer than somebody waits for a page: BigQuery, or another server, is asked.

    Raises
    ------
    ConflictError
        Too much of this user is at work, and waits.
    """
    looks = current()

    def done() -> T:
        looks.renew()
        return work(acting(_Process.app, looks.actor))

    return await _Process.slow.run(looks.user.id, done, looks.waits)


async def each(work: Callable[[App], Iterator[T]], show: Callable[[T], None]) -> None:
    """Have a service tell one thing after another (steps of a test, lines), and show each when it comes."""
    visit, loop = current(), asyncio.get_running_loop()
    queue: asyncio.Queue[T] = asyncio.Queue()
    stopping = asyncio.Event()

    def done() -> None:
        visit.renew()
        for item in work(acting(_Process.app, visit.actor)):
            if stopping.is_set():
                return
            loop.call_soon_threadsafe(queue.put_nowait, item)

    working = asyncio.ensure_future(_Process.slow.run(visit.user.id, done, visit.waits))
    try:
        while not working.done() or not queue.empty():
            taking = asyncio.ensure_future(queue.get())
            awaited: set[asyncio.Future[Any]] = {working, taking}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                show(taking.result())
            else:
                taking.cancel()
        await working
    finally:
        stopping.set()
