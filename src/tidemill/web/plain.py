"""Pages without NiceGUI: the doors, and what is said when a page cannot be shown. They work without scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup
from starlette.responses import HTMLResponse

from tidemill.errors import TidemillError

_DOCUMENT = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title} · Tidemill</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/fonts.css">
<link rel="stylesheet" href="/static/theme.css">
<link rel="stylesheet" href="/static/parts.css">
<script src="/static/theme.js"></script>
</head>
<body class="door">
<main class="door-card">
<p class="brand">{brand}</p>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
""")
BRAND = Markup('<img src="/static/icon.svg" alt="" width="28" height="28"><span>Tidemill</span>')
_FIELD = Markup(
    '<div class="field"><label for="{name}">{label}</label>'
    '<input id="{name}" name="{name}" type="{kind}" value="{value}" autocomplete="{autocomplete}" required{extra}>'
    "{help}{error}</div>"
)
_HELP = Markup('<p class="field-help" id="{name}-help">{text}</p>')
_ERROR = Markup('<p class="field-error" id="{name}-error">{text}</p>')
_FORM = Markup(
    '<form method="post" action="{action}" class="stack">{problem}'
    '<input type="hidden" name="form_token" value="{token}">{hidden}{fields}'
    '<button class="button button-primary button-wide" type="submit">{submit}</button></form>'
)
_PROBLEM = Markup(
    '<div class="notice notice-bad" role="alert"><p class="notice-title">{message}</p>{hint}'
    '<p class="notice-code">{code}</p></div>'
)
_NOTE = Markup('<p class="notice notice-good" role="status">{text}</p>')


@dataclasses.dataclass(frozen=True)
class Input:
    """A field of a plain form. `value`: what was given before; never that of a password."""

    name: str
    label: str
    kind: str = "text"
    autocomplete: str = "off"
    help: str = ""
    value: str = ""
    error: str = ""
    focus: bool = False


def document(title: str, body: Markup, status: int = 200) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(_DOCUMENT.format(title=title, body=body, brand=BRAND), status)


def form(
    action: str, token: str, fields: Sequence[Input], submit: str, *, problem: Markup = Markup(), hidden: str = ""
) -> Markup:
    """A form with its token; `hidden`: where to go then."""
    extra = Markup('<input type="hidden" name="next" value="{}">').format(hidden) if hidden else Markup()
    shown = Markup().join(map(_field, fields))
    return _FORM.format(action=action, token=token, hidden=extra, fields=shown, submit=submit, problem=problem)


def _field(field: Input) -> Markup:
    extra = Markup()
    described = [f"{field.name}-{what}" for what, text in (("help", field.help), ("error", field.error)) if text]
    if described:
        extra += Markup(' aria-describedby="{}"').format(" ".join(described))
    if field.error:
        extra += Markup(' aria-invalid="true"')
    if field.focus or field.error:
        extra += Markup(" autofocus")
    return _FIELD.format(
        **{one: getattr(field, one) for one in ("name", "label", "kind", "autocomplete", "value")},
        extra=extra,
        help=_HELP.format(name=field.name, text=field.help) if field.help else "",
        error=_ERROR.format(name=field.name, text=field.error) if field.error else "",
    )


def problem(error: TidemillError) -> Markup:
    """An error, with what to do."""
    hint = Markup("<p>{}</p>").format(error.hint) if error.hint else Markup()
    return _PROBLEM.format(message=error.message, hint=hint, code=error.code)


def note(text: str) -> Markup:
    """Something that went well."""
    return _NOTE.format(text=text)
