"""Load jobs of the embedded BigQuery: checked as Google checks, and all or nothing.

The gate does them itself, in the emulator's DuckDB: the emulator takes Parquet into JSON columns, ignores columns that
the table lacks, counts the whole table as loaded, and copies the table after every load.
"""

from __future__ import annotations

import gzip
import shutil
import time
import zlib
from pathlib import Path
from typing import Any

import duckdb

from tidemill.bigquery.local import jobs
from tidemill.bigquery.local.answers import job_error

#: DuckDB's type of a column in a file, and BigQuery's types that it may go into.
_FITS = {
    "VARCHAR": {"STRING", "GEOGRAPHY"},
    "BLOB": {"BYTES", "STRING"},
    "BOOLEAN": {"BOOL", "BOOLEAN"},
    "TINYINT": {"INT64", "INTEGER"},
    "SMALLINT": {"INT64", "INTEGER"},
    "INTEGER": {"INT64", "INTEGER", "FLOAT64", "FLOAT"},
    "BIGINT": {"INT64", "INTEGER", "NUMERIC", "BIGNUMERIC"},
    "UINTEGER": {"INT64", "INTEGER"},
    "UBIGINT": {"INT64", "INTEGER"},
    "FLOAT": {"FLOAT64", "FLOAT"},
    "DOUBLE": {"FLOAT64", "FLOAT"},
    "DATE": {"DATE"},
    "TIME": {"TIME"},
    "TIMESTAMP": {"DATETIME", "TIMESTAMP"},
    "TIMESTAMP WITH TIME ZONE": {"TIMESTAMP"},
}
_NUMERIC = {"NUMERIC", "BIGNUMERIC"}


class Failed(Exception):  # noqa: N818 - the job failed, as it would at Google
    """Why a job failed: its `errorResult`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.error = job_error(reason, message)


def run(
    connection: duckdb.DuckDBPyConnection,
    book: jobs.Jobs,
    job: dict[str, Any],
    table: str,
    fields: list[dict[str, Any]],
    file: Path,
) -> dict[str, Any]:
    """Load `file` into the DuckDB table `table` (quoted name), whose BigQuery columns are `fields`.

    `job`: the resource of the job as it is to be entered. Gives it with its outcome, which is in the book then.
    """
    load = job["configuration"]["load"]
    began = time.time()
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN")
        try:
            rows = _insert(cursor, load, table, fields, file)
        except duckdb.Error as error:
            raise Failed("invalid", f"Error while reading data, error message: {str(error)[:500]}") from None
        job["statistics"]["load"] = {
            "inputFiles": "1",
            "inputFileBytes": str(file.stat().st_size),
            "outputRows": str(rows),
            "outputBytes": str(file.stat().st_size),
            "badRecords": "0",
        }
        job["statistics"]["endTime"] = str(int(time.time() * 1000))
        book.save(cursor, job)
        cursor.execute("COMMIT")
    except Failed as failed:
        cursor.execute("ROLLBACK")
        reference = job["jobReference"]
        job = jobs.resource(
            reference["projectId"],
            reference["jobId"],
            reference["location"],
            job["configuration"],
            job["user_email"],
            began,
            error=failed.error,
        )
        book.save_alone(job)
    finally:
        cursor.close()
    return job


def _insert(
    cursor: duckdb.DuckDBPyConnection, load: dict[str, Any], table: str, fields: list[dict[str, Any]], file: Path
) -> int:
    disposition = load.get("writeDisposition", "WRITE_APPEND")
    if disposition == "WRITE_EMPTY" and cursor.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
        raise Failed("duplicate", "Already Exists: the table is not empty")
    if disposition.startswith("WRITE_TRUNCATE"):
        cursor.execute(f"DELETE FROM {table}")
    kind = load.get("sourceFormat", "CSV")
    source, names = _source(cursor, kind, fields, file)
    columns = ", ".join(f'"{name}"' for name in names)
    found = cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}").fetchone()
    return int(found[0]) if found else 0


def _source(
    cursor: duckdb.DuckDBPyConnection, kind: str, fields: list[dict[str, Any]], file: Path
) -> tuple[str, list[str]]:
    """What to select from, and the table's columns that the file has."""
    path = "'" + str(file).replace("'", "''") + "'"
    if kind == "PARQUET":
        described = cursor.execute(f"DESCRIBE SELECT * FROM read_parquet({path})").fetchall()
        return f"read_parquet({path})", _check_columns({row[0]: row[1] for row in described}, fields)
    if kind == "NEWLINE_DELIMITED_JSON":
        _inflate(file)
        columns = ", ".join(f"'{field['name']}': '{duckdb_type(field)}'" for field in fields)
        reader = (
            f"read_json({path}, format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = 134217728)"
        )
        _check_json_fields(cursor, path, fields)
        return reader, [field["name"] for field in fields]
    if kind == "CSV":
        _inflate(file)
        described = cursor.execute(f"DESCRIBE SELECT * FROM read_csv({path}, header = true)").fetchall()
        names = {field["name"].lower(): field["name"] for field in fields}
        return f"read_csv({path}, header = true)", [
            names[row[0].lower()] for row in described if row[0].lower() in names
        ]
    raise Failed("invalid", f"Unsupported source format: {kind}")


def _check_columns(found: dict[str, str], fields: list[dict[str, Any]]) -> list[str]:
    known = {field["name"].lower(): field for field in fields}
    if any(field["type"] == "JSON" and field["name"].lower() in {n.lower() for n in found} for field in fields):
        raise Failed("invalid", "Unsupported field type: JSON")
    names = []
    for name, kind in found.items():
        field = known.get(name.lower())
        if field is None:
            raise Failed("invalid", f"Provided Schema does not match Table. Cannot add fields (field: {name})")
        plain = kind.removesuffix("[]")
        repeated = field.get("mode") == "REPEATED"
        fits = field["type"] in _NUMERIC if plain.startswith("DECIMAL") else field["type"] in _FITS.get(plain, set())
        if not fits or repeated != kind.endswith("[]"):
            raise Failed(
                "invalid",
                f"Provided Schema does not match Table. Field {name} has changed type from {field['type']} to {kind}",
            )
        names.append(field["name"])
    required = [f["name"] for f in fields if f.get("mode") == "REQUIRED" and f["name"] not in names]
    if required:
        raise Failed("invalid", f"Required field {required[0]} cannot be null")
    return names


def _check_json_fields(cursor: duckdb.DuckDBPyConnection, path: str, fields: list[dict[str, Any]]) -> None:
    """A field that the table lacks is an error, unless it is to be ignored."""
    keys = cursor.execute(
        f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({path}, format = 'newline_delimited', "
        "maximum_object_size = 134217728)"
    ).fetchall()
    known = {field["name"].lower() for field in fields}
    unknown = sorted(row[0] for row in keys if row[0].lower() not in known)
    if unknown:
        raise Failed(
            "invalid",
            f"Error while reading data, error message: JSON table encountered too many errors, giving up. "
            f"No such field: {unknown[0]}.",
        )


def duckdb_type(field: dict[str, Any]) -> str:
    """DuckDB's type for a BigQuery column."""
    types = {
        "STRING": "VARCHAR",
        "INT64": "BIGINT",
        "INTEGER": "BIGINT",
        "FLOAT64": "DOUBLE",
        "FLOAT": "DOUBLE",
        "BOOL": "BOOLEAN",
        "BOOLEAN": "BOOLEAN",
        "TIMESTAMP": "TIMESTAMPTZ",
        "DATETIME": "TIMESTAMP",
        "DATE": "DATE",
        "TIME": "TIME",
        "JSON": "JSON",
        "NUMERIC": "DECIMAL(38,9)",
        "BYTES": "BLOB",
    }
    plain = types.get(field["type"], "VARCHAR")
    return f"{plain}[]" if field.get("mode") == "REPEATED" else plain


def _inflate(file: Path) -> None:
    """BigQuery takes gzip; the emulator's reader does not without the name for it."""
    with file.open("rb") as start:
        if start.read(2) != b"\x1f\x8b":
            return
    plain = file.with_suffix(".plain")
    try:
        with gzip.open(file) as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        plain.unlink(missing_ok=True)
        raise Failed("invalid", f"Error while reading data, error message: {error}") from None
    plain.replace(file)
