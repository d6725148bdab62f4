"""What is shown of a source model: what it reads, its columns and costs, its first rows, and its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.web import marks

if TYPE_CHECKING:
    from tidemill.reverse_etl.model_check import Column
    from tidemill.reverse_etl.service import Inspection, Keys, Preview, SourceModelView

_SCROLL = Markup(
    '<div class="table-scroll plain" tabindex="0" role="region" aria-label="{}"><table><caption class="unseen">{}'
    "</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
)
_MOST_LETTERS = 500


def kind_of(one: SourceModelView) -> str:
    """sql, table or dbt."""
    return "dbt" if one.dbt else "table" if one.table else "sql"


def reads(one: SourceModelView) -> Markup:
    """What it reads."""
    if one.dbt:
        return Markup("{} {}").format(marks.tag("dbt model"), one.dbt.rpartition(".")[2])
    if one.table:
        return Markup("{} <code>{}</code>").format(marks.tag("table"), one.table)
    return marks.tag("Google Analytics 4" if one.ga4 else "SQL")


def grid(label: str, titles: Collection[str | Markup], rows: Collection[Collection[str | Markup]]) -> Markup:
    """A small table."""
    head = marks.join(Markup('<th scope="col">{}</th>').format(title) for title in titles)
    body = marks.join(
        Markup("<tr>{}</tr>").format(marks.join(Markup("<td>{}</td>").format(cell) for cell in row)) for row in rows
    )
    return _SCROLL.format(label, label, head, body)


def cost(found: Inspection) -> Markup:
    """What a run reads, and what that costs."""
    dollars = f"${found.dollars:,.2f}" if found.dollars >= 0.01 or not found.dollars else "under $0.01"
    return Markup('<p role="status">A run reads {}, about <strong>{}</strong> in {}.</p>').format(
        marks.size(found.bytes), dollars, found.location
    )


def inspected(found: Inspection, choose: Callable[[Column], Markup] | None = None) -> Markup:
    """Columns and costs. `choose`: a box by which a column becomes one of the key."""

    def row(column: Column) -> list[str | Markup]:
        key = choose(column) if choose else marks.tag("key") if column.key else Markup()
        return [Markup("<code>{}</code>").format(column.name), _type(column), key]

    rows = [row(column) for column in found.columns]
    return cost(found) + grid("Columns", ["Column", "Type", "Key"], rows)


def _type(column: Column) -> str:
    return f"ARRAY<{column.type}>" if column.mode == "REPEATED" else column.type


def preview(found: Preview) -> Markup:
    """The first rows."""
    if not found.rows:
        return marks.empty("No rows", "The statement gives none now.")
    rows = [[_cell(row.get(name)) for name in found.columns] for row in found.rows]
    billed = Markup('<p class="muted">{} rows. Billed: {}.</p>').format(len(found.rows), marks.size(found.bytes_billed))
    return billed + grid("First rows", found.columns, rows)


def _cell(value: Any) -> Markup:
    if value is None:
        return Markup('<span class="muted">NULL</span>')
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return Markup('<span class="cell-text" title="{}">{}</span>').format(text[:_MOST_LETTERS], text[:_MOST_LETTERS])


def keys(found: Keys) -> Markup:
    """What is with its key."""
    figures = marks.figures(
        [
            marks.figure("Rows", f"{found.rows:,}"),
            marks.figure(
                "Without a key", f"{found.null_rows:,}", "NULL in it", marks.BAD if found.null_rows else marks.GOOD
            ),
            marks.figure(
                "Keys that occur twice", f"{found.duplicate_keys:,}", f"in {found.duplicate_rows:,} rows",
                marks.BAD if found.duplicate_keys else marks.GOOD,
            ),
        ]
    )  # fmt: skip
    if found.good:
        said = Markup('<p role="status">{} Each row has a key of its own.</p>').format(marks.badge("passed"))
        return figures + said
    said = Markup(
        '<p role="status">{} Such rows are set aside by syncs, for nobody could say which of them is meant. Mend the '
        "statement, or choose another key.</p>"
    ).format(marks.badge("failed"))
    if not found.examples:
        return figures + said
    rows = [[json.dumps(one["key"], ensure_ascii=False), marks.number(one["rows"])] for one in found.examples]
    return figures + said + grid("Keys that occur twice", ["Key", "Rows"], rows)
