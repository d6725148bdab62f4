"""Settings: every environment variable that Tidemill reads, with its default.

The home directory (`./.tidemill`, or ``$TIDEMILL_HOME``) holds the embedded PostgreSQL, the event store's
Parquet files, the secret key and the embedded BigQuery. Outside of it there are only sockets and counters of
processes that run, in the system's folder for such.
"""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import pydantic
import pydantic_settings
from pydantic import Field

from tidemill import atomic
from tidemill.documents import page
from tidemill.errors import ConfigError

MEGABYTE = 1_000_000


class Settings(pydantic_settings.BaseSettings):
    """Read from the environment (prefix ``TIDEMILL_``); frozen for the life of the process."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".tidemill"), description="Where everything of this installation lies.")
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="A PostgreSQL of your own, postgresql://user:password@host/database. Unset: the embedded one.",
    )
    event_data: str | None = Field(
        default=None,
        description="Where the event store's Parquet files lie: a folder, s3://bucket/prefix or gs://bucket/prefix. "
        "Unset: `events/` in the home directory.",
    )
    secret_keys: str | None = Field(
        default=None,
        repr=False,
        description="Comma-separated Fernet keys, newest first. Unset: the file `secret.key` in the home directory.",
    )
    backup_passphrase: str | None = Field(
        default=None,
        repr=False,
        description="By it the secret key is sealed in backups, and taken from them. Unset: backups have none.",
    )
    duckdb_threads: int = Field(default=0, ge=0, description="Threads of the event store; 0 means one a core.")
    duckdb_memory_mb: int = Field(default=400, ge=100, description="Memory that DuckDB may use, in MB.")
    commit_rows: int = Field(default=50_000, ge=1, description="Most rows in one commit of the event store.")
    commit_bytes: int = Field(default=64 * MEGABYTE, ge=1000, description="Most bytes of JSON in one commit.")
    chunk_bytes: int = Field(
        default=100 * MEGABYTE, ge=1000, description="Target size of one load job's file, or write stream, bytes."
    )
    parallel_loads: int = Field(default=4, ge=1, le=16, description="Load jobs, or write streams, of one run at once.")
    max_event_bytes: int = Field(
        default=20 * MEGABYTE, ge=1000, description="An event whose JSON is larger is set aside when it is read."
    )
    max_row_bytes: int = Field(
        default=100 * MEGABYTE,
        ge=1000,
        description="A row larger than this is set aside on export (BigQuery's limit is 100 MB a row).",
    )
    retry_deadline_seconds: float = Field(
        default=600.0, gt=0, description="How long a call to BigQuery is retried before the run fails."
    )

    stop_seconds: float = Field(
        default=25.0,
        ge=0,
        description="How long a server that is told to stop waits for its runs; the next one goes on with the others.",
    )
    table_changes_day: int = Field(
        default=1_450,
        ge=1,
        description="Load jobs into one table in a day, on all machines; BigQuery allows 1,500. More wait.",
    )
    table_changes_burst: int = Field(
        default=5,
        ge=1,
        description="Load jobs into one table in ten seconds, and ten times as many if it is partitioned: BigQuery's.",
    )
    worker_runs: int = Field(default=4, ge=1, le=64, description="Runs that a process of a worker moves at once.")
    worker_processes: int = Field(
        default=1, ge=1, le=64, description="Processes of a server that move runs: each uses one core."
    )
    connection_runs: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="Runs of one connection's exports that workers move at once, on all machines.",
    )
    connection_jobs: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Load and merge jobs of BigQuery that one connection has at work, on all machines; more wait.",
    )

    outbound_allow: str = Field(
        default="",
        description="Comma-separated hosts, addresses or networks (10.0.0.0/8) of your own that rows may be delivered, "
        "and messages sent, to; without it only servers of the internet are reached.",
    )
    outbound_folders: str = Field(
        default="",
        description="Comma-separated folders of this machine that rows may be delivered into as files; without it, "
        "into none.",
    )

    egress_ips: str = Field(
        default="",
        description="Comma-separated addresses, or networks such as 203.0.113.0/28, from which this installation "
        "reaches Google and others: they are shown for their allow-lists.",
    )

    dbt: str | None = Field(
        default=None, description="Program that parses dbt projects, if not the dbt that is installed beside Tidemill."
    )
    stream_window_bytes: int = Field(
        default=32 * MEGABYTE, ge=1000, description="Bytes of events that a stream reads from the event store at once."
    )

    capture_commit_seconds: float = Field(
        default=0.06,
        ge=0,
        le=10,
        description="Commits of captured events are made so many seconds apart, or sooner if they take less; "
        "who comes alone does not wait.",
    )
    capture_commit_rows: int = Field(default=20_000, ge=1, description="Most captured events in one commit.")
    capture_commit_bytes: int = Field(
        default=32 * MEGABYTE, ge=1000, description="Most bytes of captured events in one commit."
    )
    capture_duplicate_days: float = Field(
        default=30,
        ge=7,
        description="A captured event that is sent again counts once if the store got it within so many days.",
    )
    capture_held_bytes: int = Field(
        default=256 * MEGABYTE,
        ge=1_000_000,
        description="Bytes of requests that a server process holds at once; what comes then is told to come again.",
    )
    capture_body_seconds: float = Field(
        default=30.0, gt=0, description="A request's body must be here within so many seconds."
    )
    capture_connections: int = Field(default=4096, ge=1, description="Most connections of a server process at once.")
    upload_bytes: int = Field(
        default=2_000 * MEGABYTE,
        ge=1_000_000,
        le=5_000 * MEGABYTE,
        description="Most bytes of a file of events that is sent by the HTTP API.",
    )
    metrics_token: str | None = Field(
        default=None,
        repr=False,
        description="Who asks for /metrics with this bearer token gets them. Unset: who asks from this machine.",
    )

    web_address: str | None = Field(
        default=None,
        description="Address at which people open the web app, https://tidemill.example.com. Set: requests for other "
        "hosts are refused, and messages and sign-in elsewhere lead there.",
    )
    oidc_issuer: str | None = Field(
        default=None, description="Provider of OpenID Connect by which people sign in, as it calls itself: https://…"
    )
    oidc_client_id: str = Field(default="", description="What Tidemill is called at that provider.")
    oidc_client_secret: str | None = Field(
        default=None, repr=False, description="Its secret there. Unset: the provider takes PKCE alone."
    )
    oidc_name: str = Field(default="single sign-on", description="What the button of the sign-in page calls it.")
    oidc_scopes: str = Field(default="openid email profile", description="What the provider is asked for.")
    oidc_allowed_domains: str = Field(
        default="", description="Comma-separated domains of mail addresses that may sign in; without it, each."
    )
    oidc_role_claim: str = Field(
        default="",
        description="Claim that holds a role (admin, editor or viewer), or a list with one. Unset: who comes first is "
        "a viewer, until an administrator says otherwise.",
    )

    logs_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What runs tell of themselves, of so much weight or more, is kept."
    )
    logs_days: int = Field(default=30, ge=1, le=3_650, description="For so many days it is kept.")
    runs_days: int = Field(
        default=365,
        ge=1,
        le=36_500,
        description="For so many days runs of exports are kept that are over. Those that something needs stay.",
    )
    price_query_tib: float = Field(
        default=6.25, ge=0, description="Dollars for a TiB that a statement is billed for: of it costs are estimated."
    )
    price_write_gib: float = Field(
        default=0.025, ge=0, description="Dollars for a GiB by the Storage Write API: of it costs are estimated."
    )

    @pydantic.field_validator("egress_ips")
    @classmethod
    def _addresses(cls, value: str) -> str:
        """A list that would be refused elsewhere is refused here, and says which part of it is wrong."""
        for part in filter(None, map(str.strip, value.split(","))):
            try:
                ipaddress.ip_network(part)
            except ValueError as error:
                raise ValueError(f"{part} is no address or network ({error})") from None
        return value

    @pydantic.field_validator("web_address")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        """A scheme and a host, and no more: pages are at its top."""
        if not value:
            return None
        parts = urllib.parse.urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
            raise ValueError(f"{value} is no address such as https://tidemill.example.com")
        return value.rstrip("/")

    @property
    def egress_networks(self) -> tuple[str, ...]:
        """From where this installation reaches others, as networks, each once; empty if it is not said."""
        parts = filter(None, map(str.strip, self.egress_ips.split(",")))
        return tuple(dict.fromkeys(str(ipaddress.ip_network(part)) for part in parts))

    def with_threads(self, number: int) -> Settings:
        """The same, with so many threads for the event store, unless it is said how many.

        It is to be settled before the store is opened: to change the number while something is read may wait for ever.
        """
        return self if self.duckdb_threads else self.model_copy(update={"duckdb_threads": number})

    @property
    def home_path(self) -> Path:
        """The home directory, absolute, so that a later change of the working directory does not move it."""
        return self.home.expanduser().absolute()

    @property
    def spool_path(self) -> Path:
        """Folder of files that come from elsewhere, until they are read, absolute. No query reads it."""
        return self.home_path / "spool"

    @property
    def spill_path(self) -> Path:
        """Folder of what the event store puts on the disk for a while, absolute."""
        return self.home_path / "spill"


def private_folder(folder: Path) -> Path:
    """Make a folder, with those above it that are missing, for the owner alone: it holds other people's data."""
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_mode & 0o077 and found.st_uid == os.getuid():
        folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[IO[str]]:
    """Write a file that only its owner may read. It takes the place of the one that is there, if the block succeeds.

    Raises
    ------
    ConfigError
        There is something that is no file.
    OSError
        It cannot be written.
    """
    if path.exists() and not path.is_file():
        raise ConfigError("file_unusable", f"{path} is no file.", hint="Name a file that may be written.")
    with atomic.writing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        try:
            yield text
        finally:
            text.detach()


@functools.cache
def current() -> Settings:
    """The settings of this process.

    Raises
    ------
    ConfigError
        That names the variable, and what is wrong with its value.
    """
    try:
        return Settings()
    except pydantic.ValidationError as error:
        said = "; ".join(f"TIDEMILL_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            "setting_invalid", f"A setting is not valid. {said}.", hint=f"All settings: {page('reference/settings.md')}"
        ) from None
