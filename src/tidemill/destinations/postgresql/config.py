"""What a PostgreSQL is, as a destination."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.port import Destination, Settings
from tidemill.destinations.postgresql import actions, client


class PostgresqlSettings(Settings):
    """One database, and who signs in to it."""

    host: str = Field(pattern=r"^[A-Za-z0-9:._-]{1,255}$", description="The server's name or address.")
    port: int = Field(default=5432, ge=1, le=65_535, description="Its port.")
    database: str = Field(min_length=1, max_length=63, description="The database's name.")
    user: str = Field(min_length=1, max_length=63, description="The role that signs in.")
    password: SecretStr = Field(description="Its password.")
    tls: Literal["verify-full", "require", "disable"] = Field(
        default="require",
        description="verify-full: encrypted, and the certificate is looked at; require: encrypted; disable: neither.",
    )
    authority: str | None = Field(
        default=None, description="A certificate (PEM) by which the server's is verified, instead of the public ones."
    )
    make_tables: bool = Field(default=False, description="Make tables and columns that are not there.")

    @property
    def account(self) -> str:
        """The role, where it signs in."""
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


POSTGRESQL = Destination(
    name="postgresql",
    title="PostgreSQL",
    description="Rows in tables of your PostgreSQL, 11 or newer: upserted by key, or appended.",
    page="https://www.postgresql.org/docs/current/sql-insert.html",
    settings=PostgresqlSettings,
    actions=(actions.UPSERT, actions.INSERT),
    open=client.PostgresqlClient.open,
)
