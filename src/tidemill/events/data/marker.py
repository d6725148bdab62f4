"""An object that says whose event data lies here: two installations in one place would take each other's files away."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, NotFoundError
from tidemill.events.data.location import Bucket
from tidemill.events.data.objects import Objects
from tidemill.events.duck import literal

if TYPE_CHECKING:
    import duckdb

NAME = "tidemill.json"


def write(objects: Objects, identity: str) -> None:
    """Say that it is ours, from now on.

    Raises
    ------
    ConfigError
        It is another's.
    """
    found = read(objects)
    if found is None:
        text = json.dumps({"installation": identity}) + "\n"
        objects.write(NAME, io.BytesIO(text.encode()))
        found = read(objects)
    assert_ours(objects.place, found, identity)


def read(objects: Objects) -> str | None:
    """Whose it is; None if nobody has said so. "" if what is there cannot be understood."""
    try:
        with objects.read(NAME) as file:
            return _identity(file.read())
    except NotFoundError:
        return None


def read_by(connection: duckdb.DuckDBPyConnection, bucket: Bucket) -> str | None:
    """The same by DuckDB, which needs no other library for it."""
    import duckdb

    try:
        found = connection.execute(f"SELECT content FROM read_blob({literal(bucket.path + NAME)})").fetchall()
    except duckdb.HTTPException as error:
        if getattr(error, "status_code", 0) == 404 and "NoSuchBucket" not in str(getattr(error, "body", "")):
            return None
        raise
    return _identity(found[0][0])


def assert_ours(place: str, found: str | None, identity: str, endpoint: str = "") -> None:
    """Raise ConfigError unless it is."""
    if found == identity:
        return
    if found is None:
        where = f"{place} at {endpoint}" if endpoint else place
        raise ConfigError(
            "event_data_elsewhere",
            f"The events of this database do not lie in {where}: there is no {NAME}.",
            hint="Give this machine the TIDEMILL_EVENT_DATA of the others, endpoint and region with it.",
        )
    raise ConfigError(
        "event_data_taken",
        f"The event data in {place} belongs to another installation, of another database.",
        hint="Choose another prefix (TIDEMILL_EVENT_DATA), or that installation's database (TIDEMILL_DATABASE_URL).",
    )


def _identity(text: bytes) -> str:
    try:
        return str(json.loads(text)["installation"])
    except (ValueError, KeyError, TypeError):
        return ""
