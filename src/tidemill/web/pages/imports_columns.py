"""What becomes of each column of an import, as a table in which it is chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.imports.spec import Kind, TimeFormat, Type
from tidemill.web import marks
from tidemill.web.numbers import whole
from tidemill.web.pages import data
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.reverse_etl.model_check import Column

_ROLES = {
    "skip": "left out",
    "property": "a property",
    "identity": "the person's distinct id",
    "person_id": "the person's id in Tidemill",
    "event_column": "the event's name",
    "time": "the event's time",
    "insert_id": "an id by which it counts once",
}
_OF_KIND = {
    Kind.PEOPLE: ("skip", "property", "identity", "person_id"),
    Kind.EVENTS: ("skip", "property", "identity", "person_id", "event_column", "time", "insert_id"),
    Kind.DELETIONS: ("skip", "identity", "person_id"),
}
_MOST_TEXT = 400
_SELECT = Markup('<select class="cell-field" data-field="{}" aria-label="{}">{}</select>')


@dataclasses.dataclass
class Row:
    """A column, or a field of a STRUCT. `inner`: it is such a field, which may be left unsaid; `name` of a property:
    with ``*`` each member of it is a property of its own."""

    path: str
    type: str
    key: bool
    inner: bool = False
    role: str = "skip"
    name: str = ""
    kind: str = Type.AUTO
    format: str = TimeFormat.AUTO
    example: str = ""


class Columns:
    """The table."""

    def __init__(self, kind: Kind, columns: Sequence[Column], given: Mapping[str, Any]) -> None:
        """`given`: fields of an ImportSpec, as they are or as they are suggested."""
        self._kind = kind
        self.rows = [row for column in columns for row in _rows(column)]
        self._take(given)
        self._region = Region(on_act=self._acted)
        self._show()

    def fields(self) -> dict[str, Any]:
        """Fields of an ImportSpec, as it was chosen. What is chosen of a STRUCT's fields says all of it."""
        found: dict[str, Any] = {row.role: row.path for row in self.rows if row.role not in {"skip", "property"}}
        found["properties"] = [self._property(row) for row in self.rows if row.role == "property"]
        roots = {row.path.partition(".")[0] for row in self.rows if row.inner and row.role != "skip"}
        found["skipped"] = [
            row.path for row in self.rows if row.role == "skip" and not row.inner and row.path not in roots
        ]
        time = next((row for row in self.rows if row.role == "time"), None)
        if time is not None:
            found["time_format"] = time.format
        return found

    def _property(self, row: Row) -> dict[str, Any]:
        said = {"column": row.path, "name": row.name.strip() or row.path, "type": row.kind}
        return {**said, "format": row.format} if row.kind == Type.DATE else said

    def examples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show a value of each, the first that there is."""
        for row in self.rows:
            found = (_at(one, row.path) for one in rows)
            value = next((one for one in found if one is not None), None)
            row.example = "NULL" if value is None else data.brief(value, 60)
        self._show()

    def others(self, role: str) -> None:
        """Have all that are left out be properties, or the other way round."""
        for row in self.rows:
            if row.role in {"skip", "property"} and not row.inner:
                row.role = role
        self._show()

    def _take(self, given: Mapping[str, Any]) -> None:
        known = {row.path: row for row in self.rows}
        for role in _OF_KIND[self._kind]:
            if (row := known.get(given.get(role) or "")) is not None:
                row.role = role
        for one in given.get("properties", ()):
            said = one if isinstance(one, Mapping) else one.model_dump(mode="json")
            if (row := known.get(said["column"])) is not None and self._kind is not Kind.DELETIONS:
                row.role, row.name = "property", said["name"]
                row.kind, row.format = str(said.get("type", Type.AUTO)), str(said.get("format", TimeFormat.AUTO))
        if (time := known.get(given.get("time") or "")) is not None:
            time.format = str(given.get("time_format") or TimeFormat.AUTO)

    def _acted(self, act: str, value: str) -> None:
        name, _, place = act.removeprefix("field:").partition(":")
        if (number := whole(place)) is None or number >= len(self.rows):
            return
        row = self.rows[number]
        if name == "role" and value in _OF_KIND[self._kind]:
            self._give(row, value)
        elif name == "name":
            row.name = value[:_MOST_TEXT]
        elif name == "kind" and value in set(Type):
            row.kind = value
        elif name == "format" and value in set(TimeFormat):
            row.format = value
        self._show()

    def _give(self, row: Row, role: str) -> None:
        """A column has a role, which but for properties one has alone. A person is known by one id."""
        alone = {"identity", "person_id"} if role in {"identity", "person_id"} else {role} - {"skip", "property"}
        for other in self.rows:
            if other.role in alone:
                other.role = "skip"
        row.role = role

    def _show(self) -> None:
        head = marks.join(
            Markup('<th scope="col" role="columnheader">{}</th>').format(title)
            for title in ("Column", "For example", "Becomes", "Property", "Read as")
        )
        body = marks.join(self._row(number, row) for number, row in enumerate(self.rows))
        self._region.show(
            Markup(
                '<div class="table-scroll cards" tabindex="0" role="region" aria-label="Columns"><table role="table">'
                '<caption class="unseen">What becomes of each column</caption><thead role="rowgroup">'
                '<tr role="row">{}</tr></thead>'
                '<tbody role="rowgroup">{}</tbody></table></div>'
            ).format(head, body)
        )

    def _row(self, number: int, row: Row) -> Markup:
        key = marks.tag("key") if row.key else ""
        said = Markup('<code>{}</code> {} <span class="muted">{}</span>').format(row.path, key, row.type)
        role = self._select(number, row, "role", [(one, _ROLES[one]) for one in _OF_KIND[self._kind]], row.role)
        name, read_as = Markup(), Markup()
        if row.role == "property":
            name = Markup(
                '<input class="cell-field" data-field="name:{}" aria-label="Property of {}" value="{}" '
                'placeholder="{}" autocomplete="off" spellcheck="false" maxlength="400">'
            ).format(number, row.path, row.name, row.path)
            read_as = self._select(number, row, "kind", [(one.value, one.value) for one in Type], row.kind)
        if row.role == "time" or (row.role == "property" and row.kind == Type.DATE):
            read_as += self._select(number, row, "format", [(one.value, one.value) for one in TimeFormat], row.format)
        titles = ("Column", "For example", "Becomes", "Property", "Read as")
        example = Markup("<code>{}</code>").format(row.example) if row.example else marks.muted("–")
        cells = marks.join(
            Markup('<td role="cell" data-title="{}"><div>{}</div></td>').format(title, cell or marks.muted("–"))
            for title, cell in zip(titles, (said, example, role, name, read_as), strict=True)
        )
        return Markup('<tr role="row" data-key="{}">{}</tr>').format(number, cells)

    @staticmethod
    def _select(number: int, row: Row, name: str, choices: Sequence[tuple[str, str]], current: str) -> Markup:
        options = marks.join(
            Markup('<option value="{}"{}>{}</option>').format(key, Markup(" selected") if key == current else "", title)
            for key, title in choices
        )
        labels = {"role": "What becomes of", "kind": "Type of", "format": "Format of"}
        return _SELECT.format(f"{name}:{number}", f"{labels[name]} {row.path}", options)


def _rows(column: Column) -> list[Row]:
    """A column, and the fields of a STRUCT that is there once."""
    type_ = f"{column.type} REPEATED" if column.mode == "REPEATED" else column.type
    found = [Row(column.name, type_, column.key)]
    if column.mode != "REPEATED":
        found += [Row(f"{column.name}.{one.name}", one.type, key=False, inner=True) for one in column.fields]
    return found


def _at(row: Any, path: str) -> Any:
    if isinstance(row, Mapping) and path in row:
        return row[path]
    for name in path.split("."):
        row = row.get(name) if isinstance(row, Mapping) else None
    return row
