"""What a user can do with keys: make, see and revoke them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any, Protocol

import pydantic

from tidemill.bearer import KEY, digest
from tidemill.capture.spec import KeySpec
from tidemill.errors import ConfigError
from tidemill.paging import Page, Wanted, assert_known

#: How keys are; and by what they are sorted.
STATES = ("valid", "revoked")
SORTS = ("name", "created_at", "created_by", "team_id")


class Keys(Protocol):
    """The repository of keys."""

    def add(self, **fields: Any) -> Any:
        """Save a new one."""

    def find(self, *, revoked: bool = False) -> list[Any]:
        """All of them."""

    def page(
        self, *, search: str | None = None, state: str | None = None, revoked: bool = False, wanted: Wanted
    ) -> Page[Any]:
        """The same by pages."""

    def revoke(self, name: str) -> Any:
        """Revoke one."""


@dataclasses.dataclass(frozen=True)
class KeyView:
    """A key, of which only the start is known."""

    id: uuid.UUID
    name: str
    team_id: int
    start: str
    events_per_second: int | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


class KeyService:
    """Keys."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def create(self, *, team_id: int, name: str | None, events_per_second: int | None, by: str) -> tuple[str, KeyView]:
        """Make a key; it is shown this once. Without a name it gets one.

        Raises
        ------
        ConfigError, ConflictError
            The name is none, or is taken.
        """
        key = KEY.make()
        start = KEY.start(key)
        try:
            spec = KeySpec(
                name=f"team-{team_id}-{start.removeprefix(KEY.prefix)}" if name is None else name,
                team_id=team_id,
                events_per_second=events_per_second,
            )
        except pydantic.ValidationError as error:
            said = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
            raise ConfigError(
                "key_invalid", f"There can be no such key. {said}.", hint="tidemill key create --help"
            ) from None
        made = self._keys.add(**spec.model_dump(), hash=digest(key), start=start, created_by=by)
        return key, _view(made)

    def find(self, *, revoked: bool = False) -> list[KeyView]:
        """All keys; with `revoked`, those too that are revoked."""
        return [_view(key) for key in self._keys.find(revoked=revoked)]

    def page(
        self,
        *,
        search: str | None = None,
        state: str | None = None,
        revoked: bool = False,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[KeyView]:
        """The same by pages, by one of SORTS. `search`: in the name; `state`: one of STATES, whatever `revoked` is."""
        assert_known("state", state, STATES)
        return self._keys.page(search=search, state=state, revoked=revoked, wanted=wanted).map(_view)

    def revoke(self, name: str) -> KeyView:
        """Nothing that is sent by that key from now on is taken.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        return _view(self._keys.revoke(name))


def _view(key: Any) -> KeyView:
    return KeyView(**{field.name: getattr(key, field.name) for field in dataclasses.fields(KeyView)})
