"""Our icons: lines on 24 × 24, in the colour of the text beside them."""

from __future__ import annotations

from markupsafe import Markup

_PATHS = {
    "home": "M4 11l8-7 8 7M6 10v9h12v-9M10 19v-5h4v5",
    "plug": "M9 3v5M15 3v5M7 8h10v3a5 5 0 0 1-10 0zM12 16v5",
    "export": "M12 15V4M8 8l4-4 4 4M5 14v5h14v-5",
    "model": "M4 7l8-4 8 4-8 4zM4 12l8 4 8-4M4 17l8 4 8-4",
    "sync": "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
    "import": "M12 4v11M8 11l4 4 4-4M5 16v3h14v-3",
    "target": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "branch": "M7 5a2 2 0 1 0 0 .01M7 19a2 2 0 1 0 0 .01M17 7a2 2 0 1 0 0 .01M7 7v10M17 9c0 4-6 3-10 6",
    "events": "M3 12h4l3-7 4 14 3-7h4",
    "person": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM5 20c0-4 3-6 7-6s7 2 7 6",
    "users": "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM3 19c0-3.5 2.5-5 6-"
    "5s6 1.5 6 5M16 5.5a3 3 0 0 1 0 6M17.5 14.5c2.3.6 3.5 2 3.5 4.5",
    "token": "M8 9l-4 3 4 3M16 9l4 3-4 3M13.5 6l-3 12",
    "key": "M8 10a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 11l8-8M16 6l3 3M14 8l2 2",
    "bell": "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
    "list": "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
    "pulse": "M4 12h3l2-5 4 10 2-5h5",
    "gear": "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5."
    "6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M18.4 5.6l-2.1 2.1M7.7 16.3l-2.1 2.1",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "close": "M6 6l12 12M18 6L6 18",
    "check": "M5 12.5l4.5 4.5L19 7.5",
    "cross": "M7 7l10 10M17 7L7 17",
    "warning": "M12 4L2.5 20h19zM12 10v4M12 17h.01",
    "info": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8h.01",
    "copy": "M9 9h10v11H9zM15 9V4H5v11h4",
    "plus": "M12 5v14M5 12h14",
    "search": "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5",
    "sun": "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 "
    "12h2M5 5l1.5 1.5M17.5 17.5L19 19M19 5l-1.5 1.5M6.5 17.5L5 19",
    "moon": "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5z",
    "screen": "M3 5h18v11H3zM9 20h6M12 16v4",
    "out": "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
    "lock": "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
    "up": "M6 14l6-6 6 6",
    "down": "M6 10l6 6 6-6",
    "left": "M14 6l-6 6 6 6",
    "right": "M10 6l6 6-6 6",
    "clock": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2",
    "play": "M8 5l11 7-11 7z",
    "pause": "M8 5v14M16 5v14",
    "trash": "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    "pencil": "M4 20l1-4L16 5l3 3L8 19z",
    "download": "M12 4v11M8 11l4 4 4-4M5 20h14",
}  # fmt: skip
_SVG = Markup(
    '<svg class="icon" viewBox="0 0 24 24" width="{size}" height="{size}" aria-hidden="true" focusable="false">'
    '<path d="{path}"/></svg>'
)


def icon(name: str, size: int = 18) -> Markup:
    """The icon of that name; what it stands for is said beside it, or by a label."""
    return _SVG.format(size=size, path=_PATHS[name])
