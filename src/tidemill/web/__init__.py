"""The web app: one process, on NiceGUI, that calls services as who is signed in.

A page is a function in a module of `web/pages/`, and one line in `places.py`::

    @page("Connections", Permission.CONNECTIONS_READ, "/connections")
    async def connections() -> None:
        await table(columns, lambda app, asked: paged(app.connections.find(), asked), empty=NONE_YET)

What pages are made of: `page.py` (the decorator), `visit.py` (`call`: a service, as who is signed in), `live.py`
(`live`: what changes by itself), `marks.py` (badge, when, number, size, copy, command, …: text that stands anywhere),
`region.py` (where marks are shown), `table.py`, `form.py`, `steps.py`, `dialogs.py` (confirm), `notices.py`
(notice, problem), `chart.py`, `buttons.py`. The style is in `static/`: colours and sizes are variables of `theme.css`.

All that comes from outside (names, events, rows) is escaped by `markupsafe`: a mark is `Markup`, all else is text.
"""
