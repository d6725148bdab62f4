"""What came from outside, as it is shown: JSON, and events of the store. All of it is text of others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from tidemill.web import marks

#: Characters that are shown of one value; the rest can be had by the API.
_MOST = 20_000
#: A longer JSON text is shown as it came: to read it costs more than its lines are worth.
_MOST_READ = 200_000


def as_json(value: Any) -> Markup:
    """A value, or a JSON text, with its lines; it is shown as text, whatever it says."""
    if isinstance(value, str):
        if len(value) > _MOST_READ:
            return pre(value)
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return pre(value)
    return pre(written(value))


def written(value: Any, most: int = _MOST, indent: int | None = 2) -> str:
    """A value as `json.dumps` writes it, but no more than is shown: a few characters beyond `most` at most.

    `json.dumps` takes as long as the value is large times how deep it is, and what is sent to us is neither small nor
    flat if somebody wants it so.
    """
    pieces, length = [], 0
    for piece in _pieces(value, most, indent):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return "".join(pieces)


def _pieces(value: Any, most: int, indent: int | None) -> Iterator[str]:
    """One after another, without a call for each level."""
    comma = ", " if indent is None else ","
    opened: list[tuple[Iterator[tuple[str, Any]], str]] = []  # what is left of each container, and how it is closed

    def line() -> str:
        return "" if indent is None else "\n" + " " * (indent * len(opened))

    while True:
        is_first = bool(value) and isinstance(value, dict | list | tuple)
        if is_first:
            is_object = isinstance(value, dict)
            opened.append((_members(value, most) if is_object else (("", one) for one in value), "]}"[is_object]))
            yield "[{"[is_object]
        else:
            yield _scalar(value, most)
        while opened:
            found = next(opened[-1][0], None)
            if found is not None:
                break
            closing = opened.pop()[1]
            yield line() + closing
            is_first = False
        else:
            return
        name, value = found
        yield ("" if is_first else comma) + line() + name


def _members(value: Mapping[Any, Any], most: int) -> Iterator[tuple[str, Any]]:
    return ((f"{_scalar(str(key), most)}: ", one) for key, one in value.items())


def _scalar(value: Any, most: int) -> str:
    return json.dumps(value[:most] if isinstance(value, str) else value, ensure_ascii=False, default=str)


def pre(text: str) -> Markup:
    """A text as it is."""
    cut = text if len(text) <= _MOST else f"{text[:_MOST]}…"
    return Markup('<pre class="json-text" tabindex="0">{}</pre>').format(cut)


def brief(value: Any, most: int = 80) -> str:
    """A value in one line."""
    text = value if isinstance(value, str) else written(value, _MOST, None)
    text = " ".join(text[:_MOST].split())
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
