"""What of a project is in use, as a document: with it a change can be checked anywhere, without this installation."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import zlib

import msgspec

from tidemill.dbt import changes, manifest, packing
from tidemill.dbt.changes import Readable, Use
from tidemill.dbt.manifest import Manifest
from tidemill.dbt.reports import Report
from tidemill.errors import ConfigError

VERSION = 1
_OTHER = "It is what tidemill dbt in-use prints."


@dataclasses.dataclass(frozen=True)
class InUse:
    """A project as it is known, and its models in use. `manifest`, `catalog`: packed (see packing.py)."""

    name: str
    manifest: bytes
    catalog: bytes | None
    uses: tuple[Use, ...]

    def text(self) -> bytes:
        """As JSON."""
        uses = [_UseWritten(use.unique_id, list(use.syncs), list(use.key), list(use.columns)) for use in self.uses]
        packed, catalog = _text(self.manifest), _text(self.catalog) if self.catalog is not None else None
        return msgspec.json.encode(_Written(VERSION, self.name, packed, catalog, uses))

    def known(self) -> Manifest:
        """The project's models."""
        return packing.unpack(self.manifest, self.catalog)

    def check(
        self,
        text: bytes,
        catalog: bytes | None = None,
        *,
        what: str = "manifest.json",
        readable: Readable = lambda _: None,
    ) -> Report:
        """What would become of syncs if the project changed into that manifest.

        Raises
        ------
        ConfigError
            It is no manifest.
        """
        after = manifest.read(text, catalog, what=what)
        before = self.known()
        found = changes.compare(before, after, self.uses, readable=readable)
        syncs = {sync for use in self.uses for sync in use.syncs}
        return Report(before.project, tuple(found), len(self.uses), len(syncs))


class _UseWritten(msgspec.Struct):
    unique_id: str
    syncs: list[str]
    key: list[str]
    columns: list[str]


class _Written(msgspec.Struct):
    version: int
    name: str
    manifest: str
    catalog: str | None
    uses: list[_UseWritten]


def read(text: bytes, *, what: str) -> InUse:
    """From JSON; `what` it is called in messages.

    Raises
    ------
    ConfigError
        It is something else.
    """
    try:
        found = msgspec.json.decode(text, type=_Written)
        if found.version != VERSION:
            raise ConfigError("in_use_invalid", f"{what} is of another version of Tidemill.", hint=_OTHER)
        uses = tuple(Use(use.unique_id, tuple(use.syncs), tuple(use.key), tuple(use.columns)) for use in found.uses)
        catalog = base64.b64decode(found.catalog, validate=True) if found.catalog is not None else None
        made = InUse(found.name, base64.b64decode(found.manifest, validate=True), catalog, uses)
        made.known()
    except (msgspec.MsgspecError, binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise ConfigError("in_use_invalid", f"{what} does not say what is in use: {error}", hint=_OTHER) from None
    return made


def _text(packed: bytes) -> str:
    return base64.b64encode(packed).decode()
