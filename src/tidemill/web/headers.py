"""What each answer says to the browser beside its content: what it may load, and from where (docs/decisions/0026).

`script-src` has no `'unsafe-inline'`: NiceGUI's inline scripts get a nonce (`application.py`). `'unsafe-eval'` stays on
its pages: Vue compiles templates in the browser, and NiceGUI sends handlers as text. Styles may be inline: Vue and
ECharts set them. Nothing is loaded from, or sent to, any other host.
"""

from __future__ import annotations

from collections.abc import Iterable

Pairs = list[tuple[bytes, bytes]]

_SHARED = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # none at all would take the Origin from forms, by which they are judged
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_YEAR_SECONDS = 31_536_000
#: Files whose name holds their version; those of ours are looked at again each time.
_KEPT, _OURS = "/_nicegui/", "/static/"


def policy(nonce: str | None) -> bytes:
    """The Content-Security-Policy; with a nonce, of a page of NiceGUI."""
    scripts = f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'" if nonce else "script-src 'self'"
    return f"{_SHARED}; {scripts}".encode()


def secured(found: Iterable[tuple[bytes, bytes]], path: str, nonce: str | None, *, tls: bool) -> Pairs:
    """The headers of an answer, with those that keep it safe."""
    ours = {b"content-security-policy": policy(nonce), **dict(_ALWAYS)}
    if tls:
        ours[b"strict-transport-security"] = f"max-age={_YEAR_SECONDS}".encode()
    if path.startswith(_OURS):
        ours[b"cache-control"] = b"private, no-cache"
    elif path.startswith(_KEPT) and "/client/" not in path:
        ours[b"cache-control"] = f"private, max-age={_YEAR_SECONDS}, immutable".encode()
    else:
        ours[b"cache-control"] = b"no-store"
    kept = [(name, value) for name, value in found if name.lower() not in ours]
    return [*kept, *ours.items()]
