"""Puts the web app together: the doors, our static files, NiceGUI with our pages, and the guard before all of it."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import nicegui
from fastapi import FastAPI
from nicegui import background_tasks, core, ui
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tidemill.errors import TidemillError
from tidemill.web import guard, plain, sockets, visit, watch
from tidemill.web.doors import Doors
from tidemill.web.guard import Guard
from tidemill.web.oidc import Oidc
from tidemill.web.places import PLACES
from tidemill.web.sessions import Sessions

if TYPE_CHECKING:
    from tidemill.access.users import Session
    from tidemill.app import App

_log = logging.getLogger(__name__)
STATIC, _OF_NICEGUI = Path(__file__).parent / "static", Path(nicegui.__file__).parent
#: How long a page that has lost its connection is kept for it.
_RECONNECTS_SECONDS = 10.0
_HEAD = """
<meta name="theme-color" content="#0e6b74">
<link rel="stylesheet" href="/static/theme.css">
<link rel="stylesheet" href="/static/parts.css">
<link rel="stylesheet" href="/static/frame.css">
<link rel="stylesheet" href="/static/syncs.css">
<script src="/static/theme.js"></script>
<script src="/static/app.js" defer></script>
"""
#: How NiceGUI begins Quasar: dark or light as `theme.js` has settled it.
_QUASAR = """
    app.use(Quasar, {config: vue_config});
    applyColors(vue_config.brand);
    Quasar.lang.set(Quasar.lang[language.replace('-', '')]);
    darkSetter = () => tidemillTheme.settle();
    tidemillTheme.settle();
"""


def application(app: App) -> ASGIApp:
    """All that the process answers."""
    sessions = Sessions(app.users.session)
    visit.begin(app, sessions)
    oidc = Oidc(app)
    doors = Doors(app, sessions, oidc.invitation)
    oidc.entered = doors.entered
    outer = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        routes=[*doors.routes(), *oidc.routes(), Route("/health", _health), Route("/static/fonts.css", _fonts)],
        exception_handlers={TidemillError: _told},
    )
    outer.mount("/static/fonts", StaticFiles(directory=_OF_NICEGUI / "static" / "fonts"))
    outer.mount("/static", StaticFiles(directory=STATIC))
    _begin_nicegui(outer, sessions)
    _watch(app, sessions)
    addresses = [app.settings.web_address] if app.settings.web_address else []
    return Guard(outer, sessions, addresses)


async def _fonts(_: Request) -> Response:
    """The typeface of NiceGUI's wheel, for who is not signed in yet."""
    return FileResponse(_OF_NICEGUI / "static" / "fonts.css", media_type="text/css")


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _told(_: Request, error: Exception) -> Response:
    """An error of a plain page, as a page."""
    if not isinstance(error, TidemillError):
        raise error
    return plain.document("This did not work", plain.problem(error), 403 if error.exit_code == 3 else 422)


def _begin_nicegui(outer: FastAPI, sessions: Sessions) -> None:
    _allow_own_scripts_alone()
    core.app.config.socket_io_js_transports = ["websocket"]
    core.app.config.vue_config_script = _QUASAR
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}  # a bar for each request of a page
    core.sio.eio.cors_allowed_origins = []  # the guard has looked at the origin
    for place in PLACES:
        importlib.import_module(f"tidemill.web.pages.{place.module}")
    ui.add_head_html(_HEAD, shared=True)
    ui.run_with(
        outer,
        title="Tidemill",
        favicon=STATIC / "icon.svg",
        dark=None,
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=_RECONNECTS_SECONDS,
        tailwind=False,
        show_welcome_message=False,
    )
    sockets.keep_to_own_pages(sessions)
    nicegui.app._exception_handlers[:] = [_log_bug]


def _watch(app: App, sessions: Sessions) -> None:
    """Look after open pages as long as the process is there."""

    def look(text: str) -> Session | None:
        return app.users.session(text, seen=False)

    nicegui.app.on_startup(lambda: background_tasks.create(watch.watch(look, sessions), name="watch"))


def _allow_own_scripts_alone() -> None:
    """Give each script of NiceGUI's page the nonce of its request. The template alone is changed: what pages put into
    it gets none."""
    environment = nicegui.client.templates.env
    name = "index.html"
    source = (_OF_NICEGUI / "templates" / name).read_text("utf-8")
    changed = source.replace("<script", f"<script nonce=\"{{{{ request.scope['{guard.NONCE}'] }}}}\"")
    environment.loader = jinja2.DictLoader({name: changed})


def _log_bug(error: Exception) -> None:
    """What a user can meet is told to the user."""
    if not isinstance(error, TidemillError):
        _log.error("a page failed", exc_info=error)
