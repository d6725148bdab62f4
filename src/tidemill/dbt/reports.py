"""What `tidemill dbt check` tells: to people, to programs, to GitHub beside the lines, and as a comment in Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tidemill.dbt.changes import Change, Weight

_TITLES = {
    Weight.BREAKING: "Breaks syncs",
    Weight.NOTICE: "To know",
    Weight.HARMLESS: "Harmless",
}
_MARKS = {Weight.BREAKING: "❌", Weight.NOTICE: "⚠️", Weight.HARMLESS: "✅"}
#: GitHub's commands of workflows, and how it shows them.
_LEVELS = {Weight.BREAKING: "error", Weight.NOTICE: "warning", Weight.HARMLESS: "notice"}
#: A comment of GitHub's may have 65,536 characters.
_MOST_CHARACTERS = 60_000


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check found. `models`: how many are in use, by `syncs` syncs."""

    project: str
    changes: tuple[Change, ...]
    models: int
    syncs: int

    @property
    def breaking(self) -> tuple[Change, ...]:
        """Those that would break a sync."""
        return self.of(Weight.BREAKING)

    def of(self, weight: Weight) -> tuple[Change, ...]:
        """Those of a weight."""
        return tuple(change for change in self.changes if change.weight is weight)

    @property
    def verdict(self) -> str:
        """It in one sentence."""
        used = f"{_number(self.models, 'model')} of {self.project} in use by {_number(self.syncs, 'sync')}"
        if not self.breaking:
            return f"Nothing breaks: {used}."
        broken = {sync for change in self.breaking for sync in change.syncs}
        return f"{_number(len(self.breaking), 'change')} would break {_number(len(broken), 'sync')} ({used})."

    def as_json(self) -> str:
        """For programs."""
        changes = [dataclasses.asdict(change) for change in self.changes]
        about = {"project": self.project, "passes": not self.breaking, "models": self.models, "syncs": self.syncs}
        return json.dumps({**about, "verdict": self.verdict, "changes": changes}, indent=2, ensure_ascii=False)

    def as_github(self, folder: str = "") -> str:
        """Commands by which a workflow of GitHub's shows changes beside files. `folder`: where the project is in the
        repository. What is harmless is left out: there may be only so many."""
        lines = [_command(change, folder) for change in self.changes if change.weight is not Weight.HARMLESS]
        return "\n".join([*lines, self.verdict])

    def as_markdown(self) -> str:
        """For a comment on a change."""
        lines = [f"### {'❌' if self.breaking else '✅'} Tidemill: {_cell(self.verdict)}", ""]
        for weight in Weight:
            found = self.of(weight)
            if not found:
                continue
            if weight is Weight.HARMLESS:
                lines += [f"<details><summary>{_TITLES[weight]} ({len(found)})</summary>", ""]
            else:
                lines += [f"**{_TITLES[weight]}**", ""]
            lines += _table(found)
            lines += ["", "</details>", ""] if weight is Weight.HARMLESS else [""]
        text = "\n".join(lines)
        more = "\n\n… and more: see the log of the job.\n"
        return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + more


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _command(change: Change, folder: str) -> str:
    path = f"{folder.strip('/')}/{change.path}".lstrip("/") if change.path else ""
    title = f"{change.code}: {', '.join(change.syncs)}"
    about = [f"file={_property(path)}"] if path else []
    about.append(f"title={_property(title)}")
    return f"::{_LEVELS[change.weight]} {','.join(about)}::{_data(' '.join((change.message, change.hint)).strip())}"


def _data(text: str) -> str:
    """As a workflow command has it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _table(changes: Sequence[Change]) -> list[str]:
    rows = ["| | change | what to do | syncs |", "|---|---|---|---|"]
    for change in changes:
        cells = (_MARKS[change.weight], change.message, change.hint, ", ".join(change.syncs))
        rows.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return rows


def _cell(text: str) -> str:
    """Text that stays in its cell, and is no markup: names come from who wrote the change."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#@" else letter for letter in text)
    return " ".join(escaped.split())
