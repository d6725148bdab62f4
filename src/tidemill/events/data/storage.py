"""How DuckDB keeps the event store's files, in a folder or in a bucket: what it is told, and what a commit waits for.

In a folder, files are put on the disk, and held, before a commit names them: see durable.py. In a bucket, a file is
durable when its upload has an answer, and nothing has to be held: DuckLake, which takes a commit for failed when only
its answer was lost, and then removes its files, cannot. It does that outside of any cursor, and the key is known to
cursors alone; of all others it is said that the store is at an address where nobody is. See docs/decisions/0019.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tidemill.errors import TidemillError, UnavailableError
from tidemill.events import durable
from tidemill.events.data import marker, refusals
from tidemill.events.data.bucket import BucketObjects
from tidemill.events.data.credentials import Credentials
from tidemill.events.data.location import Bucket, Folder, Location
from tidemill.events.data.objects import FolderObjects, Objects
from tidemill.events.duck import literal
from tidemill.settings import Settings, private_folder

if TYPE_CHECKING:
    import duckdb

#: Bytes of room on the disk without which nothing is committed, of one commit.
_LEAST_FREE = 32 * 1024 * 1024
#: Rows of a commit that lie in the catalog first: to upload a file takes longer than to write these.
_INLINED_FOLDER, _INLINED_BUCKET = 10, 200
_NOBODY = "127.0.0.1:9"
_HTTP = re.compile(r"HTTP (GET|HEAD|PUT|POST|DELETE) to '")
_METHOD = re.compile(r"HTTP (GET|HEAD|PUT|POST|DELETE)\b")
#: A request may take so many seconds, with all that it brings; it is made again after 0.2 s, and after 0.8 s.
_TRIES: dict[str, int] = {"http_retries": 2, "http_retry_wait_ms": 200, "http_retry_backoff": 4, "http_timeout": 30}
_PATIENT_SECONDS, _LOOK_SECONDS = 300, 5
#: A ten-thousandth of this is a part of an upload: 16 MB, of which so many are in memory at once.
_UPLOADS: dict[str, str | int] = {"s3_uploader_max_filesize": "160GB", "s3_uploader_thread_limit": 4}


class Storage(Protocol):
    """Where DuckLake's files lie, as the event store needs it."""

    location: Location
    #: Where it is, as the event store's catalog has it (`data_path`): with a slash at the end.
    path: str
    objects: Objects
    #: Of DuckDB, beside those that are always there.
    extensions: tuple[str, ...]
    #: Rows of a commit that lie in the catalog first.
    inlined: int
    #: Whether to open a file takes a request to elsewhere.
    remote: bool

    def ready(self) -> None:
        """Have it ready; with the turn of those who change it."""

    def claim(self, connection: duckdb.DuckDBPyConnection, *, fresh: bool) -> None:
        """See that it is this installation's. `fresh`: nothing lies there yet."""

    def settle(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Tell DuckDB what holds for all its cursors."""

    def sign_in(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let this cursor reach the files."""

    def translated(self) -> contextlib.AbstractContextManager[None]:
        """Refusals of the place are raised as errors of tidemill.errors."""

    def appending(self, cursor: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[None]:
        """A transaction that adds events; it is durable at its end. One at a time."""

    def changing(self, cursor: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[None]:
        """A transaction that writes files."""

    def patient(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let requests of this cursor take long: it moves large files, and nobody waits for it."""

    def look(self) -> None:
        """Raise UnavailableError if there is no room."""

    def look_again(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Raise UnavailableError if the place did not answer the last time, and does not now. To be asked before a turn
        is waited for: others would wait with whom who finds that out in it."""


class FolderStorage:
    """In a folder."""

    extensions: tuple[str, ...] = ()
    inlined, remote = _INLINED_FOLDER, False

    def __init__(self, folder: Folder) -> None:
        self.location: Location = folder
        self._folder, self._given = folder.path, folder.given
        self.path = f"{folder.path}{os.sep}"
        self.objects: Objects = FolderObjects(folder.path)
        self._files: durable.Files | None = None  # those that commits of this process have seen

    def ready(self) -> None:
        """See Storage."""
        made(self._folder, given=self._given)
        durable.recover(self._folder)

    def claim(self, connection: duckdb.DuckDBPyConnection, *, fresh: bool) -> None:
        """See Storage."""

    def settle(self, connection: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""

    def sign_in(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""

    def translated(self) -> contextlib.AbstractContextManager[None]:
        """See Storage."""
        return contextlib.nullcontext()

    def appending(self, cursor: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[None]:
        """See Storage."""
        if self._files is None:
            self._files = durable.Files(self._folder)
        return durable.transaction(cursor, self._files)

    def changing(self, cursor: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[None]:
        """See Storage."""
        return durable.transaction(cursor, durable.Files(self._folder))

    def patient(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""

    def look(self) -> None:
        """See Storage."""
        _assert_room(self._folder, "for events")

    def look_again(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""


class BucketStorage:
    """In a bucket."""

    extensions: tuple[str, ...] = ("httpfs",)
    inlined, remote = _INLINED_BUCKET, True

    def __init__(self, bucket: Bucket, credentials: Credentials, identity: Callable[[], str], spill: Path) -> None:
        """`identity`: of the installation, by which its data is known; `spill`: a folder that queries use."""
        self.location: Location = bucket
        self.path = bucket.path
        self._bucket, self._credentials, self._identity, self._spill = bucket, credentials, identity, spill
        self._objects = BucketObjects(bucket, credentials)
        self.objects: Objects = self._objects
        self._troubled = threading.Event()

    def ready(self) -> None:
        """See Storage."""

    def claim(self, connection: duckdb.DuckDBPyConnection, *, fresh: bool) -> None:
        """See Storage.

        Raises
        ------
        ConfigError
            Another installation's events lie there, or none.
        """
        if fresh:
            marker.write(self.objects, self._identity())
        else:
            with self.translated():
                found = marker.read_by(connection, self._bucket)
            marker.assert_ours(self.objects.place, found, self._identity(), self._bucket.endpoint)

    def settle(self, connection: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""
        given: dict[str, str | bool | int] = {
            # What DuckDB found in the environment is for nobody but cursors, either.
            **dict.fromkeys(("s3_access_key_id", "s3_secret_access_key", "s3_session_token"), ""),
            "s3_endpoint": _NOBODY,
            "s3_region": self._bucket.region,
            "s3_url_style": "path" if self._bucket.path_style else "vhost",
            "s3_use_ssl": self._bucket.endpoint.startswith("https://"),
            "http_retries": 0,
            "http_timeout": 1,
            **_UPLOADS,
            "enable_server_cert_verification": True,
            "enable_curl_server_cert_verification": True,
        }
        if authority := os.environ.get("AWS_CA_BUNDLE"):
            given["ca_cert_file"] = authority
        connection.execute("; ".join(f"SET GLOBAL {name} = {_value(value)}" for name, value in given.items()))

    def sign_in(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""
        key = self._credentials.key()
        given: dict[str, str | bool | int] = {
            "s3_access_key_id": key.id,
            "s3_secret_access_key": key.secret,
            "s3_session_token": key.token,
            "s3_endpoint": self._bucket.endpoint.partition("://")[2],
            **_TRIES,
        }
        cursor.execute("; ".join(f"SET SESSION {name} = {_value(value)}" for name, value in given.items()))

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """See Storage."""
        import duckdb  # 60 ms

        try:
            yield
        except duckdb.HTTPException as error:
            body = str(getattr(error, "body", ""))
            method = _METHOD.search(str(error))
            status, code = int(getattr(error, "status_code", 0) or 0), refusals.code_in(body)
            raise self._noted(
                refusals.refused(
                    self._bucket,
                    method[1] if method else "PUT",
                    status,
                    code,
                    self._credentials.key().id,
                    f"{error} {body}",
                )
            ) from None
        except duckdb.IOException as error:
            if not _HTTP.search(str(error)):
                raise
            said = str(error).removeprefix("IO Error: ").partition(" error for ")[0]
            raise self._noted(refusals.unavailable(self._bucket, said, str(error))) from None

    def _noted(self, error: TidemillError) -> TidemillError:
        if isinstance(error, UnavailableError):
            self._troubled.set()
        return error

    @contextlib.contextmanager
    def appending(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """See Storage."""
        cursor.execute("BEGIN")
        try:
            yield
            cursor.execute("COMMIT")
        except BaseException:
            for end in (lambda: cursor.execute("ROLLBACK"), cursor.close):
                with contextlib.suppress(Exception):
                    end()
            raise

    changing = appending

    def patient(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""
        cursor.execute(f"SET SESSION http_timeout = {_PATIENT_SECONDS}")

    def look_again(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """See Storage."""
        if self._troubled.is_set():
            cursor.execute(f"SET SESSION http_timeout = {_LOOK_SECONDS}; SET SESSION http_retries = 0")
            marker.read_by(cursor, self._bucket)
            self._troubled.clear()
            self.sign_in(cursor)

    def look(self) -> None:
        """See Storage. Of a bucket there is always room; queries want some on this machine's disk."""
        _assert_room(private_folder(self._spill), "for what queries put there")


def made(folder: Path, *, given: bool) -> None:
    """Make a folder for events, for the owner alone. One that is there keeps its mode if it is `given`: it is the
    user's own, and others may share it."""
    if not (given and folder.is_dir()):
        private_folder(folder)


def of(
    location: Location,
    settings: Settings,
    credentials: Credentials,
    identity: Callable[[], str],
) -> Storage:
    """The storage of a location."""
    if isinstance(location, Folder):
        return FolderStorage(location)
    return BucketStorage(location, credentials, identity, settings.spill_path)


def _assert_room(folder: Path, what: str) -> None:
    if shutil.disk_usage(folder).free < _LEAST_FREE:
        raise UnavailableError("disk_full", f"There is no room {what}.", hint="Make room on the disk.")


def _value(value: str | bool | int) -> str:
    return literal(value) if isinstance(value, str) else str(value).lower()
