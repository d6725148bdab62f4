"""Reads where event data lies out of TIDEMILL_EVENT_DATA: a folder, ``s3://bucket/prefix`` or ``gs://bucket/prefix``.

A bucket may be followed by ``?endpoint=…&region=…&path_style=…``. What is not said there is as Amazon's own tools have
it: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION.
"""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse
from pathlib import Path

from tidemill.documents import page
from tidemill.errors import ConfigError
from tidemill.settings import Settings

GOOGLE = "https://storage.googleapis.com"
_AMAZON_REGION = "us-east-1"
_SCHEMES = {"s3": "s3", "gs": "gs", "gcs": "gs"}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
#: Of keys only what no tool takes for a pattern, a query or a partition.
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_HINT = f"TIDEMILL_EVENT_DATA is a folder, s3://bucket/prefix or gs://bucket/prefix: {page('howto/many-machines.md')}"
_YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of this machine. `given`: it is the user's own, which others may share."""

    path: Path
    given: bool

    def __str__(self) -> str:
        return str(self.path)


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket, and what all keys in it begin with: "" or a path without a slash at its ends."""

    scheme: str  #: s3, gs
    name: str
    prefix: str
    endpoint: str  #: https://…, or http://…
    region: str
    path_style: bool

    def __str__(self) -> str:
        return self.url

    @property
    def url(self) -> str:
        """Where it is, with a slash at the end."""
        return f"{self.scheme}://{self.name}/{self.key('')}"

    @property
    def path(self) -> str:
        """The same for DuckDB: whatever speaks as S3 does is S3. Of gs:// it would take the address from elsewhere."""
        return f"s3://{self.name}/{self.key('')}"

    def key(self, name: str) -> str:
        """The key of an object by its name below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name


Location = Folder | Bucket


def of(settings: Settings) -> Location:
    """Where event data lies.

    Raises
    ------
    ConfigError
        It cannot be understood.
    """
    given = settings.event_data
    if not given:
        return Folder(settings.home_path / "events", given=False)
    if "://" in given:
        return _bucket(given)
    return Folder(Path(given).expanduser().absolute(), given=True)


def _bucket(given: str) -> Bucket:
    try:
        parts = urllib.parse.urlsplit(given)
        options = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _invalid("cannot be read as a URL") from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise _invalid(f"begins with {parts.scheme}://, which is no place for event data")
    if "@" in parts.netloc:  # it is not told what stands before it
        raise ConfigError(
            "event_data_secret",
            "There are credentials in TIDEMILL_EVENT_DATA.",
            hint="Leave them out, and keep them encrypted: tidemill events store set",
        )
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise _invalid(f"names no bucket: {parts.netloc!r}")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise _invalid(f"has a prefix that cannot be used: {prefix!r}. It may have letters, digits and . _ - /")
    if parts.fragment or (odd := sorted(options.keys() - {"endpoint", "region", "path_style"})):
        raise _invalid(f"says {odd[0] if not parts.fragment else '#'!r}; it may say endpoint, region and path_style")
    endpoint = _endpoint(scheme, options.get("endpoint"))
    given_style = options.get("path_style", "").lower()
    if given_style and given_style not in _YES_NO:
        raise _invalid("says path_style, which is true or false")
    # Of servers by another name few know buckets by names of hosts; and a dot in one does not fit a certificate.
    path_style = _YES_NO[given_style] if given_style else bool(endpoint) or "." in parts.netloc
    region = options.get("region") or _region(scheme)
    return Bucket(scheme, parts.netloc, prefix, endpoint or _amazon(region), region, path_style)


def _endpoint(scheme: str, given: str | None) -> str:
    """The address of the object store; "" is Amazon's own."""
    if scheme == "gs":
        found = given or GOOGLE
    else:
        found = given or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if not found:
        return ""
    parts = urllib.parse.urlsplit(found if "://" in found else f"https://{found}")
    try:
        wrong = parts.port == 0
    except ValueError:
        wrong = True
    host = parts.hostname or ""
    if wrong or parts.scheme not in {"http", "https"} or not re.fullmatch(r"[A-Za-z0-9.:_-]+", host) or "@" in found:
        raise _invalid("has an endpoint that is no https://host:port, or http://host:port")
    if parts.path.strip("/") or parts.query:
        raise _invalid("has an endpoint with a path; it is https://host:port alone")
    return f"{parts.scheme}://{parts.netloc}"


def _region(scheme: str) -> str:
    if scheme == "gs":
        return "auto"
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _AMAZON_REGION


def _amazon(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _invalid(why: str) -> ConfigError:
    return ConfigError("event_data_invalid", f"TIDEMILL_EVENT_DATA {why}.", hint=_HINT)
