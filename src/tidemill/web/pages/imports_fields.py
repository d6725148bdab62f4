"""Fields of an import beside its columns, as a form has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.imports.spec import Kind
from tidemill.web.form import Field, Option

if TYPE_CHECKING:
    from tidemill.imports.service import ImportView
    from tidemill.reverse_etl.model_check import Inspection

_MODES = {
    Kind.PEOPLE: (
        Option("upsert", "New and changed rows"),
        Option("insert", "New rows alone"),
        Option("update", "Changed rows alone"),
        Option("mirror", "New and changed rows; who is gone from the rows is deleted"),
    ),
    Kind.EVENTS: (
        Option("insert", "New rows"),
        Option("mirror", "New, changed and deleted rows, each as another event of the row"),
    ),
    Kind.DELETIONS: (Option("insert", "New rows"),),
}
_EXTRACTIONS = (
    Option("diff", "Rows that are new or have changed, by comparison"),
    Option("cursor", "Rows whose cursor is not older than the newest seen"),
    Option("full", "All rows, each time"),
)
_RESETS = (
    Option("leave", "Leave them as they are", "what comes is mapped anew"),
    Option("resend", "Take all rows anew"),
)


def mapping_fields(
    view: ImportView, kind: Kind, found: Inspection, given: Mapping[str, Any], growing: str | None
) -> list[Field]:
    """Those of the mapping. `given`: of an ImportSpec; `growing`: a column that may be a cursor."""
    same = view.kind == kind.value
    fields = []
    if kind is Kind.EVENTS:
        fields.append(
            Field("event", "Name of all events", value=given.get("event"), required=False, placeholder="Order Placed",
                  help="Needed, unless a column has the event's name.")
        )  # fmt: skip
    fields.append(Field("team_id", "Team", "number", value=given.get("team_id", 1), least=0))
    if kind is not Kind.DELETIONS:
        fields.append(
            Field(
                "existing_only", "Leave out people who are not known here", "switch", value=given.get("existing_only")
            )
        )
        fields.append(
            Field(
                "mode", "Which rows", "select", options=_MODES[kind], value=view.mode if same else _MODES[kind][0].value
            )
        )
    columns = tuple(Option(one.name, one.name) for one in found.columns)
    cursor = ("extraction", ("cursor",))
    fields += [
        Field("extraction", "How they are found", "select", options=_EXTRACTIONS, value=view.extraction),
        Field("cursor", "Cursor", "select", options=columns, when=cursor, value=view.cursor or growing,
              help="A column that grows with each change, such as updated_at."),
        Field("cursor_overlap", "Look back", "number", required=False, when=cursor, least=0, value=view.cursor_overlap,
              help="Hours (days of a DATE), for rows that come late."),
    ]  # fmt: skip
    if view.last is not None:
        fields.append(Field("reset", "Rows that were taken already", "radio", options=_RESETS, value="leave"))
    return fields
