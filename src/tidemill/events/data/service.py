"""What a user can do with the place of event data: look, give it a key, test it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
from collections.abc import Iterator
from typing import Any, Protocol

from tidemill.errors import ConfigError
from tidemill.events.data import check, location, marker, storage
from tidemill.events.data.check import Step
from tidemill.events.data.credentials import AccessKey, Credentials
from tidemill.events.data.location import Bucket, Location
from tidemill.events.data.objects import Objects
from tidemill.settings import Settings


class Kept(Protocol):
    """What is kept of an installation, as far as it is needed here."""

    def identity(self) -> str:
        """Its id."""

    def access_key(self) -> Any:
        """The key of the object store, if one was given."""

    def keep_access_key(self, key_id: str, token: bytes, by: str) -> None:
        """Save one."""

    def forget_access_key(self) -> None:
        """None is given any more."""


class Encryption(Protocol):
    """Encrypts what is secret."""

    def encrypt(self, text: str) -> bytes:
        """`text`, encrypted."""

    def decrypt(self, token: bytes) -> str:
        """The text of `token`."""


@dataclasses.dataclass(frozen=True)
class View:
    """Where event data lies, and with which key it is asked for. Never the secret."""

    place: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    access_key: str | None = None
    origin: str | None = None
    given_at: dt.datetime | None = None
    given_by: str | None = None


class EventDataService:
    """The place of event data."""

    def __init__(self, settings: Settings, kept: Kept, encryption: Encryption) -> None:
        self._settings, self._kept, self._encryption = settings, kept, encryption

    @functools.cached_property
    def location(self) -> Location:
        """Where it lies."""
        return location.of(self._settings)

    @functools.cached_property
    def storage(self) -> storage.Storage:
        """How DuckDB keeps it."""
        return storage.of(self.location, self._settings, Credentials(self._given), self._kept.identity)

    @property
    def objects(self) -> Objects:
        """Its files, to be listed, read, written and deleted."""
        return self.storage.objects

    @property
    def identity(self) -> str:
        """Of the installation, by which its data is known."""
        return self._kept.identity()

    def claim(self) -> None:
        """Say of a place that was filled for this installation that it is its own.

        Raises
        ------
        ConfigError
            It is another's.
        """
        if isinstance(self.location, Bucket):
            marker.write(self.objects, self._kept.identity())

    def show(self) -> View:
        """How it stands, without asking the store."""
        if not isinstance(self.location, Bucket):
            return View(self.objects.place)
        bucket, stored = self.location, self._kept.access_key()
        view = View(bucket.url, bucket.endpoint, bucket.region, bucket.path_style)
        if stored is not None:
            return dataclasses.replace(
                view,
                access_key=stored.id,
                origin="kept by Tidemill",
                given_at=stored.given_at,
                given_by=stored.given_by,
            )
        try:
            key = Credentials(lambda: None).key()
        except ConfigError:
            return view
        return dataclasses.replace(view, access_key=key.id, origin=key.origin)

    def test(self) -> Iterator[Step]:
        """Try what is needed, step by step."""
        return check.steps(self.location, self._settings, Credentials(self._given), self._kept.identity)

    def test_key(self, key_id: str, secret: str) -> Iterator[Step]:
        """The same with an access key that is not kept yet."""
        key = AccessKey(key_id, secret, origin="given now")
        return check.steps(self.location, self._settings, Credentials(lambda: key), self._kept.identity)

    def keep(self, key_id: str, secret: str, *, by: str) -> None:
        """Have this access key used by all machines. It is encrypted.

        Raises
        ------
        ConfigError
            Event data lies in a folder.
        """
        self.bucket()
        token = self._encryption.encrypt(json.dumps({"id": key_id, "secret": secret}))
        self._kept.keep_access_key(key_id, token, by)

    def forget(self) -> bool:
        """Have each machine use its own again. Whether there was one."""
        found = self._kept.access_key() is not None
        self._kept.forget_access_key()
        return found

    def bucket(self) -> Bucket:
        """Where it lies, if that is a bucket.

        Raises
        ------
        ConfigError
            It is a folder.
        """
        if isinstance(self.location, Bucket):
            return self.location
        raise ConfigError(
            "event_data_folder",
            f"Event data lies in the folder {self.location}, which needs no key.",
            hint="Set TIDEMILL_EVENT_DATA=s3://bucket/prefix, or gs://bucket/prefix, first.",
        )

    def _given(self) -> AccessKey | None:
        stored = self._kept.access_key()
        if stored is None:
            return None
        found = json.loads(self._encryption.decrypt(stored.token))
        return AccessKey(found["id"], found["secret"])
