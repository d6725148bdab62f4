"""Objects in a bucket, by Amazon's own library: S3, and whatever speaks as it does (Google's, MinIO, Ceph, R2)."""

from __future__ import annotations

import contextlib
import email.utils
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from tidemill.errors import NotFoundError
from tidemill.events.data import refusals
from tidemill.events.data.credentials import AccessKey, Credentials
from tidemill.events.data.location import Bucket
from tidemill.events.data.objects import Object, missing

_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 10, 60, 4
_PAGE = 1000


class BucketObjects:
    """The objects of a bucket below its prefix. May be used by several threads."""

    def __init__(self, bucket: Bucket, credentials: Credentials) -> None:
        self.bucket, self._credentials = bucket, credentials
        self._client: Any = None
        self._key: AccessKey | None = None
        self._guard = threading.Lock()

    @property
    def place(self) -> str:
        """See Objects."""
        return self.bucket.url

    def list(self, under: str = "") -> Iterator[Object]:
        """See Objects."""
        start = self.bucket.key("")
        more: dict[str, object] = {}
        while True:
            page = self.ask("LIST", "list_objects_v2", Prefix=f"{start}{under}", MaxKeys=_PAGE, **more)
            for one in page.get("Contents", ()):
                yield Object(one["Key"].removeprefix(start), one["Size"], one["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """See Objects."""
        body = self.ask("GET", "get_object", Key=self.bucket.key(name))["Body"]
        with contextlib.closing(body), self._translated("GET"):
            yield body

    def write(self, name: str, data: IO[bytes]) -> None:
        """See Objects. `data` is a file, or something else that can go back to where it stood."""
        self.ask("PUT", "put_object", Key=self.bucket.key(name), Body=data)

    def delete(self, names: Iterable[str]) -> None:
        """See Objects. One by one: Google's knows no other way."""
        for name in names:
            with contextlib.suppress(NotFoundError):
                self.ask("DELETE", "delete_object", Key=self.bucket.key(name))

    def abort_uploads(self, older: Any) -> None:
        """Give up uploads in several parts that were begun before that moment, and never finished."""
        found = self.ask("LIST", "list_multipart_uploads", Prefix=self.bucket.key(""))
        for one in found.get("Uploads", ()):
            if one["Initiated"] < older:
                self.ask("DELETE", "abort_multipart_upload", Key=one["Key"], UploadId=one["UploadId"])

    def ask(self, method: str, operation: str, **fields: Any) -> Any:
        """An operation of the S3 API on the bucket, by botocore's name of it; `method` names the permission.

        Raises
        ------
        TidemillError
            What is wrong, and what to do.
        """
        with self._translated(method):
            return getattr(self._signed_in(), operation)(Bucket=self.bucket.name, **fields)

    @contextlib.contextmanager
    def _translated(self, method: str) -> Iterator[None]:
        from botocore import exceptions
        from urllib3.exceptions import HTTPError

        try:
            yield
        except exceptions.ClientError as error:
            said, status = error.response.get("Error", {}), error.response["ResponseMetadata"]["HTTPStatusCode"]
            if said.get("Code") == "NoSuchKey":
                raise missing(self.place, str(said.get("Key", ""))) from None
            code, key = str(said.get("Code", "")), self._key.id if self._key is not None else ""
            raise refusals.refused(
                self.bucket, method, status, "" if code.isdigit() else code, key, f"{error} {said}"
            ) from None
        except (exceptions.BotoCoreError, HTTPError, OSError) as error:
            raise refusals.unavailable(self.bucket, _why(error), str(error)) from None

    def _signed_in(self) -> Any:
        """A client with the key of the moment."""
        key = self._credentials.key()
        with self._guard:
            if self._client is None or key != self._key:
                self._client, self._key = _client(self.bucket, key), key
            return self._client


def _client(bucket: Bucket, key: AccessKey) -> Any:
    import botocore.config
    import botocore.session  # 0.2 s, 30 MB

    config = botocore.config.Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        # Checksums that others than Amazon do not know; there is TLS.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if bucket.path_style else "virtual"},
    )
    return botocore.session.Session().create_client(
        "s3",
        region_name=bucket.region,
        endpoint_url=bucket.endpoint,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token or None,
        config=config,
    )


def _why(error: Exception) -> str:
    """In a few words."""
    from botocore import exceptions

    match error:
        case exceptions.ConnectTimeoutError() | exceptions.ReadTimeoutError():
            return "it does not answer in time"
        case exceptions.SSLError():
            return "its certificate is not trusted (AWS_CA_BUNDLE names a file with authorities)"
        case exceptions.EndpointConnectionError():
            return "no connection can be made"
    text = str(error).strip().rstrip(".")
    return text if 0 < len(text) < 200 else type(error).__name__


def dated(answer: Any) -> Any:
    """When an answer was given, by the clock of who gave it; None if that is not told."""
    said: Sequence[str] = [answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")]
    try:
        return email.utils.parsedate_to_datetime(said[0])
    except ValueError:
        return None
