"""What a user says of sources, source models and syncs; validated here, for the command line, the API and forms
alike."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any, Literal

import pydantic
from pydantic import Field

from tidemill import invalid
from tidemill.destinations.port import Mode
from tidemill.errors import ConfigError
from tidemill.schedules.calendar import Schedule

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"
#: Ours; that of Segment may be used as it is, where it is granted already.
STATE_DATASET = "__tidemill_reverse_etl"
#: Characters of a statement, and columns of a model: BigQuery's own ("Quotas and limits": query text, columns of a
#: table).
MOST_SQL, MOST_COLUMNS = 1_000_000, 10_000
#: What BigQuery bills at least for a table that a statement reads ("Pricing").
MIN_BYTES_BILLED = 10 * 1024**2


class Access(enum.StrEnum):
    """How much a connection may do as a source."""

    FULL = "full"  # Tidemill makes its state dataset
    LIMITED = "limited"  # the user makes it, and grants it
    READ_ONLY = "read-only"  # there is none: state is kept here


class Extraction(enum.StrEnum):
    """How rows that are to be delivered are found."""

    DIFF = "diff"  # what differs from what was delivered
    CURSOR = "cursor"  # of rows whose cursor is not older than the last one seen, what differs
    FULL = "full"  # all rows, each time


class CursorUnit(enum.StrEnum):
    """What a cursor that is a number counts since 1970."""

    NONE = "none"  # it is no time
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class Order(pydantic.BaseModel, frozen=True, extra="forbid"):
    """By which time rows are delivered, the oldest first; those without one come last. It is a DATE, a DATETIME, a
    TIMESTAMP, or a text in ISO 8601; or else `unit` or `pattern` says how it is written."""

    column: str = Field(min_length=1, max_length=300, description="Column with the time.")
    unit: Literal["seconds", "milliseconds", "microseconds"] | None = Field(
        default=None, description="What it counts since 1970."
    )
    pattern: str | None = Field(default=None, pattern=r"^[%A-Za-z:/ ]+$", description="Of a text: as PARSE_TIMESTAMP.")


class SourceSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A connection that rows are read from."""

    access: Access = Field(default=Access.FULL, description="How much it may do: full, limited, read-only.")
    state_dataset: str = Field(
        default=STATE_DATASET, pattern=r"^[A-Za-z0-9_]{1,1024}$", description="Where what was delivered is remembered."
    )


class DbtOrigin(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Of which model of a dbt project a source model is made: the project's id here, and dbt's unique id."""

    project: str
    model: str


class Ga4Origin(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Of which export of Google Analytics 4 the rows are: its dataset, the columns that it had, the first day that is
    wanted, and whether tables of days that are not over are read. The statement is made anew for each run, so that days
    that are through are not read (bigquery.ga4)."""

    dataset: str = Field(min_length=1, max_length=1024)
    columns: tuple[str, ...]
    since: dt.date | None = None
    intraday: bool = True


class ModelSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A source model: one statement, or a table, and the columns by which a row is known."""

    name: str = Field(pattern=NAME_RULE, description="Unique name of the model.")
    sql: str | None = Field(default=None, min_length=1, max_length=MOST_SQL, description="One SELECT statement.")
    table: str | None = Field(default=None, description="A table or view: dataset.table, or project.dataset.table.")
    key: tuple[str, ...] = Field(min_length=1, max_length=16, description="Columns by which a row is known.")
    description: str = Field(default="", max_length=10_000, description="What it is.")
    max_bytes_billed: int | None = Field(
        default=None, ge=MIN_BYTES_BILLED, description="A run that would be billed for more bytes does not start."
    )
    dbt: DbtOrigin | None = Field(default=None, description="The model of a dbt project that the table is.")
    ga4: Ga4Origin | None = Field(default=None, description="The export of Google Analytics 4 that is read.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if (self.sql is None) == (self.table is None):
            raise ConfigError("model_source", "A model is a statement, or a table.", hint="Give --sql, or --table.")
        if len({name.lower() for name in self.key}) < len(self.key):
            raise ConfigError("model_key", "A column is named twice in the key.", hint="Name each once.")
        return self


class SyncSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Rows of a source model on their way into a destination."""

    name: str = Field(pattern=NAME_RULE, description="Unique name of the sync.")
    action: str = Field(description="What the destination does with rows.")
    mapping: dict[str, Any] = Field(description="Fields of the action, in the mapping language.")
    taken: dict[str, Any] | None = Field(default=None, description="What an import makes of rows (imports.spec).")
    mode: Mode = Field(description="What is delivered: added, updated, deleted rows.")
    extraction: Extraction = Field(default=Extraction.DIFF, description="How rows are found: diff, cursor, full.")
    cursor: str | None = Field(default=None, description="Column that grows with each change, of extraction cursor.")
    cursor_unit: CursorUnit = Field(
        default=CursorUnit.NONE, description="What a number counts since 1970: seconds, milliseconds; none: no time."
    )
    cursor_overlap: int = Field(
        default=0,
        ge=0,
        le=10**15,
        description="So far back from the newest that was seen rows are looked at again: days of a DATE, hours of "
        "another time, or so much of a number.",
    )
    schedule: Schedule = Field(default=Schedule(), description="When it runs by itself, while tidemill serve does.")
    delete_brake: float = Field(
        default=0.2, ge=0, le=1, description="A run that would delete more than this share of the rows stops and asks."
    )
    most_rejects: int = Field(
        default=100_000, ge=1, le=10_000_000, description="A run in which more rows are refused stops."
    )
    reject_share: float = Field(
        default=0.01, ge=0, le=1, description="People are told of a run in which a larger share is refused; 1: never."
    )
    deviation: float | None = Field(
        default=None, gt=0, description="People are told of a run whose rows differ from the usual by this share."
    )
    write_back_days: int | None = Field(
        default=None, ge=1, le=3_650, description="Runs and rows are written into the state dataset, for so many days."
    )
    max_bytes_billed: int | None = Field(
        default=None, ge=MIN_BYTES_BILLED, description="A run that would be billed for more bytes does not start."
    )

    @property
    def makes(self) -> tuple[Any, ...]:
        """What is made of a row: if it changes, what was delivered would be others."""
        return (self.mapping, self.taken and self.taken["spec"])

    @property
    def order(self) -> Order | None:
        """In which order rows are delivered; None: in any."""
        given = (self.taken or {}).get("order")
        return None if given is None else Order.model_validate(given)

    @pydantic.model_validator(mode="after")
    def _check(self) -> SyncSpec:
        if (self.extraction is Extraction.CURSOR) != (self.cursor is not None):
            raise ConfigError(
                "sync_cursor",
                "A cursor and the extraction by one belong together.",
                hint="Give --extraction cursor --cursor COLUMN; or neither.",
            )
        if self.cursor is None and (self.cursor_unit is not CursorUnit.NONE or self.cursor_overlap):
            raise ConfigError(
                "sync_cursor",
                "A unit and an overlap are those of a cursor, and there is none.",
                hint="Leave them out; or give --extraction cursor --cursor COLUMN.",
            )
        if self.extraction is not Extraction.DIFF and self.mode in {Mode.DELETE, Mode.MIRROR}:
            raise ConfigError(
                "sync_mode",
                f"By the extraction {self.extraction} it is not seen which rows are gone.",
                hint="Take --mode upsert, or --extraction diff.",
            )
        return self


def make(kind: type[pydantic.BaseModel], what: str, fields: dict[str, Any]) -> Any:
    """A spec of these fields.

    Raises
    ------
    ConfigError
        A field is wrong.
    """
    try:
        return kind(**fields)
    except pydantic.ValidationError as error:
        raise invalid.said(error, kind, what) from None
