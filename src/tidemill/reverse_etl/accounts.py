"""What a user can do with destinations: add an account of a tool, see, change, test and delete it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pydantic
from pydantic import SecretStr

from tidemill import invalid
from tidemill.destinations import registry
from tidemill.destinations.home import HOME, KIND
from tidemill.destinations.port import Outlet, Settings
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.outbound import network, urls
from tidemill.outbound.client import Http
from tidemill.reverse_etl.spec import NAME_RULE
from tidemill.reverse_etl.work import opened_settings
from tidemill.schedules import telling
from tidemill.store.records_sync import Account
from tidemill.store.secrets import Secrets, differing
from tidemill.store.sync_books import SyncBooks

#: Settings that say to which server requests go.
_PLACE = re.compile(r"endpoint|host|port|url")


@dataclasses.dataclass(frozen=True)
class AccountView:
    """An account of a tool, without its secrets. `secrets`: names of settings that are kept secret. `syncs`: which
    deliver to it."""

    id: uuid.UUID
    name: str
    kind: str
    title: str
    account: str
    settings: dict[str, Any]
    secrets: tuple[str, ...]
    syncs: tuple[str, ...]
    made_at: dt.datetime
    made_by: str

    @classmethod
    def of(cls, saved: Account, syncs: Iterable[str]) -> AccountView:
        """The view of an account, to which these deliver."""
        destination = registry.get(saved.kind)
        hidden = tuple(name for name in destination.settings.model_fields if secret_field(destination.settings, name))
        return cls(
            id=saved.id,
            name=saved.name,
            kind=saved.kind,
            title=destination.title,
            account=saved.account,
            settings=saved.settings,
            secrets=hidden,
            syncs=tuple(syncs),
            made_at=saved.made_at,
            made_by=saved.made_by,
        )


class AccountService:
    """Destinations of an installation."""

    def __init__(
        self, books: SyncBooks, secrets: Secrets, http: Callable[[], contextlib.AbstractContextManager[Http]]
    ) -> None:
        self._books, self._secrets, self._http = books, secrets, http

    def home(self) -> str:
        """The name of the account that is this installation; it is made if there is none."""
        for account in self._books.accounts.find():
            if account.kind == KIND:
                return account.name
        name = KIND
        with contextlib.suppress(ConflictError):  # another process makes it at this moment
            self._books.accounts.add(
                name=name, kind=KIND, account=HOME.settings().account, settings={}, secret=None, made_by="tidemill"
            )
        return name

    def assert_free(self, name: str) -> None:
        """Raise ConflictError if there is one of that name, and ConfigError if there cannot be."""
        if not re.match(NAME_RULE, name):
            raise ConfigError(
                "destination_name",
                f"{name!r} is no name.",
                hint="Up to 100 letters, digits, spaces and any of _ . - (a letter or digit first).",
            )
        self._books.accounts.assert_free(name)

    def make(self, kind: str, fields: Mapping[str, Any]) -> Settings:
        """Settings, checked but not saved.

        Raises
        ------
        ConfigError
            That names the setting, and quotes nothing that may be secret.
        """
        settings = registry.get(kind).settings
        if kind == KIND:
            raise ConfigError(
                "destination_home",
                "This installation needs not be added as a destination.",
                hint="Rows become people and events here by imports: tidemill import create --help",
            )
        given = {name: value for name, value in fields.items() if value is not None}
        try:
            return settings(**given)
        except pydantic.ValidationError as error:
            raise _said(error, settings, kind) from None

    def test(self, kind: str, settings: Settings) -> str:
        """Ask the destination who the credential is. Gives what it says.

        Raises
        ------
        TidemillError
            What is wrong; it holds no secret.
        """
        destination = registry.get(kind)
        try:
            with self._http() as http, destination.open(settings, Outlet(http, time.sleep)) as client:
                said: str = client.test()
                return said
        except TidemillError as error:
            raise network.without(error, settings.secrets) from None

    def test_saved(self, name: str) -> str:
        """The same of a saved one."""
        saved = self._books.accounts.get(name)
        return self.test(saved.kind, self.settings(saved))

    def add(self, kind: str, name: str, settings: Settings, *, by: str) -> AccountView:
        """Save a new one; ConflictError if its name is taken."""
        self.assert_free(name)
        return self._view(self._books.accounts.add(name=name, kind=kind, **self._fields(settings), made_by=by))

    def changed(self, name: str, fields: Mapping[str, Any], *, renames: bool = False) -> Settings:
        """The settings of a saved one with changes, checked but not saved. `renames`: it is changed all the same.

        Raises
        ------
        ConfigError
            Nothing is changed, with what can be; or something is wrong.
        """
        saved = self._books.accounts.get(name)
        given = {field: value for field, value in fields.items() if value is not None}
        if not given and not renames:
            fields_of = registry.get(saved.kind).settings.model_fields
            options = ", ".join(f"--{field.replace('_', '-')}" for field in fields_of)
            raise ConfigError(
                "nothing_to_change",
                "Nothing to change was named.",
                hint=f"It has {options}, and --rename: {telling.command('destination edit', saved.name)} --help",
            )
        before = self.settings(saved)
        kept = {field: getattr(before, field) for field in registry.get(saved.kind).settings.model_fields}
        made = self.make(saved.kind, {**kept, **given})
        _assert_not_moved(before, made, set(given))
        return made

    def rewritten(self, name: str, fields: Mapping[str, Any], kept: Collection[str]) -> Settings:
        """The settings of a saved one, given anew but for those of its secrets that stay; checked but not saved. Raises
        as `changed`."""
        saved = self._books.accounts.get(name)
        before = self.settings(saved)
        made = self.make(saved.kind, {**fields, **{field: getattr(before, field) for field in kept}})
        _assert_not_moved(before, made, set(registry.get(saved.kind).settings.model_fields) - set(kept))
        return made

    def save(self, name: str, settings: Settings, *, rename: str | None = None) -> AccountView:
        """Save changes."""
        saved = self._books.accounts.get(name)
        named: dict[str, Any] = {"name": rename} if rename else {}
        return self._view(self._books.accounts.change(saved.id, **self._fields(settings), **named))

    def settings(self, saved: Account) -> Settings:
        """Those of a saved one, with its secrets."""
        return opened_settings(saved, self._secrets)

    def kept(self, name: str) -> tuple[str, ...]:
        """Names of the secrets that an account has."""
        return self.differing(name, {})

    def differing(self, name: str, given: Mapping[str, SecretStr]) -> tuple[str, ...]:
        """Names of secrets that an account has otherwise than they are given; of none, those that it has. If they
        cannot be read any more, all are others."""
        saved = self._books.accounts.get(name)
        try:
            hidden = json.loads(self._secrets.decrypt(saved.secret)) if saved.secret else {}
        except ConfigError:  # the secret key is lost
            return tuple(given) or self._view(saved).secrets
        return differing(hidden, given)

    def get(self, name: str) -> AccountView:
        """The one of that name; NotFoundError if there is none."""
        return self._view(self._books.accounts.get(name))

    def find(self) -> list[AccountView]:
        """All other tools, by name."""
        return [self._view(saved) for saved in self._books.accounts.find() if saved.kind != KIND]

    def delete(self, name: str) -> None:
        """Delete one and its secrets; ConflictError while syncs use it."""
        found = self.get(name)
        if found.syncs:
            raise ConflictError(
                "destination_in_use",
                f"Syncs deliver to {found.name}: {', '.join(found.syncs)}.",
                hint=f"Delete them first: {telling.commands('sync delete', found.syncs)}",
            )
        self._books.accounts.delete(found.id)

    def _fields(self, settings: Settings) -> dict[str, Any]:
        hidden = {name: value.get_secret_value() for name, value in _values(settings) if isinstance(value, SecretStr)}
        shown = settings.model_dump(mode="json", exclude={*hidden})
        return {
            "account": settings.account,
            "settings": {name: value for name, value in shown.items() if value is not None},
            "secret": self._secrets.encrypt(json.dumps(hidden)) if hidden else None,
        }

    def _view(self, saved: Account) -> AccountView:
        return AccountView.of(saved, [sync.name for sync in self._books.syncs.to_destination(saved.id)])


def secret_field(settings: type[Settings], name: str) -> bool:
    """Whether a setting is kept secret."""
    return "SecretStr" in str(settings.model_fields[name].annotation)


def _values(settings: Settings) -> list[tuple[str, Any]]:
    return [(name, getattr(settings, name)) for name in type(settings).model_fields]


def _said(error: pydantic.ValidationError, settings: type[Settings], kind: str) -> ConfigError:
    """Our error for pydantic's, which may quote what was given."""
    open_errors = [item for item in error.errors() if not item["loc"] or not _is_secret(settings, item["loc"][0])]
    hidden = [item for item in error.errors() if item not in open_errors]
    if not hidden:
        return invalid.said(error, settings, "destination")
    problems = "; ".join(
        f"--{str(item['loc'][0]).replace('_', '-') if item['loc'] else 'settings'}: {item['msg']}"
        for item in error.errors(include_input=False)
    )
    return ConfigError("destination_invalid", f"{problems}.", hint=f"tidemill destination add {kind} --help")


def _is_secret(settings: type[Settings], name: Any) -> bool:
    return name in settings.model_fields and secret_field(settings, str(name))


def _place(settings: Settings, name: str) -> Any:
    """Where a setting leads to: of an address that is secret itself, the server."""
    value = getattr(settings, name)
    return urls.origin(value) if isinstance(value, SecretStr) else value


def _assert_not_moved(before: Settings, made: Settings, given: Collection[str]) -> None:
    """Raise ConfigError, if what is kept secret would go to another server than that for which it was given.

    Who may change an account is not shown its secrets; sent to a server of theirs, they would see them.
    """
    fields = type(made).model_fields
    moved = [name for name in fields if _PLACE.search(name) and _place(before, name) != _place(made, name)]
    kept = [name for name in fields if isinstance(getattr(before, name), SecretStr) and name not in given]
    kept = [name for name in kept if name not in made.unsent]
    if moved and kept:
        raise ConfigError(
            "secrets_again",
            f"With another {', '.join(moved)} the secrets have to be given again: {', '.join(kept)}.",
            hint="They were given for the server of before, and are sent to no other one.",
        )
