"""Wildcard tables: `dataset.events_*` is all tables whose names begin so, as BigQuery has it ("Query multiple tables
using a wildcard table").

The emulator puts the tables one below the other by the places of their columns, has `SELECT *` and whole rows give
`_TABLE_SUFFIX`, and takes the first condition on it for one that holds for all rows, also if it is one side of an OR.
Here columns are
those of the table that was made last, by name, and rows are chosen by the statement alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bqemulator.domain.errors import InvalidQueryError, NotFoundError

_SUFFIX = "_TABLE_SUFFIX"
_MAY_HAVE = re.compile(r"\w\*")


def expanded(sql: str, project: str, catalog: Any) -> str:
    """A statement of BigQuery's without wildcard tables."""
    import sqlglot
    from sqlglot import exp

    if not _MAY_HAVE.search(sql):
        return sql
    try:
        tree = sqlglot.parse_one(sql, dialect="bigquery")
    except sqlglot.errors.SqlglotError:
        return sql  # the translation says what is wrong
    found = [table for table in tree.find_all(exp.Table) if table.db and table.name.endswith("*")]
    for table in found:
        rows, columns = _union(table, project, catalog)
        select = table.find_ancestor(exp.Select)
        if select is not None:
            _leave_out_suffix(select, table.alias, columns)
        union = exp.Subquery(this=sqlglot.parse_one(rows, dialect="bigquery"))
        union.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias or "wildcard", quoted=True)))
        for joined in table.args.get("joins") or ():
            union.append("joins", joined)
        table.replace(union)
    return tree.sql(dialect="bigquery") if found else sql


def _leave_out_suffix(select: Any, alias: str, columns: Sequence[str]) -> None:
    """Neither `SELECT *` nor a whole row has the pseudo column."""
    from sqlglot import exp

    for star in [one for one in select.expressions if isinstance(one, exp.Star) or one.is_star]:
        inner = star.this if isinstance(star, exp.Column) else star
        left_out = inner.args.get("except_") or []
        is_of_other = inner is not star and star.table.lower() != alias.lower()
        if not is_of_other and _SUFFIX not in {one.name for one in left_out}:
            inner.set("except_", [*left_out, exp.to_identifier(_SUFFIX)])
    if not alias or alias.lower() in {name.lower() for name in columns}:
        return
    for whole in [one for one in select.find_all(exp.Column) if not one.table and one.name.lower() == alias.lower()]:
        members = [exp.alias_(exp.column(name, alias, quoted=True), name, quoted=True) for name in columns]
        whole.replace(exp.Struct(expressions=members))


def _union(table: Any, project: str, catalog: Any) -> tuple[str, list[str]]:
    """The rows of all tables that match, with the rest of each one's name; and their columns."""
    where, prefix = (table.catalog or project, table.db), table.name[:-1]
    tables = [one for one in catalog.list_tables(*where) if one.table_id.startswith(prefix)]
    if not tables:
        raise NotFoundError(f"{':'.join(where)}.{table.name} does not match any table.")
    views = [one.table_id for one in tables if "VIEW" in str(one.table_type)]
    if views:
        raise InvalidQueryError(f"Views cannot be queried through prefix. First view {':'.join(where)}.{min(views)}.")
    newest = max(tables, key=lambda one: (one.creation_time, one.table_id))
    rows = " UNION ALL BY NAME ".join(
        f"SELECT *, '{one.table_id[len(prefix) :]}' AS {_SUFFIX} FROM `{'.'.join((*where, one.table_id))}`"
        for one in sorted(tables, key=lambda one: (one is not newest, one.table_id))
    )
    columns = [str(field.name) for field in newest.schema_.fields]
    return f"SELECT {''.join(f'`{name}`, ' for name in columns)}{_SUFFIX} FROM ({rows})", columns
