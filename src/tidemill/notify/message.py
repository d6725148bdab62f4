"""A message: what was written down of a trouble, or of its end, in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import socket
from typing import Any

from tidemill.store.records_notify import RECOVERED, Cause, Delivery

TEST = "test"
_TITLES = {
    Cause.FAILED: "Export {} fails",
    Cause.PAUSED: "Export {} is paused",
    Cause.OVERDUE: "Export {} is overdue",
    Cause.MISSING: "Export {} lacks a run",
    Cause.REJECTS: "Export {} sets rows aside",
    Cause.STREAM: "Stream {} stands still",
    Cause.DEVIATION: "Export {} has an unusual number of rows",
}
_OVER = {
    Cause.FAILED: "It failed",
    Cause.PAUSED: "It was paused",
    Cause.OVERDUE: "It was overdue",
    Cause.MISSING: "A run was missing",
    Cause.REJECTS: "It set too many rows aside",
    Cause.STREAM: "It stood still",
    Cause.DEVIATION: "The number of rows was unusual",
}
#: Where it is said otherwise of a sync.
_TITLES_OF_SYNCS = {cause: title.replace("Export", "Sync") for cause, title in _TITLES.items()} | {
    Cause.REJECTS: "Rows of sync {} are refused"
}
_OVER_OF_SYNCS = _OVER | {Cause.REJECTS: "Too many rows were refused"}


@dataclasses.dataclass(frozen=True)
class Message:
    """`kind`: a cause, ``recovered`` or ``test``; `export` with its `table`, or `sync` with its `model` and
    `destination`: what it is about; `group`: import, if the sync is one; `at`: when it was written; `since`: when the
    trouble began; `then`: what happens next by itself; `hint`: what to do; `over`: causes that are over, with since
    when they had lasted."""

    id: str
    kind: str
    at: dt.datetime
    export: str | None = None
    table: str | None = None
    sync: str | None = None
    model: str | None = None
    destination: str | None = None
    group: str = "sync"
    code: str = ""
    message: str = ""
    hint: str = ""
    then: str = ""
    permission: str | None = None
    commands: tuple[str, ...] = ()
    since: dt.datetime | None = None
    over: tuple[tuple[str, dt.datetime], ...] = ()

    @property
    def title(self) -> str:
        """In a line."""
        if self.kind == TEST:
            return "This is a test"
        if self.kind == RECOVERED:
            if self.sync is not None:
                return f"{self.group.capitalize()} {self.sync} is well again"
            goes_on = "Stream {} goes on" if self._causes == {Cause.STREAM} else "Export {} is well again"
            return goes_on.format(self.export)
        if self.sync is None:
            return _TITLES[Cause(self.kind)].format(self.export)
        title = _TITLES_OF_SYNCS[Cause(self.kind)]
        named = title if self.group == "sync" else title.replace("Sync", "Import").replace("sync", "import")
        return named.format(self.sync)

    @property
    def _causes(self) -> set[str]:
        return {cause for cause, _ in self.over}

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What is to be said, by what it is; without what to do."""
        found = [("Table", self.table), ("Model", self.model), ("Destination", self.destination)]
        found += [("Reason", self._reason), ("Missing permission", self.permission)]
        found += [("Since", at(self.since) if self.since else None)]
        ended = _OVER if self.sync is None else _OVER_OF_SYNCS
        found += [(ended[Cause(cause)], f"from {at(since)} to {at(self.at)}") for cause, since in self.over]
        found += [("What happens next", self.then)]
        return [(name, text) for name, text in found if text]

    @property
    def _reason(self) -> str:
        return f"{self.message} [{self.code}]" if self.code else self.message


def of(delivery: Delivery) -> Message:
    """The message of a delivery."""
    facts: dict[str, Any] = dict(delivery.facts)
    over = tuple((str(one["cause"]), _moment(one["since"])) for one in facts.pop("over", ()))
    since, commands = facts.pop("since", None), tuple(facts.pop("commands", ()))
    known = {field.name for field in dataclasses.fields(Message)}
    return Message(
        id=delivery.notice_id.hex,
        kind=delivery.kind,
        at=delivery.created_at,
        since=_moment(since) if since else None,
        commands=commands,
        over=over,
        **{name: value for name, value in facts.items() if name in known},
    )


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test(identity: str, channel: str) -> Message:
    """A message that says that messages arrive."""
    said = f"Messages of the channel {channel} arrive: what is wrong with exports and syncs, and when it is over."
    return Message(id=identity, kind=TEST, at=dt.datetime.now(dt.UTC), message=said)


def text(message: Message) -> str:
    """All of it, as plain text."""
    parts = [f"{message.title}.", "\n".join(f"{name}: {said}" for name, said in message.lines)]
    if message.hint:
        parts.append(f"What to do:\n{message.hint}")
    if message.commands:
        parts.append("Commands:\n" + "\n".join(f"  {command}" for command in message.commands))
    return "\n\n".join(part for part in parts if part)


def at(moment: dt.datetime) -> str:
    """A moment, as people read it."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def sender(home: str) -> str:
    """Which installation it is: people may have several."""
    return f"Tidemill on {socket.gethostname()}, {home}"
