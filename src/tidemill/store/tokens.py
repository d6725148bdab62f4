"""Tokens by which programs use the API."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from tidemill.store.revocable import Revocable
from tidemill.store.tables_api import tokens


@dataclasses.dataclass(frozen=True)
class Token:
    """A token. `start`: its first characters; the rest is kept nowhere. `expires_at`: None if it does not."""

    id: uuid.UUID
    name: str
    hash: bytes = dataclasses.field(repr=False)
    start: str
    scopes: list[str]
    expires_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


class Tokens(Revocable[Token]):
    """The repository of tokens."""

    table, record, what = tokens, Token, "token"
    example = "tidemill token create NAME --scope syncs:trigger"
