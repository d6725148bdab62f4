"""The custom model: the rows of a query of one's own. Its columns are those of the query."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

CUSTOM = Model(
    name="custom",
    title="Rows of a query",
    description="The rows of a SQL query over the event store: appended, or merged by a key of yours.",
    columns=(),
    key=(),
)
_CANNOT_CLUSTER = (Type.JSON, Type.FLOAT64)


def custom(columns: Sequence[Column], key: tuple[str, ...], versions: tuple[str, ...]) -> Model:
    """The model of a query with these columns. Without versions, rows of later runs replace older ones."""
    fit = {column.name for column in columns if column.type not in _CANNOT_CLUSTER and not column.repeated}
    return Model(
        name=CUSTOM.name,
        title=CUSTOM.title,
        description=CUSTOM.description,
        columns=tuple(columns),
        key=key,
        versions=versions,
        cluster_by=tuple(name for name in key if name in fit)[:4],
        replaced=bool(key) and not versions,
    )
