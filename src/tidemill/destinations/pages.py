"""The documents' pages of destinations: what is written of each, and what its definition says.

``python -m tidemill.destinations.pages`` writes them, in the folder that holds docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tidemill.destinations import described, registry
from tidemill.destinations.port import Action, Destination, Field

FOLDER = Path("docs") / "reference" / "destinations"
_MADE = "<!-- Made of the destination's README and definition, by python -m tidemill.destinations.pages -->\n"


def everything() -> dict[Path, str]:
    """All pages, by their place."""
    found = registry.everything()
    return {
        FOLDER / "README.md": index(found.values()),
        **{FOLDER / f"{name}.md": page(destination) for name, destination in found.items()},
    }


def index(destinations: Iterable[Destination]) -> str:
    """The page that leads to the others."""
    rows = [
        (
            f"[{one.title}]({one.name}.md)",
            f"`{one.name}`",
            ", ".join(f"`{action.name}`" for action in one.actions),
            one.description,
        )
        for one in destinations
    ]
    return "\n".join(
        [
            _MADE,
            "# Destinations\n",
            "Tools that [syncs](../../howto/syncs.md) deliver rows to. Each page says what the tool does with them,",
            "which settings an account has, what a mapping may name, and what becomes of rows that are refused.\n",
            *_table(("tool", "kind", "actions", "what rows become"), rows),
            "",
        ]
    )


def page(destination: Destination) -> str:
    """That of one destination."""
    written = (Path(__file__).parent / destination.name / "README.md").read_text(encoding="utf-8")
    return "\n".join([_MADE, written.rstrip(), "", *_reference(destination)])


def _reference(destination: Destination) -> Iterator[str]:
    yield "## Reference\n"
    yield f"Kind: `{destination.name}`. [The tool's own documentation]({destination.page}).\n"
    yield "### All settings\n"
    rows = [(f"`{one.name}`", one.kind, one.left_out, one.description) for one in described.settings(destination)]
    yield from _table(("setting", "kind", "left out", "what it is"), rows)
    yield "\n### Pace\n"
    yield f"Of an account, for all workers together: {described.pace(destination)}."
    yield "When it asks to wait, all workers do.\n"
    for action in destination.actions:
        yield from _action(action)


def _action(action: Action) -> Iterator[str]:
    yield f"### {action.title}: `{action.name}`\n"
    yield f"{action.description}\n"
    yield f"- Modes: {described.modes(action)}. The first is taken if none is said."
    yield f"- Limits: {described.limits(action.limits)}."
    if action.more:
        yield f"- Fields: {'these, and any other names' if action.fields else 'any names'}."
    yield ""
    rows = [(f"`{one.name}`", described.kind(one), described.needed(action, one), _told(one)) for one in action.fields]
    if rows:
        yield from _table(("field", "kind", "required", "what it is"), rows)
        yield ""


def _told(field: Field) -> str:
    also = f" In mappings of Segment's: {', '.join(f'`{name}`' for name in field.also)}." if field.also else ""
    return field.description + also


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from map(_line, rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def write(root: Path) -> list[Path]:
    """Write all pages below a folder, and take away those of destinations that there are no more. Gives the files."""
    found = {root / path: text for path, text in everything().items()}
    for old in (root / FOLDER).glob("*.md"):
        if old not in found:
            old.unlink()
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(found)


if __name__ == "__main__":
    write(Path.cwd())
