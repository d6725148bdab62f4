"""Tokens and hooks by who has made them: nobody keeps by these what they may not do themselves any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from tidemill.store.tables_api import hooks, tokens

#: By whom something was made, since when and until when they could.
_Maker = tuple[str, dt.datetime | None, dt.datetime | None]
_KINDS = {"export": hooks.c.export_id, "sync": hooks.c.sync_id}


def curtail(connection: sa.Connection, name: str, lacks: Collection[str], kinds: Collection[str]) -> None:
    """End the tokens of somebody that have a scope that they lack, and their hooks of these kinds; likewise what was
    made by their tokens, and so on."""
    found = list(connection.execute(sa.select(tokens)))
    makers: list[_Maker] = [(name, None, None)]
    theirs: set[object] = set()
    for maker in makers:  # it grows meanwhile
        for one in found:
            if one.id not in theirs and _is_of(maker, one):
                theirs.add(one.id)
                makers.append((f"token {one.name}", one.created_at, one.revoked_at))
    ending = [one.id for one in found if one.id in theirs and set(one.scopes) & set(lacks)]
    _revoke(connection, tokens, ending)
    _revoke(connection, hooks, list(_hooks(connection, makers, kinds)))


def renamed(connection: sa.Connection, before: str, after: str) -> None:
    """Somebody is called otherwise: what they have made is theirs still."""
    for table in (tokens, hooks):
        connection.execute(sa.update(table).where(table.c.created_by == before).values(created_by=after))


def _hooks(connection: sa.Connection, makers: Collection[_Maker], kinds: Collection[str]) -> Iterator[object]:
    if not kinds:
        return
    query = sa.select(hooks).where(sa.or_(*(_KINDS[kind].is_not(None) for kind in kinds)))
    yield from (one.id for one in connection.execute(query) if any(_is_of(maker, one) for maker in makers))


def _is_of(maker: _Maker, one: sa.Row[tuple[object, ...]]) -> bool:
    """Whether it was made by them. Another token may have had the name before, or have it since."""
    name, since, until = maker
    if one.created_by != name:
        return False
    return (since is None or since <= one.created_at) and (until is None or one.created_at <= until)


def _revoke(connection: sa.Connection, table: sa.Table, ids: Collection[object]) -> None:
    change = sa.update(table).where(table.c.id.in_(list(ids)), table.c.revoked_at.is_(None))
    connection.execute(change.values(revoked_at=sa.func.now()))
