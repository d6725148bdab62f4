"""What a user says of what an import makes of rows; validated here, for the command line, the API and forms alike."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import pydantic
from pydantic import Field

from tidemill.errors import ConfigError
from tidemill.reverse_etl.spec import Order


class Kind(enum.StrEnum):
    """What rows become."""

    PEOPLE = "people"  # each sets properties of a person
    EVENTS = "events"  # each is an event
    DELETIONS = "deletions"  # each names a person that is to be deleted


class Type(enum.StrEnum):
    """Of a property. CleverTap's list (research on Amplitude and CleverTap, section 4.2), and what needs no SQL."""

    AUTO = "auto"  # as the column has it
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"  # by a format; kept as ISO 8601
    JSON = "json"  # a text that holds JSON
    KEY_VALUES = "key-values"  # a list of STRUCTs of key and value, as GA4's event_params


class TimeFormat(enum.StrEnum):
    """How a time is written. AUTO: a DATE, DATETIME or TIMESTAMP, or a text in ISO 8601."""

    AUTO = "auto"
    SECONDS = "epoch-seconds"
    MILLISECONDS = "epoch-milliseconds"
    MICROSECONDS = "epoch-microseconds"
    DAY_MONTH_YEAR_TIME = "dd/MM/yyyy HH:mm:ss"
    MONTH_DAY_YEAR_TIME = "MM/dd/yyyy HH:mm:ss"
    YEAR_DAY_MONTH_TIME = "yyyy/dd/MM HH:mm:ss"
    YEAR_MONTH_DAY_TIME = "yyyy/MM/dd HH:mm:ss"
    DAY_NAME_YEAR_TIME = "dd MMM yyyy HH:mm:ss"
    DAY_MONTH_YEAR = "dd/MM/yyyy"
    MONTH_DAY_YEAR = "MM/dd/yyyy"
    YEAR_DAY_MONTH = "yyyy/dd/MM"
    YEAR_MONTH_DAY = "yyyy/MM/dd"
    DAY_NAME_YEAR = "ddMMMyyyy"


class Property(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A column that is kept as a property."""

    column: str = Field(min_length=1, max_length=300, description="Name of the column.")
    name: str = Field(min_length=1, max_length=400, description="Name of the property.")
    type: Type = Field(default=Type.AUTO, description="What its values are.")
    format: TimeFormat = Field(default=TimeFormat.AUTO, description="How its dates are written.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> Property:
        if self.format is not TimeFormat.AUTO and self.type is not Type.DATE:
            raise ConfigError(
                "property_format", f"{self.column} is no date, so it has no format.", hint=f"Write {self.column}:date."
            )
        return self


#: The fields of an ImportSpec that name one column.
COLUMNS = ("identity", "person_id", "event_column", "time", "insert_id")


class ImportSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What is made of rows."""

    kind: Kind = Field(description="What rows become: people, events or deletions.")
    team_id: int = Field(default=1, ge=0, le=2**63 - 1, description="Team (project) that they are of.")
    identity: str | None = Field(default=None, description="Column with the distinct_id of the person.")
    person_id: str | None = Field(default=None, description="Instead: column with the person's id in Tidemill.")
    event: str | None = Field(default=None, min_length=1, max_length=400, description="Name of all events.")
    event_column: str | None = Field(default=None, description="Instead: column with the event's name.")
    time: str | None = Field(default=None, description="Column with the time of the event (Created On).")
    time_format: TimeFormat = Field(default=TimeFormat.AUTO, description="How the time is written.")
    insert_id: str | None = Field(default=None, description="Column with an id by which an event counts once.")
    properties: tuple[Property, ...] = Field(default=(), description="Columns that are kept, each as a property.")
    skipped: tuple[str, ...] = Field(default=(), description="Columns that are left out.")
    existing_only: bool = Field(default=False, description="People that are not known are left out.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> ImportSpec:
        if (self.identity is None) == (self.person_id is None):
            raise ConfigError(
                "import_identity",
                "It is not said by which column people are known.",
                hint="Give --identity COLUMN (a distinct_id), or --person-id COLUMN (Tidemill's own).",
            )
        is_event = self.kind is Kind.EVENTS
        if is_event and (self.event is None) == (self.event_column is None):
            raise ConfigError(
                "import_event",
                "It is not said what the events are called.",
                hint="Give --event NAME, or --event-column COLUMN.",
            )
        only = {"event": self.event, "event-column": self.event_column, "time": self.time, "insert-id": self.insert_id}
        given = [f"--{name}" for name, value in only.items() if value is not None]
        if not is_event and given:
            raise ConfigError("import_kind", f"{', '.join(given)}: for events alone.", hint="Leave it out.")
        names = [one.name for one in self.properties]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError("property_twice", f"Two columns are the property {twice[0]!r}.", hint="Rename one.")
        return self

    @property
    def read(self) -> Iterator[str]:
        """The columns that it reads; some perhaps more than once."""
        yield from (name for name in (getattr(self, field) for field in COLUMNS) if name is not None)
        yield from (one.column for one in self.properties)


class Taken(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the sync of an import keeps of it. `spec`: None of a draft; `columns`: those of the model that it reads;
    `own_model`: whether the source model was made for it, and goes with it; `order`: in which rows are taken."""

    spec: ImportSpec | None = None
    columns: tuple[str, ...] = ()
    own_model: bool = False
    order: Order | None = None
    once: bool = Field(default=False, description="It is run once.")
