"""Manifests as they are kept: what is of use of them, packed. One of 600 models takes some 100 kB."""

from __future__ import annotations

import zlib

import msgspec

from tidemill.dbt import artifacts, manifest
from tidemill.dbt.manifest import Manifest

#: A manifest that is larger, unpacked, is not read.
MOST_BYTES = 500_000_000
_OF_USE = manifest.BUILT | {"test"}


def pack(text: bytes, catalog: bytes | None) -> tuple[bytes, bytes | None]:
    """Both, after `manifest.read` has read them."""
    return _pack(artifacts.MANIFEST.decode(text)), None if catalog is None else _pack(artifacts.CATALOG.decode(catalog))


def unpack(packed: bytes, catalog: bytes | None) -> Manifest:
    """The manifest that was packed."""
    return manifest.read(_unpacked(packed), None if catalog is None else _unpacked(catalog))


def _unpacked(packed: bytes) -> bytes:
    """A few bytes may stand for gigabytes: the file may be anybody's."""
    unpack = zlib.decompressobj()
    text = unpack.decompress(packed, MOST_BYTES)
    if not unpack.eof:
        raise zlib.error("it is damaged, or too large")
    return text


def _pack(file: artifacts.ManifestFile | artifacts.CatalogFile) -> bytes:
    if isinstance(file, artifacts.ManifestFile):
        kept = {key: node for key, node in (file.nodes or {}).items() if node.resource_type in _OF_USE}
        file = artifacts.ManifestFile(file.metadata, kept, dict.fromkeys(file.disabled or ()))
    return zlib.compress(msgspec.json.encode(file), 6)
