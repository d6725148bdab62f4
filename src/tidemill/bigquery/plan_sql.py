"""SQL of a plan in the warehouse: which rows of a model differ from what the state knows of them.

The model is evaluated once, and hashed over its columns; MD5 is native in BigQuery and in the embedded one. Of rows
that did not change nothing leaves the statement: all of them count in one group. So a plan has as many rows as there
are changes, and its cost is that of the model, of a join and of one aggregation.

That no key is of several rows is told by counting: each row of the state must be met once. If it is not, some key whose
rows did not change is of several, and the statement is made again, `exact`: then rows are counted by key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from tidemill.bigquery import plan_cursors, plan_orders, plan_texts
from tidemill.bigquery.names import quoted
from tidemill.bigquery.sql import Place, literal
from tidemill.bigquery.tables import Field

KEPT_DAYS = 30
#: What became of a row, beside the operations: `KEPT` is gone from the model, and its deletion was given up;
#: `FORGOTTEN` is gone, and was never there. `STATE`: of the row that counts the state.
UNCHANGED, DROPPED, KEPT, FORGOTTEN, STATE = "unchanged", "dropped", "kept", "forgotten", "state"
NULL, DUPLICATE, CURSOR_NULL, CURSOR_FUTURE = "key_null", "key_duplicate", "cursor_null", "cursor_future"
INVALID = (NULL, DUPLICATE, CURSOR_NULL, CURSOR_FUTURE)
#: Rows that are counted, and no more; of those without a key, some are kept to be shown: one of each hash that begins
#: alike.
COUNTED = (UNCHANGED, DROPPED, KEPT, NULL)
_ALIKE = 3  # hexadecimal digits
#: Columns that are taken together.
_MOST_TOGETHER = 100


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a statement is about.

    `fields`: of the model, those that go into the plan; `columns`: names of those that are hashed; `key`: of those by
    which a row is known. `state`: None, if all rows are to be delivered. `looked`: a table that has the model's rows
    that are looked at, made before; `keys`: theirs, if they are few. `unit`, `overlap`: of the cursor. `order`: what
    tells the time of a row, if the oldest come first (plan_orders). For the rest, see `Wanted`.
    """

    sql: str
    plan: Place
    state: Place | None
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    number: int
    delivers: Collection[str]
    leaves: bool = False
    cursor: Field | None = None
    position: str | None = None
    unit: str | None = None
    overlap: int = 0
    exact: bool = False
    only: Collection[str] | None = None
    looked: Place | None = None
    keys: tuple[str, ...] | None = None
    order: str | None = None

    @property
    def looks_at_all(self) -> bool:
        """Whether all rows of the state are met."""
        return self.state is not None and self.cursor is None and self.only is None

    @property
    def names(self) -> list[str]:
        """The plan's names of the fields."""
        return [f"c{number}" for number in range(len(self.fields))]


@dataclasses.dataclass(frozen=True)
class Dialect:
    """Where BigQuery's SQL and DuckDB's differ. `bucket`: one of 1,048,576 parts that keys fall into; a piece is a
    range of them, or of those of plan_orders. One has a thousand of a thousand million rows. `size`: about how many
    bytes a column has as text; `struct`: columns as one value."""

    bucket: Callable[[str], str]
    divided: Callable[[str, int], str]
    literal: Callable[[str], str]
    size: Callable[[str, Field], str]
    struct: Callable[[Sequence[str]], str]
    types: Mapping[str, str]

    def position(self, plan: Plan) -> str:
        """Where the cursor was."""
        return self._cast(plan, str(plan.position))

    def looked_from(self, plan: Plan) -> str:
        """From which cursor on rows are looked at."""
        assert plan.cursor is not None  # noqa: S101 - said by who asks
        return self._cast(plan, plan_cursors.looked_from(plan.cursor.type, str(plan.position), plan.overlap, plan.unit))

    def _cast(self, plan: Plan, cursor_value: str) -> str:
        assert plan.cursor is not None  # noqa: S101 - said by who asks
        kind = self.types.get(plan.cursor.type, plan.cursor.type)
        return f"CAST({self.literal(cursor_value)} AS {kind})"


#: Types whose values are about as large as any.
_FIXED = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIME", "TIMESTAMP", "INTERVAL")


def is_fixed(field: Field) -> bool:
    """Whether values of a column are about as large as any."""
    return field.mode != "REPEATED" and field.type in _FIXED


def _size(name: str, field: Field) -> str:
    is_list = field.mode == "REPEATED"
    if not is_list and field.type in ("STRING", "BYTES"):
        return f"BYTE_LENGTH({name})"
    if not is_list and field.type == "GEOGRAPHY":
        return f"BYTE_LENGTH(ST_ASTEXT({name}))"
    return f"BYTE_LENGTH(TO_JSON_STRING({name}))"


def key_literal(key: str) -> str:
    """A key as a literal; one with U+0000, which the embedded BigQuery takes for the end of a text, by its numbers."""
    if "\0" not in key:
        return literal(key)
    return f"CODE_POINTS_TO_STRING([{', '.join(str(ord(one)) for one in key)}])"


BIGQUERY = Dialect(
    bucket=lambda key: f"CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({key})), 1, 5)) AS INT64)",
    divided=lambda number, by: f"DIV({number}, {by})",
    literal=key_literal,
    size=_size,
    struct=lambda names: f"STRUCT({', '.join(f'{name} AS {name}' for name in names)})",
    types={},
)


def create(plan: Plan) -> str:
    """Make the table of a plan."""
    state = None if plan.state is None else quoted(*plan.state)
    return (
        f"CREATE OR REPLACE TABLE {quoted(*plan.plan)}\n"
        "CLUSTER BY bucket\n"
        f"OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {KEPT_DAYS} DAY)) AS\n"
        f"{select(plan, model(plan) if plan.looked is None else all_of(quoted(*plan.looked)), state, BIGQUERY)}"
    )


def all_of(table: str) -> str:
    """All that a table has."""
    return f"SELECT * FROM {table}"


def look(plan: Plan, into: Place) -> str:
    """Make the table of the rows of a model that are looked at by a cursor that was somewhere. Of the state, only the
    keys of rows that were not taken are read: of other rows that column is NULL, for which nothing is billed
    ("Pricing": data sizes)."""
    assert plan.state is not None  # noqa: S101 - a cursor has one
    failed = f"SELECT failed_key FROM {quoted(*plan.state)} WHERE failed_key IS NOT NULL"
    return (
        f"CREATE OR REPLACE TABLE {quoted(*into)}\n"
        f"OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {KEPT_DAYS} DAY)) AS\n"
        f"SELECT * FROM ({model(plan)}) AS model\n"
        "WHERE model.model_key IS NULL OR model.cursor_value IS NULL\n"
        f"   OR model.cursor_value >= {BIGQUERY.looked_from(plan)} OR model.model_key IN ({failed})"
    )


def select(plan: Plan, rows: str, state: str | None, dialect: Dialect) -> str:
    """The rows of a plan. `rows`: what gives those of the model; `state`: what has those of the state.

    Columns are kept of rows that are to be delivered, and of those that cannot be: of a key of several rows, those of
    one of them. To be of one row they are taken together, as one value; of very many columns, each alone, and only of
    keys of one row: that would be a type of thousands of fields, named for each of these.
    """
    deliver = f"kind IN ({texts(plan.delivers)}) AND row_count = 1" if plan.delivers else "FALSE"
    if plan.leaves:
        deliver += " AND (kind != 'updated' OR retried)"
    several = "row_count > 1 AND kind IN ('added', 'updated')"
    is_kept = f"({deliver}) OR ({several}) OR kind IN ({texts(INVALID)})"
    is_wide = len(plan.names) > _MOST_TOGETHER
    since = str(plan.number)
    if state is not None:
        since = f"ANY_VALUE(IF(failed_hash = row_hash AND failed_op = kind, failed_run, {plan.number}))"
    is_bare = f"kind IN ({texts(set(COUNTED) - {NULL})})"
    group = f"CASE WHEN kind = '{NULL}' THEN SUBSTR(row_hash, 1, {_ALIKE}) WHEN NOT {is_bare} THEN found_key END"
    heads = "bucket, kind, deliver, known, retried, row_key, row_hash, since, row_count, cursor_value"
    if is_wide:
        contents = "".join(f",\n                   ANY_VALUE({name}) AS {name}" for name in plan.names)
        kept = f"IF(row_count = 1 AND ({is_kept}), TRUE, NULL) AS kept, {', '.join(plan.names)}"
        columns = "".join(f", IF(kept, {name}, NULL) AS {name}" for name in plan.names)
    else:
        together = f"ANY_VALUE(IF({is_bare}, NULL, {dialect.struct(plan.names)}))"
        contents = f",\n                   {together} AS content"
        kept = f"IF({is_kept}, content, NULL) AS kept"
        columns = "".join(f", kept.{name} AS {name}" for name in plan.names)
    row_bytes = _row_bytes(plan, "" if is_wide else "kept.", dialect)
    order = ", MAX(order_value) AS order_value" if plan.order else ""
    return (
        f"SELECT {heads},\n       IF(kept IS NULL, NULL, {row_bytes}) AS row_bytes{columns}\n"
        f"FROM (SELECT {_bucket(plan, dialect)} AS bucket, IF({several}, '{DUPLICATE}', kind) AS kind,\n"
        f"             {deliver} AS deliver, known, retried, IF(kind = '{NULL}', NULL, row_key) AS row_key, row_hash,\n"
        f"             since, row_count, cursor_value, {kept}\n"
        f"      FROM (SELECT kind, {group} AS row_key, COUNT(*) AS row_count,\n"
        "                   ANY_VALUE(known) AS known, ANY_VALUE(retried) AS retried,\n"
        f"                   ANY_VALUE(row_hash) AS row_hash, {since} AS since,\n"
        f"                   IF(kind = '{DUPLICATE}', MIN(cursor_value), MAX(cursor_value))\n"
        f"                       AS cursor_value{order}{contents}\n"
        f"            FROM ({_told_apart(plan, rows, state, dialect)})\n"
        "            GROUP BY kind, row_key))\n"
    ) + _counting(plan, state)


def _bucket(plan: Plan, dialect: Dialect) -> str:
    of_key = dialect.bucket("row_key")
    return plan_orders.bucket(of_key, "order_value", dialect.divided) if plan.order else of_key


def _names(plan: Plan, where: str = "") -> str:
    """The columns of the model that go into the plan, and the time of a row, if there is one."""
    return "".join(f", {where}{name}" for name in (["order_value"] if plan.order else []) + plan.names)


#: Bytes that a value takes in memory beside those of its text; and how much more what is no text takes than as text.
_VALUE_BYTES, _PARSED = 64, 8


def _row_bytes(plan: Plan, where: str, dialect: Dialect) -> str:
    """About how much memory a row takes: pieces are made by that. `where`: what its columns are in."""
    parts = [str(_VALUE_BYTES * (4 + len(plan.fields))), f"IFNULL({dialect.size('row_key', Field('', 'STRING'))}, 0)"]
    for name, field in zip(plan.names, plan.fields, strict=True):
        if not is_fixed(field):
            factor = "" if (field.type, field.mode) == ("STRING", "NULLABLE") else f"{_PARSED} * "
            parts.append(f"{factor}IFNULL({dialect.size(f'{where}{name}', field)}, 0)")
    while len(parts) > 1:  # not one behind the other: a thousand would be too deep
        pairs = [parts[start : start + 2] for start in range(0, len(parts), 2)]
        parts = [f"({' + '.join(pair)})" for pair in pairs]
    return parts[0]


def _counting(plan: Plan, state: str | None) -> str:
    """One more row: how many there are in the state. Nothing is read for that."""
    if state is None:
        return ""
    nothing = ", NULL" * len(plan.fields)
    return (
        f"UNION ALL\nSELECT NULL, '{STATE}', FALSE, FALSE, FALSE, NULL, NULL, NULL, COUNT(*), NULL, NULL{nothing}\n"
        f"FROM {state}"
    )


def _told_apart(plan: Plan, rows: str, state: str | None, dialect: Dialect) -> str:
    """Each row of the model, and each of the state that the model has not, with what became of it."""
    names = _names(plan)
    if state is None:
        return (
            f"SELECT IF(model_key IS NULL, '{NULL}', 'added') AS kind, model_key AS found_key, FALSE AS known,\n"
            f"       FALSE AS retried, model_hash AS row_hash, cursor_value{names}\n"
            f"FROM ({rows})\n"
            f"{_chosen(plan, 'model_key', dialect)}"
        )
    found = _joined(plan, rows, state, dialect)
    if plan.cursor or plan.only is not None:  # of the rows that are looked at, which are few
        several = f"kind != '{NULL}' AND COUNT(*) OVER ({_one_key('found_key', 'row_hash')}) > 1"
        rest = f"found_key, known, retried, row_hash, failed_hash, failed_op, failed_run, cursor_value{names}"
        found = f"SELECT IF({several}, '{DUPLICATE}', kind) AS kind, {rest}\nFROM ({found})"
    return found


def _joined(plan: Plan, rows: str, state: str, dialect: Dialect) -> str:
    names = _names(plan, "model.")
    join = "LEFT" if plan.cursor else "FULL OUTER"
    known = state if plan.keys is None else f"({all_of(state)} WHERE key IN ({literals(plan.keys)}))"
    return (
        f"SELECT {_kind(plan)} AS kind,\n"
        "       COALESCE(model.model_key, state.key) AS found_key, state.key IS NOT NULL AS known,\n"
        "       state.failed_hash IS NOT NULL AS retried,\n"
        "       COALESCE(model.model_hash, state.hash, state.failed_hash) AS row_hash,\n"
        f"       state.failed_hash, state.failed_op, state.failed_run, model.cursor_value{names}\n"
        f"FROM ({rows}) AS model\n"
        f"{join} JOIN {known} AS state ON model.model_key = state.key\n"
        f"{_looked_at(plan, dialect)}"
    )


def _kind(plan: Plan) -> str:
    """What became of a row, by the model's version of it and by what the state knows."""
    gone = "model.model_hash IS NULL"
    cases = [
        (f"{gone} AND state.dropped_hash IS NOT NULL AND state.failed_op = 'deleted'", KEPT),
        (f"{gone} AND state.hash IS NULL AND NOT state.unsure", FORGOTTEN),
        (gone, "deleted"),
        ("model.model_key IS NULL", NULL),
    ]
    if plan.exact:
        cases.append(("model.key_count > 1", DUPLICATE))
    if plan.cursor:
        cases += [("model.cursor_ahead", CURSOR_FUTURE), ("model.cursor_value IS NULL", CURSOR_NULL)]
    same = "state.hash = model.model_hash AND NOT state.unsure"
    cases += [
        ("state.key IS NULL", "added"),
        (same, UNCHANGED),
        ("state.dropped_hash = model.model_hash AND state.failed_op != 'deleted'", DROPPED),
        ("state.hash IS NULL", "added"),
    ]
    return f"CASE {' '.join(f'WHEN {when} THEN {texts([kind])}' for when, kind in cases)} ELSE 'updated' END"


def _looked_at(plan: Plan, dialect: Dialect) -> str:
    """By a cursor: rows that are not older than the last one seen, or not older by more than it is to look back. What
    was not taken is looked at wherever it is, and so is what has no key or no cursor, or one in the future: it is told
    in each run."""
    if plan.only is not None:
        return _chosen(plan, "COALESCE(model.model_key, state.key)", dialect)
    if plan.cursor is None or plan.position is None:
        return ""
    wherever = "model.model_key IS NULL OR model.cursor_value IS NULL OR state.failed_hash IS NOT NULL"
    return f"WHERE {wherever} OR model.cursor_value >= {dialect.looked_from(plan)}"


def _chosen(plan: Plan, key: str, dialect: Dialect) -> str:
    """Of all rows, those that somebody chose."""
    if plan.only is None:
        return ""
    return f"WHERE {key} IN ({', '.join(dialect.literal(one) for one in plan.only)})"


def model(plan: Plan) -> str:
    """What gives the model's rows: key, hash, cursor and columns."""
    columns = "".join(f", source.`{field.name}` AS c{number}" for number, field in enumerate(plan.fields))
    cursor_value = "CAST(NULL AS INT64) AS cursor_value"
    if plan.cursor:
        cursor_value = f"{plan_cursors.value(plan.cursor, plan.unit)} AS cursor_value"
        cursor_value += f", {plan_cursors.is_ahead(plan.cursor, plan.unit)} AS cursor_ahead"
    order = f", {plan.order} AS order_value" if plan.order else ""
    made = (
        f"SELECT {_key(plan)} AS model_key, {_hash(plan)} AS model_hash, {cursor_value}{order}{columns}\n"
        f"FROM (\n{plan.sql}\n) AS source"
    )
    return counted(made) if plan.exact else made


def counted(rows: str) -> str:
    """Those rows, each with the number of those of its key."""
    return f"SELECT *, COUNT(*) OVER ({_one_key('model_key', 'model_hash')}) AS key_count FROM ({rows})"


def _one_key(key: str, row_hash: str) -> str:
    """The rows of a key. Those without one would all be together, which is too much for one machine."""
    return f"PARTITION BY {key}, IF({key} IS NULL, {row_hash}, NULL)"


def _key(plan: Plan) -> str:
    """The key as text; of several columns, a JSON array of texts. NULL if one of them is."""
    fields = {field.name: field for field in plan.fields}
    texts = [plan_texts.key_text(fields[name]) for name in plan.key]
    if len(texts) == 1:
        return texts[0]
    missing = " OR ".join(f"source.`{name}` IS NULL" for name in plan.key)
    return f"IF({missing}, NULL, TO_JSON_STRING([{', '.join(texts)}]))"


def _hash(plan: Plan) -> str:
    """A hash of the columns: of the JSON of an array of their texts, which other values have another of. To put them
    together as text takes twice as long in the embedded BigQuery."""
    fields = {field.name: field for field in plan.fields}
    texts = ", ".join(plan_texts.hashed_text(fields[name]) for name in plan.columns)
    return f"TO_HEX(MD5(TO_JSON_STRING([{texts}])))" if texts else "TO_HEX(MD5(''))"


def literals(keys: Collection[str]) -> str:
    """Keys as a list of literals: a table that is clustered by them is not read where none of them is ("Clustered
    tables": block pruning)."""
    return ", ".join(key_literal(key) for key in keys) or "NULL"


def texts(values: Collection[str]) -> str:
    """Names as a list of literals."""
    return ", ".join(f"'{value}'" for value in sorted(values))
