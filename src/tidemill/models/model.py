"""What a model is: columns, key, versions and how its table is laid out."""

from __future__ import annotations

import dataclasses

from tidemill.models.types import Type


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a model, as BigQuery sees it. `json` marks a column that may be STRING or JSON, by choice."""

    name: str
    type: Type
    description: str
    json: bool = False
    repeated: bool = False

    def resolved(self, *, json_type: bool) -> Column:
        """This column with its type settled: JSON if it may be and `json_type` was chosen."""
        return dataclasses.replace(self, type=Type.JSON) if self.json and json_type else self


@dataclasses.dataclass(frozen=True)
class Model:
    """The definition of one thing that moves. `key` and `versions` are column names; no versions means immutable.

    `table`: how its table is called if nothing is said, of an export of `team_id`. `json_type`: whether JSON columns
    are of type JSON if nothing is said. `event_column`: the one with names of events, by which rows can be chosen.
    `one_team`: a table holds the rows of one team only: the key has no team in it. `replaced`: without
    versions; a row of a later run takes the place of an earlier one with its key. `began`: a column of time by whose
    days rows are told apart where a new table is not partitioned.
    """

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    versions: tuple[str, ...] = ()
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    table: str = ""
    json_type: bool = False
    event_column: str | None = None
    one_team: bool = False
    replaced: bool = False
    began: str | None = None

    @property
    def day_of(self) -> str | None:
        """The column of time that says which day a row is of, if there is one."""
        return self.partition_by or self.began

    def columns_for(self, *, json_type: bool) -> tuple[Column, ...]:
        """The columns with their types settled."""
        return tuple(column.resolved(json_type=json_type) for column in self.columns)
