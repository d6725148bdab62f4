"""The table of a stream: it is made if it is not there, and says which columns are filled."""

from __future__ import annotations

from tidemill.bigquery import tables
from tidemill.bigquery.client import Client
from tidemill.exports.spec import ExportSpec
from tidemill.exports.steps.prepare import gone, layout
from tidemill.exports.work import model_of
from tidemill.models.model import Column
from tidemill.store.records import Export


def prepared(client: Client, export: Export, *, begun: bool) -> tuple[Column, ...]:
    """The columns that it has of the model. `begun`: rows were sent already.

    Raises
    ------
    ConfigError
        It is gone, or does not fit.
    """
    spec = ExportSpec.model_validate(export.spec)
    columns = model_of(export).columns_for(json_type=spec.json_type)
    table = client.get_table(export.dataset, export.table_id)
    if table is None and begun:
        raise gone(export)
    if table is None:
        table = client.create_table(export.dataset, export.table_id, layout(spec, export, columns))
    return tables.match(columns, table, f"{export.project}.{export.dataset}.{export.table_id}").columns
