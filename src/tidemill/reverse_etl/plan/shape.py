"""Which columns a plan needs of a model, and of which types they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tidemill.bigquery import plan_cursors, plan_orders, plan_texts
from tidemill.bigquery.tables import Field
from tidemill.errors import ConfigError
from tidemill.reverse_etl.plan.port import Wanted
from tidemill.reverse_etl.spec import Extraction

#: Types that grow, and of which the greatest can be written down and read again.
_CURSORS = {"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64", "STRING", "DATE", "DATETIME", "TIMESTAMP"}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of a model. `fields`: those that are read, in order; of them, `columns` are hashed, and `key` names a row.
    `order`: what tells the time of a row, see plan_orders."""

    fields: tuple[Field, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    cursor: Field | None
    order: str | None = None

    @property
    def key_fields(self) -> list[Field]:
        """Those of the key."""
        return [next(field for field in self.fields if field.name == name) for name in self.key]


def of_model(wanted: Wanted, fields: Sequence[Field]) -> Shape:
    """What is planned of a model that has these columns. Names are those that were asked for, in their letters.

    Raises
    ------
    ConfigError
        It lacks one of them, or rows cannot be told apart by its key.
    """
    known = {field.name.lower(): field for field in fields}
    names = sorted({*wanted.columns, *wanted.key})
    found = {name: _named(known, name) for name in names}
    for name in wanted.key:
        plan_texts.check_key(found[name])
    cursor = None
    if wanted.extraction is Extraction.CURSOR:
        cursor = _named(known, str(wanted.cursor))
        if cursor.type not in _CURSORS or cursor.mode == "REPEATED":
            raise ConfigError(
                "cursor_type",
                f"The column {cursor.name} is of type {cursor.type}: it cannot say how far a run came.",
                hint="Choose a column that grows with each change: a TIMESTAMP, say, or a number.",
            )
        _check_options(wanted, cursor)
    order = None
    if wanted.order is not None:
        order = plan_orders.value(known, wanted.order.column, wanted.order.unit, wanted.order.pattern)
    return Shape(tuple(found.values()), wanted.key, tuple(sorted(set(wanted.columns))), cursor, order)


def _check_options(wanted: Wanted, cursor: Field) -> None:
    """That what is said of the cursor fits its type. Raises ConfigError."""
    name = f"The column {cursor.name} is of type {cursor.type}"
    if wanted.cursor_unit is not None and cursor.type not in plan_cursors.NUMBERS:
        raise ConfigError(
            "cursor_unit", f"{name}, which counts no {wanted.cursor_unit}.", hint="Leave it out: --cursor-unit none"
        )
    if wanted.cursor_overlap and cursor.type == "STRING":
        raise ConfigError(
            "cursor_overlap",
            f"{name}: from a text one cannot look back.",
            hint="Leave it out: --cursor-overlap 0. Or have the statement make a time of it.",
        )


def _named(known: dict[str, Field], name: str) -> Field:
    field = known.get(name.lower())
    if field is None:
        raise ConfigError(
            "model_column",
            f"The model has no column {name}.",
            hint=f"It has: {', '.join(field.name for field in known.values())}.",
        )
    return dataclasses.replace(field, name=name)
