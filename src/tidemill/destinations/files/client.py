"""Puts files into a bucket, by requests that are signed as Amazon says (Signature Version 4); or into a folder.

Google Cloud Storage takes the same signatures of its HMAC keys. The requests are made by our own client, not by
Amazon's library, so that they reach what the guard allows and nothing else.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from tidemill import atomic
from tidemill import settings as installation
from tidemill.destinations import answers
from tidemill.destinations.files import places
from tidemill.destinations.port import Outlet
from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.outbound import network
from tidemill.outbound.client import Answer, Seen

if TYPE_CHECKING:
    from tidemill.destinations.files.config import FilesSettings

_CODE = re.compile(rb"<Code>([A-Za-z0-9]+)</Code>")
_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


class Place(Protocol):
    """Where files are put."""

    def put(self, name: str, body: bytes, kind: str) -> None:
        """Put one; it takes the place of one that has the name."""

    def test(self) -> str:
        """See port.Client."""


class FilesClient:
    """See port.Client."""

    def __init__(self, place: Place, *, gzips: bool) -> None:
        self._place, self._gzips = place, gzips

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: FilesSettings, outlet: Outlet) -> Iterator[FilesClient]:
        """See port.Destination."""
        place = _Folder(settings, outlet) if settings.place.startswith("file:") else _Bucket(settings, outlet)
        yield cls(place, gzips=settings.compression == "gzip")

    def test(self) -> str:
        """See port.Client."""
        return self._place.test()

    def put(self, name: str, body: bytes) -> None:
        """Put a file."""
        ending = name.rpartition(".")[2]
        if self._gzips and ending != "parquet":
            # Without a time in it, so that the same rows are the same bytes.
            name, body, kind = f"{name}.gz", gzip.compress(body, 6, mtime=0), "application/gzip"
        else:
            kind = _TYPES[ending]
        self._place.put(name, body, kind)


class _Folder:
    def __init__(self, settings: FilesSettings, outlet: Outlet) -> None:
        self._http = outlet.http
        self._folder = places.folder(settings, installation.current().outbound_folders)

    def test(self) -> str:
        above = next(one for one in (self._folder, *self._folder.parents) if one.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise AccessError(
                "destination_denied", f"{above} cannot be written to.", hint="Give the server's user write permission."
            )
        return f"{self._folder} can be written to."

    def put(self, name: str, body: bytes, kind: str) -> None:
        path = self._folder / name
        if not path.parent.resolve().is_relative_to(self._folder):
            raise ConfigError("folder_not_allowed", f"{path.parent} leads elsewhere.", hint="Remove the symbolic link.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, body, mode=0o644)
        except PermissionError:
            raise AccessError(
                "destination_denied", f"{path} cannot be written.", hint="Give the server's user write permission."
            ) from None
        except OSError as error:
            raise UnavailableError(
                "destination_failed", f"{path} cannot be written: {error.strerror}.", hint="Look at the disk."
            ) from None
        self._http.tell(Seen("PUT", path.as_uri(), {"content-type": kind}, body, "written", b""))


class _Bucket:
    def __init__(self, settings: FilesSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._bucket = places.bucket(settings)

    def test(self) -> str:
        place = self._settings.place
        answer = self._asked("GET", f"{self._bucket.base}/?list-type=2&max-keys=1")
        if answer.status == 403 and _code(answer) == "AccessDenied":
            return f"{place} knows the key, which may not list. Whether it may write is seen when something is."
        self._checked(answer)
        return f"{place} is there, and the key may list it. Whether it may write is seen when something is."

    def put(self, name: str, body: bytes, kind: str) -> None:
        self._checked(self._asked("PUT", self._bucket.url(name), body, kind))

    def _asked(self, method: str, url: str, body: bytes = b"", kind: str = "") -> Answer:
        from botocore.auth import S3SigV4Auth  # 0.1 s
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        settings = self._settings
        secret = settings.secret.get_secret_value() if settings.secret is not None else ""
        request = AWSRequest(method, url, headers={"Content-Type": kind} if kind else {}, data=body)
        S3SigV4Auth(Credentials(settings.key_id, secret), "s3", self._bucket.region).add_auth(request)
        return self._http.request(method, url, headers=dict(request.headers.items()), body=body or None)

    def _checked(self, answer: Answer) -> None:
        """Raise what an answer means. Nothing that is in a file is a reason to refuse it: it is never of a row."""
        if answer.status == 400 and _code(answer) == "RequestTimeout":  # the network was too slow
            told = f"{self._settings.place} has not got the file in time."
            raise UnavailableError("destination_failed", told, hint="It is tried again.")
        if 400 <= answer.status < 500 and answer.status not in {401, 403, 404, 405, 408, 409, 410, 429}:
            said = network.plain(answer.body[:2_000], self._settings.secrets)
            raise ConfigError(
                "destination_address",
                f"{self._settings.place} answers {answer.status}: {said}.",
                hint="Look at the place, the region and the endpoint.",
            )
        answers.checked(
            answer,
            self._settings.place,
            self._settings.secrets,
            hint="Look at the key, and at what it may do there: s3:PutObject (of gs, storage.objects.create and "
            "storage.objects.delete, to overwrite what is sent again).",
        )


def _code(answer: Answer) -> str:
    found = _CODE.search(answer.body[:2_000])
    return found[1].decode() if found else ""
