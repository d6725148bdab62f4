"""What came from outside, as it is shown: JSON, and events of the store. All of it is text of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tidemill.web import marks

#: Characters that are shown of one value; the rest can be had by the API.
_MOST = 20_000


def as_json(value: Any) -> Markup:
    """A value, or a JSON text, with its lines; it is shown as text, whatever it says."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return pre(value)
    return pre(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def pre(text: str) -> Markup:
    """A text as it is."""
    cut = text if len(text) <= _MOST else f"{text[:_MOST]}…"
    return Markup('<pre class="json-text" tabindex="0">{}</pre>').format(cut)


def brief(value: Any, most: int = 80) -> str:
    """A value in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def properties(event: Mapping[str, Any]) -> Markup:
    """Those of an event: the beginning, and all of them when it is opened."""
    found = dict(event)
    whole = {name: found[name] for name in ("uuid", "team_id", "ip") if found.get(name) is not None}
    parts = [as_json(found["properties"] or "{}")]
    parts += [
        Markup("<p><code>{}</code></p>{}").format(f"${name}", as_json(found[name]))
        for name in ("set", "set_once")
        if found.get(name) and found[name] != "{}"
    ]
    facts = marks.facts([(name, marks.copy(str(value))) for name, value in whole.items()])
    return Markup('<details class="changes"><summary><code>{}</code></summary>{}{}</details>').format(
        brief(found["properties"] or "{}", 60), marks.join(parts), facts
    )
