"""What a place for files is."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic import Field, SecretStr

from tidemill.destinations.files import actions, client, places
from tidemill.destinations.port import Destination, Settings
from tidemill.errors import ConfigError


class FilesSettings(Settings):
    """One place, and the key by which it is written to."""

    place: str = Field(
        pattern=places.RULE, description="Where files go: s3://bucket/prefix, gs://bucket/prefix or file:///folder."
    )
    key_id: str | None = Field(default=None, description="Of an access key; of gs, an HMAC key. A folder needs none.")
    secret: SecretStr | None = Field(default=None, description="The key's secret.")
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{1,50}$", description="Of an S3 bucket.")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+$",
        description="Another address of the API: of a store that speaks as S3 does, or a proxy of yours.",
    )
    compression: Literal["none", "gzip"] = Field(
        default="none", description="Of CSV and JSON lines; Parquet is compressed in itself (zstd)."
    )

    @pydantic.model_validator(mode="after")
    def _check(self) -> FilesSettings:
        if not self.place.startswith("file:") and (not self.key_id or self.secret is None):
            raise ConfigError(
                "files_key", "A bucket needs a key.", hint="Give --key-id and --secret: an access key, or an HMAC key."
            )
        return self

    @property
    def account(self) -> str:
        """The place."""
        return self.place


FILES = Destination(
    name="files",
    title="Files",
    description="Rows as Parquet, CSV or JSON lines, in Google Cloud Storage, Amazon S3, or what speaks as S3 does.",
    page="https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html",
    settings=FilesSettings,
    actions=(actions.PARQUET, actions.CSV, actions.JSONL),
    open=client.FilesClient.open,
)
