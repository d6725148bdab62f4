"""Load jobs of the embedded BigQuery: checked as Google checks, and all or nothing.

The gate does them itself, in the emulator's DuckDB: the emulator takes Parquet into JSON columns, ignores columns that
the table lacks, counts the whole table as loaded, and copies the table after every load.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import re
import shutil
import time
import zlib
from pathlib import Path
from typing import Any

import duckdb

from tidemill.bigquery.local import json_lines, schemas, values
from tidemill.bigquery.local.jobs import Jobs, failed
from tidemill.bigquery.local.permissions import Place

#: DuckDB's type of a column in a file, and BigQuery's types that it may go into.
_FITS = {
    "VARCHAR": {"STRING", "GEOGRAPHY"},
    "BLOB": {"BYTES", "STRING"},
    "BOOLEAN": {"BOOL"},
    "TINYINT": {"INT64"},
    "SMALLINT": {"INT64"},
    "INTEGER": {"INT64", "FLOAT64"},
    "BIGINT": {"INT64", "NUMERIC", "BIGNUMERIC"},
    "UTINYINT": {"INT64"},
    "USMALLINT": {"INT64"},
    "UINTEGER": {"INT64"},
    "UBIGINT": {"INT64"},
    "FLOAT": {"FLOAT64"},
    "DOUBLE": {"FLOAT64"},
    "DECIMAL": {"NUMERIC", "BIGNUMERIC"},
    "DATE": {"DATE"},
    "TIME": {"TIME"},
    "TIMESTAMP": {"DATETIME", "TIMESTAMP"},
    "TIMESTAMP_NS": {"DATETIME", "TIMESTAMP"},
    "TIMESTAMP_MS": {"DATETIME", "TIMESTAMP"},
    "TIMESTAMP_S": {"DATETIME", "TIMESTAMP"},
    "TIMESTAMP WITH TIME ZONE": {"TIMESTAMP"},
    "STRUCT": {"STRUCT"},
}
_READING = "Error while reading data, error message:"
_NULL = re.compile(r"NOT NULL constraint failed: (?:.*\.)?(.+)")


class Failed(Exception):  # noqa: N818 - the job failed, as it would at Google
    """Why a job failed: the reason and message of its `errorResult`, and what more is in its list of errors."""

    def __init__(self, reason: str, message: str, *details: str) -> None:
        super().__init__(message)
        self.reason, self.message, self.details = reason, message, details


@dataclasses.dataclass(frozen=True)
class Target:
    """The table that is loaded into. `quoted`: its name in DuckDB; `fields`: its columns, as REST names them."""

    at: Place
    quoted: str
    fields: list[dict[str, Any]]

    @property
    def mismatch(self) -> str:
        """How BigQuery begins to say that a file does not fit."""
        return f"Provided Schema does not match Table {self.at.project}:{self.at.dataset}.{self.at.table}."


def run(
    connection: duckdb.DuckDBPyConnection, book: Jobs, job: dict[str, Any], target: Target, file: Path
) -> dict[str, Any]:
    """Load `file` into the table. `job`: its resource as it is to be entered.

    Gives it with its outcome, which is in the book then. Raises what is no fault of the file: then the job never was.
    """
    load = job["configuration"]["load"]
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN")
        try:
            loaded, bad = _insert(cursor, load, target, file)
        except duckdb.Error as error:
            raise _in_words(error) from None
        size = str(file.stat().st_size)
        counts = {"inputFiles": "1", "inputFileBytes": size, "outputRows": str(loaded), "outputBytes": size}
        statistics = {**job["statistics"], "load": {**counts, "badRecords": str(bad)}, "endTime": _now()}
        job = {**job, "statistics": statistics}
        book.save(cursor, job)
        try:
            cursor.execute("COMMIT")
        except duckdb.Error as error:
            raise Failed("backendError", f"The load could not be committed: {error}") from None
    except Failed as error:
        with contextlib.suppress(duckdb.Error):  # a failed COMMIT has ended the transaction
            cursor.execute("ROLLBACK")
        status = failed(error.reason, error.message, *error.details)
        job = {**job, "status": status, "statistics": {**job["statistics"], "endTime": _now()}}
        job["statistics"].pop("load", None)
        book.save_alone(job)
    finally:
        cursor.close()  # with what is not committed
    return job


def _in_words(error: duckdb.Error) -> Failed:
    if found := _NULL.search(str(error)):
        return Failed("invalid", f"Required field {found[1]} cannot be null")
    return Failed("invalid", f"{_READING} {str(error)[:500]}")


def _now() -> str:
    return str(int(time.time() * 1000))


def _insert(cursor: duckdb.DuckDBPyConnection, load: dict[str, Any], target: Target, file: Path) -> tuple[int, int]:
    """Rows that were loaded, and bad rows that were left out."""
    disposition = load.get("writeDisposition", "WRITE_APPEND")
    if disposition == "WRITE_EMPTY" and cursor.execute(f"SELECT 1 FROM {target.quoted} LIMIT 1").fetchone():
        at = target.at
        raise Failed("duplicate", f"Already Exists: Table {at.project}:{at.dataset}.{at.table}")
    if disposition.startswith("WRITE_TRUNCATE"):
        cursor.execute(f"DELETE FROM {target.quoted}")
    kind = load.get("sourceFormat", "CSV")
    if kind != "PARQUET":
        _inflate(file)
    if kind == "NEWLINE_DELIMITED_JSON":
        try:
            return json_lines.load(cursor, target.quoted, _given(load, target), load, file)
        except json_lines.TooManyErrorsError as error:
            raise Failed("invalid", f"{_READING} {error}", *(f"{_READING} {line}" for line in error.details)) from None
    if kind == "PARQUET":
        source = f"read_parquet({_text(file)})"
        names = _parquet_columns(_described(cursor, source), target)
    elif kind == "CSV":
        source = f"read_csv({_text(file)}, header = true)"
        known = {field["name"].lower(): str(field["name"]) for field in target.fields}
        names = [known[name.lower()] for name in _described(cursor, source) if name.lower() in known]
    else:
        raise Failed("invalid", f"Unsupported source format: {kind}")
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    found = cursor.execute(f"INSERT INTO {target.quoted} ({columns}) SELECT {columns} FROM {source}").fetchone()
    return int(found[0]) if found else 0, 0


def _given(load: dict[str, Any], target: Target) -> list[dict[str, Any]]:
    """The columns that the file may have: those of the job's schema, if it has one."""
    schema = (load.get("schema") or {}).get("fields")
    if not schema:
        return target.fields
    given = {field["name"].lower() for field in schema}
    return [f for f in target.fields if f["name"].lower() in given or f.get("mode") == "REQUIRED"]


def _text(file: Path) -> str:
    return "'" + str(file).replace("'", "''") + "'"


def _described(cursor: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    return {row[0]: row[1] for row in cursor.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}


def parquet_schema(connection: duckdb.DuckDBPyConnection, file: Path) -> list[dict[str, Any]]:
    """The columns that a table made for a Parquet file has. Raises Failed."""
    cursor = connection.cursor()
    try:
        return [schemas.of_duckdb(*column) for column in _described(cursor, f"read_parquet({_text(file)})").items()]
    except duckdb.Error as error:
        raise _in_words(error) from None
    finally:
        cursor.close()


def _parquet_columns(found: dict[str, str], target: Target) -> list[str]:
    """The table's columns that the file has. Raises Failed if it has others, or of another type."""
    known = {field["name"].lower(): field for field in target.fields}
    if any(
        values.kind(field) == "JSON" and field["name"].lower() in {n.lower() for n in found} for field in known.values()
    ):
        raise Failed("invalid", "Unsupported field type: JSON")
    names = []
    for name, kind in found.items():
        field = known.get(name.lower())
        if field is None:
            raise Failed("invalid", f"{target.mismatch} Cannot add fields (field: {name})")
        repeated = kind.endswith("[]")
        plain = kind.removesuffix("[]").partition("(")[0]
        fits = values.kind(field) in _FITS.get(plain, set())
        if not fits or repeated != (field.get("mode") == "REPEATED"):
            raise Failed("invalid", f"{target.mismatch} Field {name} has changed type from {field['type']} to {kind}")
        names.append(str(field["name"]))
    return names


def _inflate(file: Path) -> None:
    """Unpack the file in its place if it is gzip. Raises Failed if it is broken."""
    with file.open("rb") as start:
        if start.read(2) != b"\x1f\x8b":
            return
    plain = file.with_suffix(".plain")
    try:
        with gzip.open(file) as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        plain.unlink(missing_ok=True)
        raise Failed("invalid", f"{_READING} {error}") from None
    plain.replace(file)
