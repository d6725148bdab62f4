"""What changes by itself while a page is open. Pages that show the same share one look: fifty cost what one costs.

One task of the process goes round: it asks what is due, in a thread, and shows those pages whose answer is another one.
Who may do other things has a look of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from nicegui import background_tasks, ui

from tidemill.errors import TidemillError
from tidemill.web import notices, visit

if TYPE_CHECKING:
    from nicegui import Client

    from tidemill.app import App

T = TypeVar("T")

_log = logging.getLogger(__name__)
_BEAT_SECONDS = 0.25
#: A query that takes long is made less often: it takes at most this part of the time.
_SHARE = 0.1
#: Who looks is asked for so often whether they still may; until then a page that is open is shown what is new.
_SURE_SECONDS = 5.0
_NOTHING = object()


@dataclasses.dataclass(eq=False)
class _Viewer:
    client: Client
    show: Callable[[Any], None]
    seen: object = _NOTHING
    sure_until: float = 0.0


@dataclasses.dataclass(eq=False)
class _Topic:
    query: Callable[[App], Any]
    changed: Callable[[App], Hashable] | None
    every: float
    permissions: frozenset[Any]
    value: Any = _NOTHING
    mark: Hashable = None
    due: float = 0.0
    viewers: list[_Viewer] = dataclasses.field(default_factory=list)
    asking: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)

    async def ask(self, looks: visit.Visit) -> None:
        """Find the answer of now; if it is known to be that of before, at little cost."""
        async with self.asking:
            if time.monotonic() < self.due and self.value is not _NOTHING:
                return
            began = time.monotonic()
            changed, before = self.changed, self.mark

            def asked(app: App) -> tuple[Hashable, Any]:
                mark = changed(app) if changed is not None else None
                if changed is not None and mark == before and self.value is not _NOTHING:
                    return mark, self.value
                return mark, self.query(app)

            try:
                self.mark, self.value = await visit.call_as(looks, asked)
            finally:
                took = time.monotonic() - began
                self.due = time.monotonic() + max(self.every, took / _SHARE)


#: By the key, and by what who looks may do.
_topics: dict[tuple[Hashable, frozenset[Any]], _Topic] = {}
_beating: list[asyncio.Task[None]] = []


async def live(
    key: Hashable,
    query: Callable[[App], T],
    show: Callable[[T], None],
    *,
    every: float = 2.0,
    changed: Callable[[App], Hashable] | None = None,
) -> Callable[[], None]:
    """Show what `query` says, now and whenever that is another answer, as long as the page is open, or until what this
    gives is called.

    `key` names what is asked: pages of the same key share the answer, so it holds all that the query depends on, such
    as the name of an export. `every`: so many seconds. `changed`: a query that costs little, whose answer changes
    whenever that of `query` may have.
    """
    looks, client = visit.current(), ui.context.client
    shared = (key, frozenset(looks.actor.permissions))
    topic = _topics.setdefault(shared, _Topic(query, changed, every, shared[1]))
    viewer = _Viewer(client, show)
    try:
        await topic.ask(looks)
    except BaseException:
        if not topic.viewers:
            _topics.pop(shared, None)
        raise
    if client.is_deleted:  # in the meantime: nobody would ever say that it is gone
        if not topic.viewers:
            _topics.pop(shared, None)
        return lambda: None
    _display(topic, viewer)
    topic.viewers.append(viewer)
    _topics[shared] = topic

    def gone() -> None:
        with contextlib.suppress(ValueError):
            topic.viewers.remove(viewer)
        if not topic.viewers:
            _topics.pop(shared, None)

    client.on_delete(gone)
    if not _beating or _beating[0].done():
        _beating[:] = [background_tasks.create(_beat(), name="live")]
    return gone


def stale(key: Hashable) -> None:
    """Have this be asked again at once: somebody has just changed it."""
    for (known, _), topic in _topics.items():
        if known == key:
            topic.due, topic.mark = 0.0, _NOTHING


def leave(client: Client) -> None:
    """Show this page nothing any more."""
    for shared, topic in list(_topics.items()):
        topic.viewers[:] = [viewer for viewer in topic.viewers if viewer.client is not client]
        if not topic.viewers:
            _topics.pop(shared, None)


async def _beat() -> None:
    while _topics:
        now = time.monotonic()
        due = [topic for topic in _topics.values() if topic.due <= now and not topic.asking.locked()]
        await asyncio.gather(*map(_renew, due))
        await asyncio.sleep(_BEAT_SECONDS)


async def _renew(topic: _Topic) -> None:
    """Ask, as one of those who look, and show the others the answer, too."""
    for viewer in list(topic.viewers):
        if not await _lasts(topic, viewer):
            continue
        try:
            await topic.ask(visit.of(viewer.client))
            break
        except TidemillError:
            return  # the database is away, say: what was shown stays, until it is back
        except Exception:  # noqa: BLE001 - what was shown stays
            _log.exception("what a page shows could not be asked")
            return
    for viewer in list(topic.viewers):
        if viewer.seen != topic.value and await _lasts(topic, viewer):
            _display(topic, viewer)


async def _lasts(topic: _Topic, viewer: _Viewer) -> bool:
    """Whether who looks is signed in, and may do what they might when the page was opened; else nothing more of this is
    shown to them, though others look."""
    if time.monotonic() < viewer.sure_until:
        return True
    looks = visit.of(viewer.client)
    try:
        await visit.call_as(looks, lambda _: None)
    except TidemillError as error:
        if not visit.is_signed_out(error):
            return True  # the database is away, and so is what would be shown
        _leave(topic, viewer)
        with viewer.client:
            notices.tell(error)
        return False
    if frozenset(looks.actor.permissions) != topic.permissions:
        _leave(topic, viewer)
        viewer.client.run_javascript("location.reload()")
        return False
    viewer.sure_until = time.monotonic() + _SURE_SECONDS
    return True


def _leave(topic: _Topic, viewer: _Viewer) -> None:
    with contextlib.suppress(ValueError):
        topic.viewers.remove(viewer)


def _display(topic: _Topic, viewer: _Viewer) -> None:
    if viewer.seen is topic.value or viewer.seen == topic.value or viewer.client.is_deleted:
        return
    viewer.seen = topic.value
    with viewer.client:
        viewer.show(topic.value)
