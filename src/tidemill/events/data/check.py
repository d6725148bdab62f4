"""Tries what the event store needs of the place of its data, step by step; nothing is left behind."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from typing import Any

from tidemill.documents import page
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError
from tidemill.events import duck
from tidemill.events.data import bucket as buckets
from tidemill.events.data import marker, refusals
from tidemill.events.data import storage as storages
from tidemill.events.data.bucket import BucketObjects
from tidemill.events.data.credentials import Credentials
from tidemill.events.data.location import Bucket, Folder, Location
from tidemill.events.data.objects import FolderObjects, Objects, probe
from tidemill.events.data.storage import BucketStorage
from tidemill.settings import Settings

#: The store refuses requests of a clock that differs by 15 minutes.
_CLOCK_SECONDS = 5 * 60
_VERSIONS = "What is deleted stays there as an older version"
_VERSIONS_HINT = (
    "Have the bucket delete old versions after some days (a lifecycle rule on noncurrent versions): "
    f"a person who was deleted is in them until then. {page('howto/many-machines.md')}"
)


@dataclasses.dataclass(frozen=True)
class Step:
    """What was tried. `status`: passed, warning or failed; `code`, `raw`: of the error, if there was one."""

    title: str
    status: str = "passed"
    message: str = ""
    hint: str = ""
    code: str = ""
    raw: str = ""

    @classmethod
    def of(cls, title: str, status: str, error: TidemillError, message: str = "") -> Step:
        """One that met an error."""
        return cls(title, status, message or error.message, error.hint, error.code, error.raw)


def steps(
    location: Location, settings: Settings, credentials: Credentials, identity: Callable[[], str]
) -> Iterator[Step]:
    """The steps, in order. It ends with the first one that is wrong."""
    tried = _folder(location) if isinstance(location, Folder) else _bucket(location, settings, credentials, identity)
    at = ""
    try:
        for at, step in tried:  # noqa: B007 - it says what failed
            if step is not None:
                yield step
    except TidemillError as error:
        yield Step.of(at, "failed", error)


#: What is tried next; and then again with what came of it.
Tried = Iterator[tuple[str, Step | None]]


def _folder(folder: Folder) -> Tried:
    title = f"The folder {folder.path} can be used"
    yield title, None
    try:
        storages.made(folder.path, given=folder.given)
        _moved(FolderObjects(folder.path))
    except OSError as error:
        raise ConfigError(
            "event_data_folder",
            f"{folder.path} cannot be used: {error.strerror or error}.",
            hint="Correct its permissions, or TIDEMILL_EVENT_DATA.",
        ) from None
    yield title, Step(title)
    title = "Others cannot read it"
    yield title, None
    mode = folder.path.stat().st_mode
    if mode & stat.S_IROTH and mode & stat.S_IXOTH:
        readable = ConfigError(
            "event_data_readable",
            f"Every user of this machine may read {folder.path}.",
            hint=f"Unless that is meant: chmod o-rwx {shlex.quote(str(folder.path))}",
        )
        yield title, Step.of(title, "warning", readable)
    else:
        yield title, Step(title)


def _bucket(bucket: Bucket, settings: Settings, credentials: Credentials, identity: Callable[[], str]) -> Tried:
    title = "There is an access key"
    yield title, None
    key = credentials.key()
    yield title, Step(title, "passed", f"{key.id}, {key.origin}")
    objects = BucketObjects(bucket, credentials)
    title = f"The bucket {bucket.name} answers at {bucket.endpoint}, and its objects can be listed"
    yield title, None
    answer = objects.ask("LIST", "list_objects_v2", Prefix=bucket.key(""), MaxKeys=1)
    yield title, Step(title, "passed", "" if bucket.region == "auto" else bucket.region)
    yield from _clock(bucket, answer)
    title = "Nobody else's event data lies there"
    yield title, None
    whose = marker.read(objects)
    if whose is not None:
        marker.assert_ours(objects.place, whose, identity())
    yield title, Step(title, "passed", bucket.url)
    yield from _moves(objects, bucket, settings, credentials, identity)
    yield from _versions(objects)
    yield from _rules(objects)


def _clock(bucket: Bucket, answer: Any) -> Tried:
    title = "This machine's clock is right"
    yield title, None
    said = buckets.dated(answer)
    if said is None:
        return
    differs = (dt.datetime.now(dt.UTC) - said).total_seconds()
    if abs(differs) > _CLOCK_SECONDS:
        how = f"it differs by {abs(differs):,.0f} s from the object store's, which refuses 900 s"
        yield title, Step.of(title, "warning", refusals.clock_wrong(bucket), how)
    else:
        yield title, Step(title)


def _moves(
    objects: BucketObjects, bucket: Bucket, settings: Settings, credentials: Credentials, identity: Callable[[], str]
) -> Tried:
    """An object is written, read by DuckDB, and deleted."""
    name, text = probe(), os.urandom(16).hex()
    title = "An object can be written"
    yield title, None
    objects.write(name, io.BytesIO(text.encode()))
    yield title, Step(title)
    written = True
    try:
        title = "It can be read"
        yield title, None
        storage = BucketStorage(bucket, credentials, identity, settings.spill_path)
        with duck.connect(settings, storage.extensions) as connection, storage.translated():
            storage.settle(connection)
            storage.sign_in(connection)
            found = connection.execute(f"SELECT content FROM read_text({duck.literal(bucket.path + name)})").fetchall()
        if found != [(text,)]:
            raise ConfigError(
                "event_data_changed",
                "What was read is not what was written.",
                hint="The object store, or a proxy before it, is not to be trusted with events.",
            )
        yield title, Step(title)
        title = "It can be deleted"
        yield title, None
        objects.delete([name])
        written = False
        yield title, Step(title)
    finally:
        if written:
            _tried_to_delete(objects, name)


def _tried_to_delete(objects: Objects, name: str) -> None:
    try:
        objects.delete([name])
    except TidemillError:
        return


def _versions(objects: BucketObjects) -> Tried:
    title = "What is deleted is gone"
    yield title, None
    try:
        status = objects.ask("GET", "get_bucket_versioning").get("Status")
    except (AccessError, ConfigError):
        yield title, Step(title, "warning", "that may not be asked: s3:GetBucketVersioning, storage.buckets.get")
        return
    if status in {"Enabled", "Suspended"}:
        error = ConfigError("event_data_versions", f"{_VERSIONS}: the bucket keeps versions.", hint=_VERSIONS_HINT)
        yield title, Step.of(title, "warning", error)
    else:
        yield title, Step(title)


def _rules(objects: BucketObjects) -> Tried:
    """A rule that deletes what is old deletes events."""
    title = "No rule of the bucket deletes events"
    yield title, None
    try:
        rules = objects.ask("GET", "get_bucket_lifecycle_configuration").get("Rules", ())
    except NotFoundError:
        rules = ()
    except TidemillError:  # it may not be asked
        return
    start = objects.bucket.key("")
    for rule in rules:
        prefix = str(rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")))
        if rule.get("Status") != "Enabled" or not (start.startswith(prefix) or prefix.startswith(f"{start}main/")):
            continue
        if rule.get("Expiration", {}).keys() & {"Days", "Date"}:
            raise ConfigError(
                "event_data_expires",
                f"The bucket's lifecycle rule {rule.get('ID', '')!r} deletes objects by their age: events among them.",
                hint=f"Change the rule, or its prefix, so that it leaves {objects.place} alone.",
            )
    yield title, Step(title)


def _moved(objects: Objects) -> None:
    name = probe()
    objects.write(name, io.BytesIO(b"x"))
    objects.delete([name])
