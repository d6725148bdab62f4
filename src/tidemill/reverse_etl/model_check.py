"""Looks at a source model in BigQuery: whether its statement is right, what it gives and costs, and its key."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from tidemill.bigquery import describe, model_sql
from tidemill.bigquery.client import Answer, Client
from tidemill.bigquery.describe import Described
from tidemill.bigquery.tables import Field
from tidemill.errors import ConfigError, NotFoundError, TidemillError
from tidemill.reverse_etl import costs, statement
from tidemill.reverse_etl.spec import MOST_COLUMNS, ModelSpec
from tidemill.store.records_sync import Source

#: Types whose values are equal if, and only if, they are written alike. What is missing cannot be grouped by, or has
#: values that are not equal to themselves, or of which different ones are equal ("Data types": properties).
KEY_TYPES = ("STRING", "BYTES", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIME", "TIMESTAMP")
#: How BigQuery calls a column that has no name.
_NAMELESS = re.compile(r"f\d+_")


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a model. `mode`: NULLABLE, REQUIRED or REPEATED. `key`: it is one of the key's. `fields`: of a
    STRUCT, each with name, type, mode and fields."""

    name: str
    type: str
    mode: str
    key: bool
    fields: tuple[Field, ...] = ()


@dataclasses.dataclass(frozen=True)
class Inspection:
    """A model as BigQuery sees it. `key`: its columns, as the statement writes them. `bytes`: that a run reads of the
    model's tables; `dollars`: what that costs, about. `tables`: that it reads."""

    sql: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    bytes: int
    dollars: float
    tables: tuple[str, ...]
    location: str


@dataclasses.dataclass(frozen=True)
class Keys:
    """Whether each row has a key of its own. `null_rows`: rows with a NULL in it; `duplicate_keys`: that occur more
    than once, in `duplicate_rows` rows; `examples`: of these, with their `rows`."""

    rows: int
    null_rows: int
    duplicate_keys: int
    duplicate_rows: int
    examples: tuple[dict[str, Any], ...]
    bytes_billed: int

    @property
    def good(self) -> bool:
        """Whether no row would be set aside."""
        return not self.null_rows and not self.duplicate_keys


def look(client: Client, source: Source, model: ModelSpec, price: float) -> Inspection:
    """Have BigQuery look at a model. Nothing is run, and nothing is billed. `price`: dollars for a TiB.

    Raises
    ------
    ConfigError
        The statement is wrong, or no SELECT; or the key cannot be one.
    AccessError
        It reads what may not be read.
    """
    text = statement.of_model(model, client.project)
    found = _described(client, source, text)
    if found.statement_type != "SELECT":
        raise ConfigError(
            "model_no_select",
            f"BigQuery calls the statement {found.statement_type or 'none'}, and not SELECT.",
            hint="A model only reads: SELECT …, or WITH … SELECT ….",
        )
    _check_columns(found.columns)
    key = _key(model.key, found.columns)
    return Inspection(
        sql=text,
        key=key,
        columns=tuple(Column(f.name, f.type, f.mode, f.name in key, f.fields) for f in found.columns),
        bytes=found.bytes,
        dollars=costs.dollars(costs.billed(found.bytes, len(found.tables)), price),
        tables=tuple(".".join(table) for table in found.tables),
        location=found.location,
    )


def _described(client: Client, source: Source, text: str) -> Described:
    try:
        return describe.described(client, text)
    except ConfigError as error:
        raise _wrong(error) from None
    except NotFoundError as error:
        raise _elsewhere(client, source, text, error) from None


def _wrong(error: ConfigError) -> ConfigError:
    """What BigQuery says of a statement, without what it was asked for."""
    said = error.raw.partition(": ")[2] or error.message
    return ConfigError("model_sql", f"BigQuery refuses the statement: {said}", hint="Correct it.", raw=error.raw)


def _elsewhere(client: Client, source: Source, text: str, error: NotFoundError) -> TidemillError:
    """What is not there, where the source is: does the statement read in another place?"""
    try:
        there = describe.described(client, text, anywhere=True).location
    except TidemillError:
        there = ""
    here = str(client.location)
    said = error.raw.partition(": ")[2] or error.message
    if not there or there.lower() == here.lower():
        return NotFoundError(
            "model_reads_nothing",
            f"BigQuery does not find what the statement reads: {said}",
            hint=f"Check the names. What it reads must be in {here}, all of it, and be seen by the account.",
            raw=error.raw,
        )
    mine = f"the state dataset {source.state_dataset}" if source.state_dataset else "the dataset of the connection"
    return ConfigError(
        "model_location",
        f"The statement reads what is in {there}, and {mine} is in {here}: no statement can read both.",
        hint=f"Make a connection for a dataset in {there}, and a source of it: tidemill connection add --help, "
        "tidemill reverse-etl enable --help",
        raw=error.raw,
    )


def _check_columns(columns: Sequence[Field]) -> None:
    nameless = [column.name for column in columns if _NAMELESS.fullmatch(column.name)]
    if nameless:
        raise ConfigError(
            "model_column",
            f"{len(nameless)} of the statement's columns have no name; BigQuery calls the first {nameless[0]}.",
            hint="Give each an alias: SELECT COUNT(*) AS visits",
        )
    if len(columns) > MOST_COLUMNS:
        raise ConfigError(
            "model_columns", f"The statement gives {len(columns):,} columns.", hint=f"{MOST_COLUMNS:,} are the most."
        )


def _key(key: Sequence[str], columns: Sequence[Field]) -> tuple[str, ...]:
    """The key's columns as the statement writes them: BigQuery does not tell capitals apart."""
    known = {column.name.lower(): column for column in columns}
    missing = [name for name in key if name.lower() not in known]
    if missing:
        raise ConfigError(
            "model_key",
            f"The statement gives no column {', '.join(missing)}.",
            hint=f"It gives: {', '.join(column.name for column in columns[:50])}{', …' if len(columns) > 50 else ''}",
        )
    found = [known[name.lower()] for name in key]
    for column in found:
        kind = "ARRAY" if column.mode == "REPEATED" else {"RECORD": "STRUCT"}.get(column.type, column.type)
        if kind not in KEY_TYPES:
            raise ConfigError(
                "model_key",
                f"{column.name} is {kind}: rows cannot be told apart by it.",
                hint=f"A key is of these types: {', '.join(KEY_TYPES)}. Or cast it in the statement.",
            )
    return tuple(column.name for column in found)


def keys(client: Client, found: Inspection, limit: int | None) -> Keys:
    """Count a model's rows, and those whose key is none. Reads the columns of the key. `limit`: most bytes billed."""
    answer = _run(client, model_sql.check_keys(found.sql, found.key), limit)
    rows, null_rows, duplicate_keys, duplicate_rows, examples = answer.rows[0]
    shown = []
    for text in filter(None, examples or ()):
        example = json.loads(text)
        values = {name: example[f"key_{number}"] for number, name in enumerate(found.key)}
        shown.append({"key": values, "rows": int(example["row_count"])})
    return Keys(rows, null_rows, duplicate_keys, duplicate_rows, tuple(shown), answer.bytes_billed)


def first_rows(client: Client, found: Inspection, number: int, limit: int | None) -> tuple[list[dict[str, Any]], int]:
    """The first rows of a model as JSON objects, and the bytes that were billed. `limit`: most bytes billed."""
    answer = _run(client, model_sql.first_rows(found.sql, number), limit)
    return [json.loads(row[0]) for row in answer.rows], answer.bytes_billed


def assert_within(found: Inspection, limit: int | None) -> None:
    """Raise ConfigError if a statement would read more than may be billed."""
    if limit is not None and found.bytes > limit:
        raise _too_much(f"It would read {found.bytes:,} bytes, and {limit:,} may be billed.")


def _run(client: Client, text: str, limit: int | None) -> Answer:
    job_id = f"tidemill_model_{secrets.token_hex(12)}"
    try:
        return client.query(text, job_id=job_id, labels={"tidemill_model": "check"}, max_bytes_billed=limit)
    except ConfigError as error:
        raise _too_much(error.message) if error.code == "bytes_billed_limit" else _wrong(error) from None


def _too_much(said: str) -> ConfigError:
    return ConfigError(
        "bytes_billed_limit",
        said,
        hint="Nothing was billed. Raise the limit: tidemill model edit NAME --max-bytes-billed 20GB (or none)",
    )
