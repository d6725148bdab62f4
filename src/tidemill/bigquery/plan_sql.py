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

from tidemill.bigquery.names import quoted
from tidemill.bigquery.sql import Place, literal
from tidemill.bigquery.tables import Field
from tidemill.errors import ConfigError

KEPT_DAYS = 30
#: What became of a row, beside the operations: `KEPT` is gone from the model, and its deletion was given up;
#: `FORGOTTEN` is gone, and was never there. `STATE`: of the row that counts the state.
UNCHANGED, DROPPED, KEPT, FORGOTTEN, STATE = "unchanged", "dropped", "kept", "forgotten", "state"
NULL, DUPLICATE, CURSOR_NULL = "key_null", "key_duplicate", "cursor_null"
INVALID = (NULL, DUPLICATE, CURSOR_NULL)
#: Rows by which one knows how far a cursor is.
GOOD = ("added", "updated", UNCHANGED, DROPPED)
#: Rows that are counted, and no more.
COUNTED = (UNCHANGED, DROPPED, KEPT, NULL)
#: Types by which rows cannot be told apart ("Data types": groupable), and those that have no text of their own.
_NO_KEYS = {"JSON", "GEOGRAPHY", "STRUCT", "RECORD", "RANGE", "INTERVAL"}
#: Arguments of one CONCAT.
_PARTS = 200


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a statement is about.

    `fields`: of the model, those that go into the plan; `columns`: names of those that are hashed; `key`: of those by
    which a row is known. `state`: None, if all rows are to be delivered. For the rest, see `Wanted`.
    """

    sql: str
    plan: Place
    state: Place | None
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    number: int
    delivers: Collection[str]
    by_key: bool = False
    leaves: bool = False
    cursor: Field | None = None
    position: str | None = None
    exact: bool = False
    only: Collection[str] | None = None

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
    """Where BigQuery's SQL and DuckDB's differ. `bucket`: one of 65,536 parts that keys fall into; a piece is a range
    of them. One has 15,000 of a thousand million rows."""

    bucket: Callable[[str], str]
    divided: Callable[[str, int], str]
    literal: Callable[[str], str]
    types: Mapping[str, str]

    def position(self, plan: Plan) -> str:
        """Where the cursor was."""
        assert plan.cursor is not None  # noqa: S101 - said by who asks
        kind = self.types.get(plan.cursor.type, plan.cursor.type)
        return f"CAST({self.literal(str(plan.position))} AS {kind})"


BIGQUERY = Dialect(
    bucket=lambda key: f"CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({key})), 1, 4)) AS INT64)",
    divided=lambda number, by: f"DIV({number}, {by})",
    literal=literal,
    types={},
)


def create(plan: Plan) -> str:
    """Make the table of a plan."""
    state = None if plan.state is None else quoted(*plan.state)
    return (
        f"CREATE OR REPLACE TABLE {quoted(*plan.plan)}\n"
        "CLUSTER BY bucket\n"
        f"OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {KEPT_DAYS} DAY)) AS\n"
        f"{select(plan, model(plan), state, BIGQUERY)}"
    )


def select(plan: Plan, rows: str, state: str | None, dialect: Dialect) -> str:
    """The rows of a plan. `rows`: what gives those of the model; `state`: what has those of the state."""
    any_values = "".join(f", ANY_VALUE({name}) AS {name}" for name in plan.names)
    deliver = f"kind IN ({_texts(plan.delivers)}) AND row_count = 1" if plan.delivers else "FALSE"
    if plan.leaves:
        deliver += " AND (kind != 'updated' OR retried)"
    delivered = "".join(f", IF({deliver}, {name}, NULL) AS {name}" for name in plan.names)
    since = str(plan.number)
    if state is not None:
        since = f"ANY_VALUE(IF(failed_hash = row_hash AND failed_op = kind, failed_run, {plan.number}))"
    return (
        f"SELECT {dialect.bucket('row_key')} AS bucket,\n"
        f"       IF(row_count > 1 AND kind IN ('added', 'updated'), '{DUPLICATE}', kind) AS kind,\n"
        f"       {deliver} AS deliver, known, retried, row_key, row_hash, since, row_count, seen{delivered}\n"
        f"FROM (SELECT kind, IF(kind IN ({_texts(COUNTED)}), NULL, found_key) AS row_key, COUNT(*) AS row_count,\n"
        "             ANY_VALUE(known) AS known, ANY_VALUE(retried) AS retried, ANY_VALUE(row_hash) AS row_hash,\n"
        f"             {since} AS since, IF(kind = '{DUPLICATE}', MIN(seen), MAX(seen)) AS seen{any_values}\n"
        f"      FROM ({_told_apart(plan, rows, state, dialect)})\n"
        "      GROUP BY kind, row_key)\n"
    ) + _counting(plan, state)


def _counting(plan: Plan, state: str | None) -> str:
    """One more row: how many there are in the state. Nothing is read for that."""
    if state is None:
        return ""
    nothing = ", NULL" * len(plan.fields)
    return (
        f"UNION ALL\nSELECT NULL, '{STATE}', FALSE, FALSE, FALSE, NULL, NULL, NULL, COUNT(*), NULL{nothing}\n"
        f"FROM {state}"
    )


def _told_apart(plan: Plan, rows: str, state: str | None, dialect: Dialect) -> str:
    """Each row of the model, and each of the state that the model has not, with what became of it."""
    names = "".join(f", {name}" for name in plan.names)
    if state is None:
        return (
            f"SELECT IF(model_key IS NULL, '{NULL}', 'added') AS kind, model_key AS found_key, FALSE AS known,\n"
            f"       FALSE AS retried, model_hash AS row_hash, seen{names}\n"
            f"FROM ({rows})\n"
            f"{_chosen(plan, 'model_key', dialect)}"
        )
    found = _joined(plan, rows, state, dialect)
    if plan.cursor or plan.only is not None:  # of the rows that are looked at, which are few
        several = f"kind != '{NULL}' AND COUNT(*) OVER ({_one_key('found_key', 'row_hash')}) > 1"
        rest = f"found_key, known, retried, row_hash, failed_hash, failed_op, failed_run, seen{names}"
        found = f"SELECT IF({several}, '{DUPLICATE}', kind) AS kind, {rest}\nFROM ({found})"
    return found


def _joined(plan: Plan, rows: str, state: str, dialect: Dialect) -> str:
    names = "".join(f", model.{name}" for name in plan.names)
    join = "LEFT" if plan.cursor else "FULL OUTER"
    return (
        f"SELECT {_kind(plan)} AS kind,\n"
        "       COALESCE(model.model_key, state.key) AS found_key, state.key IS NOT NULL AS known,\n"
        "       state.failed_hash IS NOT NULL AS retried,\n"
        "       COALESCE(model.model_hash, state.hash, state.failed_hash) AS row_hash,\n"
        f"       state.failed_hash, state.failed_op, state.failed_run, model.seen{names}\n"
        f"FROM ({rows}) AS model\n"
        f"{join} JOIN {state} AS state ON model.model_key = state.key\n"
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
        cases.append(("model.seen IS NULL", CURSOR_NULL))
    same = "state.hash IS NOT NULL" if plan.by_key else "state.hash = model.model_hash AND NOT state.unsure"
    cases += [
        ("state.key IS NULL", "added"),
        (same, UNCHANGED),
        ("state.dropped_hash = model.model_hash AND state.failed_op != 'deleted'", DROPPED),
        ("state.hash IS NULL", "added"),
    ]
    return f"CASE {' '.join(f'WHEN {when} THEN {_texts([kind])}' for when, kind in cases)} ELSE 'updated' END"


def _looked_at(plan: Plan, dialect: Dialect) -> str:
    """By a cursor: rows that are not older than the last one seen. What was not taken is looked at wherever it is, and
    so is what has no key or no cursor: it is told in each run."""
    if plan.only is not None:
        return _chosen(plan, "COALESCE(model.model_key, state.key)", dialect)
    if plan.cursor is None or plan.position is None:
        return ""
    wherever = "model.model_key IS NULL OR model.seen IS NULL OR state.failed_hash IS NOT NULL"
    return f"WHERE {wherever} OR model.seen >= {dialect.position(plan)}"


def _chosen(plan: Plan, key: str, dialect: Dialect) -> str:
    """Of all rows, those that somebody chose."""
    if plan.only is None:
        return ""
    return f"WHERE {key} IN ({', '.join(dialect.literal(one) for one in plan.only)})"


def model(plan: Plan) -> str:
    """What gives the model's rows: key, hash, cursor and columns."""
    columns = "".join(f", source.`{field.name}` AS c{number}" for number, field in enumerate(plan.fields))
    seen = _seen(plan.cursor) if plan.cursor else "CAST(NULL AS INT64)"
    made = (
        f"SELECT {_key(plan)} AS model_key, {_hash(plan)} AS model_hash, {seen} AS seen{columns}\n"
        f"FROM (\n{plan.sql}\n) AS source"
    )
    return counted(made) if plan.exact else made


def _seen(cursor: Field) -> str:
    """The cursor; NULL if it says nothing of when a row has changed: all that comes would be older than that."""
    name = f"source.`{cursor.name}`"
    if cursor.type == "FLOAT64":
        return f"IF(IS_NAN({name}) OR IS_INF({name}), NULL, {name})"
    if cursor.type in ("DATE", "DATETIME", "TIMESTAMP"):  # a day: of time zones, and of clocks that are fast
        latest = f"CAST(TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY) AS {cursor.type})"
        return f"IF({name} > {latest}, NULL, {name})"
    return name


def counted(rows: str) -> str:
    """Those rows, each with the number of those of its key."""
    return f"SELECT *, COUNT(*) OVER ({_one_key('model_key', 'model_hash')}) AS key_count FROM ({rows})"


def _one_key(key: str, row_hash: str) -> str:
    """The rows of a key. Those without one would all be together, which is too much for one machine."""
    return f"PARTITION BY {key}, IF({key} IS NULL, {row_hash}, NULL)"


def check_key(field: Field) -> None:
    """Raise ConfigError for a column by which rows cannot be known."""
    if field.type in _NO_KEYS or field.mode == "REPEATED":
        kind = f"ARRAY of {field.type}" if field.mode == "REPEATED" else field.type
        raise ConfigError(
            "model_key_type",
            f"The column {field.name} is of type {kind}: rows cannot be known by it.",
            hint="Choose other columns for the key, or have the statement make a text of it: TO_JSON_STRING(…).",
        )


def _key(plan: Plan) -> str:
    """The key as text; of several columns, a JSON array of texts. NULL if one of them is."""
    fields = {field.name: field for field in plan.fields}
    texts = [_key_text(fields[name]) for name in plan.key]
    if len(texts) == 1:
        return texts[0]
    missing = " OR ".join(f"source.`{name}` IS NULL" for name in plan.key)
    return f"IF({missing}, NULL, TO_JSON_STRING([{', '.join(texts)}]))"


def _key_text(field: Field) -> str:
    name = f"source.`{field.name}`"
    if field.type == "STRING":
        return name
    return f"TO_BASE64({name})" if field.type == "BYTES" else f"CAST({name} AS STRING)"


def _hash(plan: Plan) -> str:
    """A hash of the columns. Other values make another text: each ends with a line feed, which none but a STRING may
    hold, and that one has its length before it; of NULL there is nothing."""
    fields = {field.name: field for field in plan.fields}
    parts = [part for name in plan.columns for part in (_hashed_text(fields[name]), r"'\n'")] or ["''"]
    while len(parts) > 1:
        pieces = [parts[start : start + _PARTS] for start in range(0, len(parts), _PARTS)]
        parts = [f"CONCAT({', '.join(piece)})" if len(piece) > 1 else piece[0] for piece in pieces]
    return f"TO_HEX(MD5({parts[0]}))"


def _hashed_text(field: Field) -> str:
    name = f"source.`{field.name}`"
    if field.mode == "REPEATED":
        return f"IFNULL(TO_JSON_STRING({name}), '')"
    match field.type:
        case "STRING":
            return f"IFNULL(CONCAT(CAST(CHAR_LENGTH({name}) AS STRING), ':', {name}), '')"
        case "BYTES":
            return f"IFNULL(CONCAT('x', TO_HEX({name})), '')"
        case "TIMESTAMP":
            return f"IFNULL(CAST(UNIX_MICROS({name}) AS STRING), '')"
        case "GEOGRAPHY":
            return f"IFNULL(TO_HEX(ST_ASBINARY({name})), '')"
        case "JSON" | "STRUCT" | "RECORD" | "RANGE":
            return f"IFNULL(TO_JSON_STRING({name}), '')"
    return f"IFNULL(CAST({name} AS STRING), '')"


def _texts(values: Collection[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


#: Of the rows of an overview that are pieces.
PIECE = "piece"


def overview(plan: Plan, made: str, rows: int, dialect: Dialect) -> str:
    """Of each kind: how many rows there are, how many of the state were met, how many were tried before; how far the
    cursor is. And pieces: ranges of buckets that hold about so many rows. `made`: what has the rows of the plan."""
    met = f"IF(known, IF(kind IN ({_texts(COUNTED)}), row_count, 1), 0)"
    upto = _upto(plan, dialect)
    piece = dialect.divided("passed", rows)
    return (
        f"SELECT kind, SUM(row_count) AS row_count, SUM({met}) AS met, COUNTIF(deliver AND retried) AS retried,\n"
        f"       CAST({upto} AS STRING) AS upto, 0 AS first_bucket, 0 AS last_bucket\n"
        f"FROM {made} GROUP BY kind\n"
        "UNION ALL\n"
        f"SELECT '{PIECE}', SUM(bucket_rows), 0, 0, NULL, MIN(bucket), MAX(bucket)\n"
        "FROM (SELECT bucket, bucket_rows, SUM(bucket_rows) OVER (ORDER BY bucket) AS passed\n"
        f"      FROM (SELECT bucket, COUNT(*) AS bucket_rows FROM {made} WHERE deliver GROUP BY bucket))\n"
        f"GROUP BY {piece}"
    )


def _upto(plan: Plan, dialect: Dialect) -> str:
    """How far the cursor is: at the greatest of rows that are good. Not beyond one whose key is of several: it would
    not be looked at again when it is the only one, for it is then as old as ever."""
    if plan.cursor is None:
        return "NULL"
    seen = f"MAX(MAX(IF(kind IN ({_texts(GOOD)}), seen, NULL))) OVER ()"
    held = f"MIN(MIN(IF(kind = '{DUPLICATE}', seen, NULL))) OVER ()"
    upto = f"IF({held} < {seen}, {held}, {seen})"
    if plan.position is None:
        return upto
    position = dialect.position(plan)  # what is tried again may be older
    return f"GREATEST(IFNULL({upto}, {position}), {position})"


#: What is read of each row of a piece, before its columns.
ROW = ("row_key", "row_hash", "kind", "since")


def within(first: int, last: int) -> str:
    """The condition that a row is to be delivered, and in these buckets."""
    return f"deliver = TRUE AND bucket >= {first} AND bucket <= {last}"


def rows(plan: Place, first: int, last: int, fields: Sequence[Field]) -> str:
    """The rows of a piece, for who may not read the table directly. JSON is text, as it is there."""
    columns = "".join(
        f", TO_JSON_STRING(c{number}) AS c{number}"
        if (field.type, field.mode) == ("JSON", "NULLABLE")
        else f", c{number}"
        for number, field in enumerate(fields)
    )
    return f"SELECT {', '.join(ROW)}{columns}\nFROM {quoted(*plan)} WHERE {within(first, last)}"


def invalid(made: str, limit: int) -> str:
    """Some rows that cannot be delivered, and why."""
    return (
        f"SELECT row_key, kind FROM {made} WHERE kind IN ({_texts(INVALID)})\nORDER BY kind DESC, row_key LIMIT {limit}"
    )
