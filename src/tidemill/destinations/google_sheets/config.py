"""What a spreadsheet is."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from tidemill.destinations.google_sheets import actions, client, signin
from tidemill.destinations.port import Destination, Pace, Settings

_ADDRESS = re.compile(r"https://docs\.google\.com/spreadsheets/d/([A-Za-z0-9_-]+)(?:[/?#].*)?")


def _id(given: object) -> object:
    """The id, of an address that was copied out of the browser."""
    found = _ADDRESS.fullmatch(given.strip()) if isinstance(given, str) else None
    return found[1] if found else given


class GoogleSheetsSettings(Settings):
    """One spreadsheet, and the service account that writes into it."""

    key: Annotated[SecretStr, AfterValidator(signin.checked)] = Field(
        description="The service account's key, a JSON file."
    )
    spreadsheet: Annotated[str, BeforeValidator(_id)] = Field(
        pattern=r"^[A-Za-z0-9_-]{10,200}$", description="The spreadsheet's address, or its id."
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+$",
        description="Another address of the API, for a proxy of yours.",
    )

    @property
    def account(self) -> str:
        """The service account: what Google allows is counted by it."""
        return signin.email(self.key)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and what is secret of it."""
        return (self.key.get_secret_value(), signin.private_key(self.key))


GOOGLE_SHEETS = Destination(
    name="google_sheets",
    title="Google Sheets",
    description="Rows in a sheet: upserted by key columns, or appended.",
    page="https://developers.google.com/workspace/sheets/api/reference/rest",
    settings=GoogleSheetsSettings,
    actions=(actions.UPSERT, actions.APPEND),
    open=client.GoogleSheetsClient.open,
    # Google allows 60 writes and 60 reads a minute, and of three requests of a batch two may be of a kind. One batch at
    # a time, because rows are known by their numbers from when they are looked up until they are written.
    pace=lambda _: Pace(calls=84, seconds=60.0, at_once=1),
)
