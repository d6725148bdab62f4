"""What a user says of a connection; validated here."""

from __future__ import annotations

import datetime as dt

import pydantic
from pydantic import Field, SecretStr

from tidemill.errors import ConfigError

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"


class ConnectionSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One connection: a service account key, or the machine's own credentials, or an account to act as.

    With `impersonate`, the key or the machine's credentials are only used to act as that account.
    """

    name: str = Field(pattern=NAME_RULE, description="Unique name of the connection.")
    project: str = Field(min_length=1, description="Google Cloud project id.")
    dataset: str = Field(min_length=1, description="Dataset id, without the project.")
    location: str | None = Field(default=None, description="Location of the dataset, read from it.")
    key: SecretStr | None = Field(default=None, description="Service account key, the JSON text.")
    adc: bool = Field(default=False, description="Application Default Credentials of this machine.")
    impersonate: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+$", description="Service account to act as."
    )

    @pydantic.model_validator(mode="after")
    def _one_credential(self) -> ConnectionSpec:
        if (self.key is None) == (not self.adc):
            raise ValueError("give a service account key, or use the machine's own credentials (ADC)")
        return self

    @property
    def credential(self) -> str:
        """In a word, how it signs in."""
        own = "service account key" if self.key else "application default credentials"
        return f"impersonation by {own}" if self.impersonate else own


def days(text: str) -> tuple[dt.datetime, dt.datetime]:
    """The moments between which lie the days that a text names, as FROM..TO with both of them, or one; by the clock of
    this machine. ConfigError if it names none."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    try:
        begin = dt.date.fromisoformat(first)
        end = dt.date.fromisoformat(last) if dots else begin
        bounds = begin, end + dt.timedelta(days=1)
        moments = tuple(dt.datetime.combine(day, dt.time()).astimezone() for day in bounds)
    except (ValueError, OverflowError):
        raise _no_days(text) from None
    if end < begin:
        raise _no_days(text)
    return moments[0], moments[1]


def _no_days(text: str) -> ConfigError:
    return ConfigError("days_invalid", f"{text!r} names no days.", hint="2026-01-01, or 2026-01-01..2026-01-31")
