"""Where files can be put."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.destinations.files.config import FilesSettings

#: Letters that mean the same in an address, a name of an object and a name of a file.
_PART = r"[A-Za-z0-9_=+@-][A-Za-z0-9_.=+@ -]*"
RULE = rf"^((s3|gs)://[a-z0-9][a-z0-9._-]{{1,221}}(/{_PART})*/?|file://(/{_PART})+/?)$"
_FOLDER = re.compile(rf"{_PART}(/{_PART})*")
_GOOGLE = "https://storage.googleapis.com"


def is_folder(text: str) -> bool:
    """Whether files can be put into a folder of that name."""
    return len(text) <= 500 and _FOLDER.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket. `base`: the address of what is in it; `region`: requests are signed for it."""

    base: str
    prefix: str
    region: str

    def url(self, name: str) -> str:
        """Of an object below the prefix."""
        return f"{self.base}/{urllib.parse.quote(self.prefix + name, safe='/-_.~')}"


def bucket(settings: FilesSettings) -> Bucket:
    """The bucket that the settings name."""
    found = urllib.parse.urlsplit(settings.place)
    name, prefix = found.netloc, found.path.strip("/")
    prefix = f"{prefix}/" if prefix else ""
    if settings.endpoint is not None:
        return Bucket(f"{settings.endpoint}/{name}", prefix, settings.region)
    if found.scheme == "gs":
        return Bucket(f"{_GOOGLE}/{name}", prefix, "auto")
    host = f"s3.{settings.region}.amazonaws.com"
    if "." in name:  # no certificate is good for such a host
        return Bucket(f"https://{host}/{name}", prefix, settings.region)
    return Bucket(f"https://{name}.{host}", prefix, settings.region)


def folder(settings: FilesSettings, allowed: str) -> Path:
    """The folder that the settings name. `allowed`: those that the installation allows, with commas.

    Raises
    ------
    ConfigError
        It does not allow this one.
    """
    found = Path(settings.place.removeprefix("file://")).resolve()
    roots = [Path(text.strip()).expanduser().resolve() for text in allowed.split(",") if text.strip()]
    if not any(found.is_relative_to(root) for root in roots):
        raise ConfigError(
            "folder_not_allowed",
            f"This installation allows no files in {found}.",
            hint=f"If that is meant, allow it: TIDEMILL_OUTBOUND_FOLDERS={found} (in the server's environment, too).",
        )
    return found
