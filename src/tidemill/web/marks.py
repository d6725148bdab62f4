"""Marks: what stands in tables, lists and texts, as `Markup`. They are put together by `join` and `Markup.format`."""

from __future__ import annotations

import datetime as dt
import itertools
import urllib.parse
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from tidemill.web.icons import icon

#: How a status is shown: with which colour, and which sign. Colour alone says nothing.
GOOD, BAD, WARNING, ACTIVE, QUIET = "good", "bad", "warning", "active", "quiet"
_STATUSES = {
    "completed": GOOD, "ok": GOOD, "passed": GOOD, "delivered": GOOD, "sent": GOOD, "enabled": GOOD, "healthy": GOOD,
    "failed": BAD, "wrong": BAD, "in trouble": BAD, "rejected": BAD, "given up": BAD, "error": BAD, "locked": BAD,
    "warning": WARNING, "interrupted": WARNING, "paused": WARNING, "late": WARNING, "not streamed": WARNING,
    "retry": WARNING, "waiting": WARNING, "missing": WARNING, "overdue": WARNING,
    "running": ACTIVE, "streaming": ACTIVE, "planned": ACTIVE, "queued": ACTIVE, "testing": ACTIVE,
}  # fmt: skip
_SIGNS = {GOOD: "check", BAD: "cross", WARNING: "warning", ACTIVE: "clock", QUIET: ""}
#: A line of a hint that begins so is a command, for a shell or for BigQuery.
_COMMANDS = (
    "gcloud ", "tidemill ", "bq ", "chmod ", "pip ", "rm ", "GRANT ", "CREATE SCHEMA ", "ALTER SCHEMA ", "DROP SCHEMA ",
)  # fmt: skip
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def join(parts: Iterable[str | Markup], between: str | Markup = "") -> Markup:
    """Marks one after another; what is no mark is escaped."""
    return escape(between).join(map(escape, parts))


def badge(status: str | None, kind: str | None = None) -> Markup:
    """A status, in its colour and with its sign: ``badge(run.status)``. `kind`: GOOD, BAD, …, if it is no known one."""
    text = {"ok": "OK", None: "never ran"}.get(status, status) or "never ran"
    kind = kind or _STATUSES.get(text.lower(), QUIET)
    sign = icon(_SIGNS[kind], 14) if _SIGNS[kind] else Markup()
    return Markup('<span class="badge badge-{}">{}{}</span>').format(kind, sign, text[:1].upper() + text[1:])


def when(time: dt.datetime | None, *, otherwise: str = "–", plain: bool = False) -> Markup:
    """A time: in words from now ("3 minutes ago"), with that of the viewer's zone and UTC on hover. `plain`: as a date
    and time of the viewer's zone."""
    if time is None:
        return Markup('<span class="muted">{}</span>').format(otherwise)
    utc = time.astimezone(dt.UTC)
    return Markup('<time datetime="{}" data-when="{}" tabindex="-1">{}</time>').format(
        utc.isoformat(timespec="seconds"), "plain" if plain else "words", f"{utc:%Y-%m-%d %H:%M} UTC"
    )


def number(value: int | float | None) -> Markup:
    """A number to read: 1,234,567."""
    if value is None:
        return Markup('<span class="muted">–</span>')
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
    return Markup('<span class="number">{}</span>').format(text)


def size(count: int | None) -> Markup:
    """Bytes to read: 1.2 GB, with all digits on hover."""
    if count is None:
        return Markup('<span class="muted">–</span>')
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    text = f"{value:.0f}" if unit == 0 or value >= 100 else f"{value:.1f}"
    return Markup('<span class="number" title="{:,} bytes">{} {}</span>').format(count, text, _UNITS[unit])


def duration(seconds: float | None) -> Markup:
    """A span of time: 1.4 s, 3 min 20 s, 2 h 5 min, 3 d."""
    return Markup('<span class="number">{}</span>').format(span(seconds))


def span(seconds: float | None) -> str:
    """The same, as plain text."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, below, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def copy(text: str, shown: str | None = None) -> Markup:
    """An id, or the like, with a button that copies it. `shown`: if it is long, its beginning."""
    label = text if shown is None else shown
    return Markup(
        '<span class="copyable"><code title="{}">{}</code><button type="button" class="icon-button small" '
        'data-copy="{}" aria-label="Copy {}">{}</button></span>'
    ).format(text, label, text, label, icon("copy", 14))


def short_id(text: object) -> Markup:
    """An id, of which the beginning is shown and all of it is copied."""
    return copy(str(text), str(text)[:8])


def command(text: str) -> Markup:
    """Commands to copy; each line is one."""
    return Markup(
        '<div class="command"><pre tabindex="0"><code>{}</code></pre><button type="button" class="icon-button" '
        'data-copy="{}" aria-label="Copy the command">{}</button></div>'
    ).format(text, text, icon("copy", 16))


def link(text: str | Markup, path: str) -> Markup:
    """A link to a page of ours."""
    return Markup('<a href="{}">{}</a>').format(path, text)


def thing(place: str, name: str) -> Markup:
    """A link to the page of something with a name: ``thing("/exports", export.name)``."""
    return link(Markup("<strong>{}</strong>").format(name), path(place, name))


def path(place: str, *names: object) -> str:
    """The path of something with a name: ``path("/exports", name, "runs", run.id)``."""
    return "/".join((place, *(urllib.parse.quote(str(name), safe="") for name in names)))


def asking(place: str, **query: str) -> str:
    """A path with what is asked of it: ``asking("/syncs/_new", model=name)``."""
    return f"{place}?{urllib.parse.urlencode(query)}"


def hint(text: str) -> Markup:
    """What to do: sentences, and commands to copy; of each line it is seen which it is."""
    parts = []
    for is_command, lines in itertools.groupby(text.splitlines(), lambda line: line.startswith(_COMMANDS)):
        shown = "\n".join(lines)
        parts.append(command(shown) if is_command else Markup('<p class="muted">{}</p>').format(shown))
    return join(parts)


def muted(text: str | Markup) -> Markup:
    """What matters less."""
    return Markup('<span class="muted">{}</span>').format(text)


def tag(text: str) -> Markup:
    """A word that classes something: a model, a role, a scope."""
    return Markup('<span class="tag">{}</span>').format(text)


def tags(texts: Iterable[str]) -> Markup:
    """Several of them."""
    return Markup('<span class="tags">{}</span>').format(join(map(tag, texts)))


def facts(pairs: Sequence[tuple[str, str | Markup]]) -> Markup:
    """Names and values, as a list of facts."""
    items = (Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in pairs)
    return Markup('<dl class="facts">{}</dl>').format(join(items))


def figure(label: str, value: str | Markup, detail: str | Markup = "", kind: str = QUIET, path: str = "") -> Markup:
    """A figure of a dashboard: what it is, how much, and what that means. With `path` it leads there."""
    inner = Markup(
        '<span class="figure-label">{}</span><span class="figure-value">{}</span><span class="figure-detail">{}</span>'
    ).format(label, value, detail)
    if path:
        return Markup('<a class="figure figure-{}" href="{}">{}</a>').format(kind, path, inner)
    return Markup('<div class="figure figure-{}">{}</div>').format(kind, inner)


def figures(found: Iterable[Markup]) -> Markup:
    """Several of them in a row."""
    return Markup('<div class="figures">{}</div>').format(join(found))


def progress(done: int, total: int | None, *, rate: float | None = None, unit: str = "rows") -> Markup:
    """How far long work is: a bar, with the rate in units a second, and how long it will take still. Without a
    `total` it is not known, and the bar runs."""
    said = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    more = []
    if rate:
        more.append(f"{rate:,.0f} {unit} a second")
        if total is not None and total > done:
            more.append(f"about {span((total - done) / rate)} left")
    share = None if not total else min(100.0, 100 * done / total)
    bar = (
        Markup('<progress max="100" aria-label="Progress"></progress>')
        if share is None
        else Markup('<progress max="100" value="{:.1f}" aria-label="Progress">{:.0f}%</progress>').format(share, share)
    )
    return Markup('<div class="progress">{}<p><span>{}</span><span class="muted">{}</span></p></div>').format(
        bar, said, ", ".join(more)
    )


def empty(title: str, text: str | Markup, action: Markup = Markup(), sign: str = "info") -> Markup:
    """What stands where nothing is yet: what it is, and what to do next."""
    return Markup('<div class="empty">{}<h2>{}</h2><p>{}</p>{}</div>').format(icon(sign, 28), title, text, action)


def panel(title: str, content: str | Markup, action: Markup = Markup()) -> Markup:
    """A part of a page, with its heading."""
    return Markup(
        '<section class="panel"><div class="panel-head"><h2>{}</h2>{}</div><div class="panel-body">{}</div></section>'
    ).format(title, action, content)


def goto(text: str, path: str, kind: str = "primary", sign: str = "") -> Markup:
    """A link that looks like a button."""
    return Markup('<a class="button button-{}" href="{}">{}{}</a>').format(kind, path, icon(sign) if sign else "", text)
