"""What a user can do with channels: add, see, change, remove and test them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from tidemill.errors import ConfigError, NotFoundError, TidemillError
from tidemill.notify import channel as channels
from tidemill.notify import message as messages
from tidemill.notify import spec
from tidemill.notify.sender import Sender
from tidemill.notify.spec import KINDS, Spec, WebhookSpec
from tidemill.outbound import signing
from tidemill.outbound.guard import Guard
from tidemill.paging import Page, Wanted, assert_known
from tidemill.store.channels import CHANNEL_SORTS, Channels
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.outbox import Outbox
from tidemill.store.records_notify import Cause, Channel, Delivery
from tidemill.store.secrets import Secrets, differing
from tidemill.store.sync_things import Syncs

__all__ = ["CHANNEL_SORTS", "ChannelView", "MessageView", "NotifyService", "Tested"]

_DELETED = "(deleted)"


@dataclasses.dataclass(frozen=True)
class ChannelView:
    """A channel, without its secret. `causes`: of which it is told; empty: of all. `exports`, `syncs`: likewise; if
    there is one in either, of these alone. `waiting`, `given_up`: messages. `trouble`: why its last try failed."""

    id: uuid.UUID
    name: str
    kind: str
    to: str
    settings: dict[str, Any]
    causes: tuple[str, ...]
    exports: tuple[str, ...]
    syncs: tuple[str, ...]
    made_at: dt.datetime
    made_by: str
    last_sent_at: dt.datetime | None
    waiting: int
    given_up: int
    failing_since: dt.datetime | None
    trouble: str | None
    what_to_do: str | None


@dataclasses.dataclass(frozen=True)
class MessageView:
    """A message of a channel, and what became of it. `status`: sent, waiting or given up."""

    written_at: dt.datetime
    title: str
    status: str
    sent_at: dt.datetime | None
    next_try_at: dt.datetime | None
    tries: int
    error: str | None


@dataclasses.dataclass(frozen=True)
class Tested:
    """What came of a test message. `error`: why somebody has not got it."""

    channel: str
    to: str
    error: TidemillError | None


class NotifyService:
    """Channels."""

    def __init__(
        self,
        found: Channels,
        outbox: Outbox,
        exports: Exports,
        syncs: Syncs,
        secrets: Secrets,
        home: str,
        guard: Guard,
    ) -> None:
        """`home`: of the installation, which is told in messages; `guard`: says which servers may be reached."""
        self._channels, self._outbox, self._secrets, self._home = found, outbox, secrets, home
        self._exports, self._syncs = exports, syncs
        self._guard, self.sender = guard, Sender(outbox, secrets, home, guard)

    @classmethod
    def of(cls, database: Database, secrets: Secrets, home: str, allowed: str = "") -> NotifyService:
        """That of an installation. `allowed`: servers that may be reached though they are not of the internet."""
        guard = Guard(allowed.split(","))
        return cls(Channels(database), Outbox(database), Exports(database), Syncs(database), secrets, home, guard)

    def assert_free(self, name: str) -> None:
        """Raise ConflictError if there is a channel of that name, and ConfigError if there cannot be."""
        self._channels.assert_free(_name(name))

    def add(
        self,
        kind: str,
        name: str,
        fields: dict[str, Any],
        *,
        causes: Sequence[str] = (),
        exports: Sequence[str] = (),
        syncs: Sequence[str] = (),
        by: str,
    ) -> tuple[ChannelView, str | None]:
        """Save a new one. Gives it, and the key of a webhook that was made, which is not shown again.

        Raises
        ------
        ConfigError
            Something of it is wrong.
        ConflictError
            The name is taken.
        """
        self.assert_free(name)
        key = None
        if kind == WebhookSpec.kind and fields.get("key") is None:
            made = signing.new_key()
            key, fields = made.get_secret_value(), {**fields, "key": made}
        filters = {**self._causes(causes), **self._things(None, exports, syncs)}
        saved = self._channels.add(name=name, kind=kind, **self._fields(spec.make(kind, fields)), **filters, made_by=by)
        return self._view(saved), key

    def edit(
        self,
        name: str,
        fields: dict[str, Any],
        *,
        rename: str | None = None,
        causes: Sequence[str] | None = None,
        exports: Sequence[str] | None = None,
        syncs: Sequence[str] | None = None,
    ) -> ChannelView:
        """Change what is named; `causes`, `exports` and `syncs` without any: all.

        Raises
        ------
        ConfigError
            Something of it is wrong, or nothing is named.
        """
        saved = self._channels.get(name)
        known = set(KINDS[saved.kind].model_fields)
        if unknown := sorted(set(fields) - known):
            raise ConfigError(
                "channel_field",
                f"{saved.name} is of the kind {saved.kind}, which has no {' and no '.join(unknown)}.",
                hint=f"It has: {', '.join(sorted(known))}.",
            )
        if not fields and all(named is None for named in (rename, causes, exports, syncs)):
            raise ConfigError("nothing_to_change", "Nothing to change was named.", hint="tidemill notify edit --help")
        changes: dict[str, Any] = {}
        if fields:
            changes |= self._fields(spec.make(saved.kind, {**self._said(saved, fields), **fields}))
        if rename is not None:
            changes["name"] = _name(rename)
        changes |= {**self._causes(causes), **self._things(saved, exports, syncs)}
        changed = self._channels.change(saved.id, **changes)
        if fields:  # what was wrong with it may be mended
            self._outbox.hasten(saved.id)
        return self._view(changed)

    def _said(self, saved: Channel, fields: dict[str, Any]) -> dict[str, Any]:
        """What was said of a channel before. A secret that is given anew need not be readable."""
        hidden = {name for name in KINDS[saved.kind].model_fields if name not in saved.settings}
        if hidden <= set(fields):
            return dict(saved.settings)
        moved = [name for name in ("host", "port") if name in fields and fields[name] != saved.settings.get(name)]
        if moved and saved.secret is not None:
            raise ConfigError(
                "secrets_again",
                f"With another {', '.join(moved)} the secrets have to be given again: {', '.join(sorted(hidden))}.",
                hint="They were given for the server of before, and are sent to no other one.",
            )
        before = channels.opened(saved, self._secrets)
        return {name: getattr(before, name) for name in type(before).model_fields}

    def _fields(self, made: Spec) -> dict[str, Any]:
        hidden = made.hidden()
        return {
            "address": made.address,
            "settings": made.shown(),
            "secret": self._secrets.encrypt(hidden) if hidden else None,
        }

    def _causes(self, causes: Sequence[str] | None) -> dict[str, Any]:
        """What it is told of, as it is kept; nothing, if it is not named."""
        return {} if causes is None else {"causes": [_cause(name) for name in dict.fromkeys(causes)] or None}

    def _things(
        self, saved: Channel | None, exports: Sequence[str] | None, syncs: Sequence[str] | None
    ) -> dict[str, Any]:
        """The exports and syncs that it is told of, likewise: those that are named, with what is not named as it is.

        Raises
        ------
        ConfigError
            It would be told of all of the ones, and of some of the others.
        """
        if exports is None and syncs is None:
            return {}
        kept = saved.exports or [] if saved is not None else []
        known = {sync.id for sync in self._syncs.find()}
        mine = [one for one in kept if one not in known]
        if exports is not None:
            mine = [self._exports.get(name).id for name in dict.fromkeys(exports)]
        theirs = [one for one in kept if one in known]
        if syncs is not None:
            theirs = [self._syncs.get(name).id for name in dict.fromkeys(syncs)]
        lifted = [named is not None and not named for named in (exports, syncs)]
        if saved is not None and ((lifted[0] and theirs) or (lifted[1] and mine)):
            raise ConfigError(
                "channel_limited",
                "A channel that is told of some exports or syncs is told of these alone.",
                hint="To have it told of all: --export all --sync all",
            )
        return {"exports": [*mine, *theirs] or None}

    def find(self) -> list[ChannelView]:
        """All of them."""
        counts = self._outbox.waiting()
        return [self._view(channel, counts) for channel in self._channels.find()]

    def page(
        self,
        *,
        search: str | None = None,
        kind: str | None = None,
        failing: bool | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[ChannelView]:
        """The same by pages, by one of CHANNEL_SORTS. `search`: in the name; `failing`: its last try failed."""
        assert_known("kind", kind, list(KINDS))
        page, counts = self._channels.page(search, kind, failing, wanted), self._outbox.waiting()
        told = self._names({one for channel in page.items for one in channel.exports or ()})
        return page.map(lambda channel: self._view(channel, counts, told))

    def get(self, name: str) -> ChannelView:
        """The one of that name; NotFoundError if there is none."""
        return self._view(self._channels.get(name))

    def kept(self, name: str) -> tuple[str, ...]:
        """Names of the secrets that a channel has."""
        return self.differing(name, {})

    def rewritten(self, name: str, fields: Mapping[str, Any], kept: Sequence[str]) -> Spec:
        """A channel, given anew but for those of its secrets that stay; checked but not saved. Raises as `edit`."""
        saved = self._channels.get(name)
        before = self._said(saved, dict(fields))
        return spec.make(saved.kind, {**fields, **{field: before[field] for field in kept}})

    def differing(self, name: str, given: Mapping[str, SecretStr]) -> tuple[str, ...]:
        """Names of secrets that a channel has otherwise than they are given; of none, those that it has. If they cannot
        be read any more, all are others."""
        saved = self._channels.get(name)
        try:
            hidden = json.loads(self._secrets.decrypt(saved.secret)) if saved.secret else {}
        except ConfigError:  # the secret key is lost
            return tuple(given) or tuple(set(KINDS[saved.kind].model_fields) - set(saved.settings))
        return differing(hidden, given)

    def messages(self, name: str, *, limit: int) -> list[MessageView]:
        """Messages of a channel, the newest first."""
        return [_message(one) for one in self._outbox.history(self._channels.get(name).id, limit)]

    def remove(self, name: str) -> None:
        """Remove one, with its secret and its messages."""
        self._channels.delete(self._channels.get(name).id)

    def test(self, name: str | None = None) -> Iterator[Tested]:
        """Send a test message now, by one or by all. If it is taken, what waits is sent by the server at once.

        Raises
        ------
        NotFoundError
            There is none.
        """
        found = [self._channels.get(name)] if name else self._channels.find()
        if not found:
            raise NotFoundError(
                "channel_unknown", "There are no channels.", hint="Make one: tidemill notify add --help"
            )
        for channel in found:
            yield self._tested(channel)

    def _tested(self, channel: Channel) -> Tested:
        error = None
        try:
            made = channels.opened(channel, self._secrets)
            left = channels.send(made, [messages.test(uuid.uuid4().hex, channel.name)], self._home, guard=self._guard)
            error = left.error if left is not None else None
        except TidemillError as found:
            error = found
        said = {"code": error.code, "message": error.message, "hint": error.hint} if error else None
        self._outbox.tested(channel.id, said)
        return Tested(channel.name, channel.address, error)

    def _view(
        self, saved: Channel, counts: Mapping[uuid.UUID, tuple[int, int]] | None = None, told: _Told | None = None
    ) -> ChannelView:
        waiting, given_up = (self._outbox.waiting() if counts is None else counts).get(saved.id, (0, 0))
        exports, syncs = _told_of(saved, self._names(saved.exports or ()) if told is None else told)
        return ChannelView(
            id=saved.id,
            name=saved.name,
            kind=saved.kind,
            to=saved.address,
            settings=saved.settings,
            causes=tuple(saved.causes or ()),
            exports=exports,
            syncs=syncs,
            made_at=saved.made_at,
            made_by=saved.made_by,
            last_sent_at=saved.sent_at,
            waiting=waiting,
            given_up=given_up,
            failing_since=saved.failing_since,
            trouble=saved.error["message"] if saved.error else None,
            what_to_do=saved.error["hint"] if saved.error else None,
        )

    def _names(self, ids: Collection[uuid.UUID]) -> _Told:
        return _Told(self._exports.names(ids), self._syncs.names(ids)) if ids else _Told({}, {})


@dataclasses.dataclass(frozen=True)
class _Told:
    """Names of exports and of syncs that channels are told of, by their ids."""

    exports: Mapping[uuid.UUID, str]
    syncs: Mapping[uuid.UUID, str]


def _told_of(saved: Channel, names: _Told) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the exports, and of the syncs. What was deleted is among the exports."""
    ids = saved.exports or ()
    of_exports = tuple(names.exports.get(one, _DELETED) for one in ids if one not in names.syncs)
    return of_exports, tuple(names.syncs[one] for one in ids if one in names.syncs)


def _name(name: str) -> str:
    if not re.fullmatch(spec.NAME_RULE, name):
        raise ConfigError(
            "channel_name",
            f"A channel cannot be named {name!r}.",
            hint="Up to 100 letters, digits, spaces and any of _ . - (a letter or digit first).",
        )
    return name


def _cause(name: str) -> str:
    try:
        return Cause(name.strip().lower()).value
    except ValueError:
        raise ConfigError(
            "cause_unknown", f"{name!r} is nothing that people are told of.", hint=f"One of: {', '.join(Cause)}."
        ) from None


def _message(delivery: Delivery) -> MessageView:
    status = "sent" if delivery.sent_at else "given up" if delivery.given_up_at else "waiting"
    return MessageView(
        written_at=delivery.created_at,
        title=messages.of(delivery).title,
        status=status,
        sent_at=delivery.sent_at,
        next_try_at=delivery.due_at if status == "waiting" else None,
        tries=delivery.tries,
        error=delivery.error["message"] if delivery.error else None,
    )
