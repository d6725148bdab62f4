"""Tokens by which programs use the API."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import sqlalchemy as sa

from tidemill.store.keyset import ALWAYS, Column, moment
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

    def _own_sorts(self) -> dict[str, Column]:
        return {"expires_at": moment(self.table.c.expires_at, ALWAYS)}

    def _state(self) -> sa.ColumnElement[str]:
        is_over = self.table.c.expires_at <= sa.func.now()
        return sa.case((self.table.c.revoked_at.is_not(None), "revoked"), (is_over, "expired"), else_="valid")
