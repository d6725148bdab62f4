"""The editor of a mapping: each field of an action, and from which column it is; or as code, which says more."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.destinations import described
from tidemill.errors import ConfigError
from tidemill.reverse_etl.service import mapping_of
from tidemill.web import marks, visit
from tidemill.web.icons import icon
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.destinations.port import Action, Field

#: What stands in the list of columns beside them. A column's name follows a colon: so it is none of these.
_NONE, _ROW, _FIXED, _CODE, _COLUMN = "", "*", "=", "{}", ":"
_WHOLE_ROW = {"@path": "$."}
_ROWS_OF_CODE = 4
_BUTTON = Markup('<button type="button" class="button button-plain small" data-act="{}">{}{}</button>')
_MORE = Markup('<details{}><summary>{} more fields</summary><div class="mapping">{}</div></details>')


def columns_of(value: Any) -> str | None:
    """The column that a part of a mapping is, if it is no more than that."""
    if isinstance(value, dict) and set(value) == {"@path"} and isinstance(value["@path"], str):
        path = value["@path"]
        return path.removeprefix("$.") if path.startswith("$.") and path != "$." else None
    return None


class MappingEditor:
    """The editor on a page."""

    def __init__(
        self,
        destination: str,
        action: Action,
        columns: Sequence[str],
        mapping: Mapping[str, Any],
        suggest: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
    ) -> None:
        """`columns`: of the model; `suggest`: what is proposed."""
        self._destination, self._action, self._columns = destination, action, list(columns)
        self._suggest = suggest
        self.mapping = dict(mapping)
        #: Fields that are written as code, with what was typed: it may be no JSON yet.
        self._code: dict[str, str] = {}
        self._fixed: set[str] = set()
        self._whole: str | None = None
        self.problems: dict[str, str] = {}
        self._region = Region(on_act=self._acted)

    async def check(self) -> bool:
        """Look whether anything is wrong, and show it. Gives whether it is right."""
        wrong: dict[str, str] = {}
        try:
            if self._whole is not None:
                self.mapping = mapping_of(self._whole)
        except ConfigError as error:
            wrong[""] = error.message
        for name, text in self._code.items():
            try:
                self.mapping[name] = json.loads(text)
            except ValueError as error:
                wrong[name] = f"This is no JSON: {error}."
        mapping, destination, action, columns = dict(self.mapping), self._destination, self._action.name, self._columns
        found = await visit.call(lambda app: app.reverse_etl.unsaved.problems(destination, action, mapping, columns))
        self.problems = {**found, **wrong}
        self.show()
        return not self.problems

    def show(self) -> None:
        """Show it."""
        head = Markup('<div class="row-of">{}{}</div>').format(
            _BUTTON.format("suggest", icon("check", 14), "Suggest by names") if self._suggest else "",
            _BUTTON.format("whole", icon("token", 14), "Fields" if self._whole is not None else "All of it as JSON"),
        )
        body = self._rows() if self._whole is None else self._text()
        said = self.problems.get("", "")
        problem = Markup('<p class="field-error" role="alert">{}</p>').format(said) if said else Markup()
        self._region.show(head + body + problem)

    def _text(self) -> Markup:
        return Markup(
            '<div class="field"><label for="map-whole">Mapping</label><textarea id="map-whole" class="mono" rows="16" '
            'data-field="whole" spellcheck="false" aria-describedby="map-help">{}</textarea>'
            '<p class="field-help" id="map-help">A field and what it is made of, in the mapping language: '
            '{{"email": {{"@path": "$.email"}}}}.</p>{}</div>'
        ).format(self._whole or "", self._others())

    def _others(self) -> Markup:
        told = ((name, said) for name, said in self.problems.items() if name)
        found = [Markup("<li><code>{}</code>: {}</li>").format(*one) for one in told]
        return Markup('<ul class="field-error">{}</ul>').format(marks.join(found)) if found else Markup()

    def _rows(self) -> Markup:
        known = {field.name: field for field in self._action.fields}
        also = {name: field for field in self._action.fields for name in field.also}
        needed = [field.name for field in self._action.fields if field.required]
        mapped = [name for name in self.mapping if name not in needed]
        left = [name for name in known if name not in needed and name not in self.mapping]
        left = [name for name in left if not {*known[name].also} & {*self.mapping}]
        needed = [name for name in needed if name in self.mapping or not {*known[name].also} & {*self.mapping}]
        rows = [self._row(name, known.get(name) or also.get(name)) for name in (*needed, *mapped)]
        more = [self._row(name, known[name]) for name in left]
        shown = Markup('<div class="mapping">{}</div>').format(marks.join(rows))
        if more:
            opened = Markup("") if rows else Markup(" open")
            shown += _MORE.format(opened, len(more), marks.join(more))
        return shown + (self._adding() if self._action.more else Markup())

    def _adding(self) -> Markup:
        return Markup(
            '<div class="row-of"><div class="field"><label for="map-add">Another field</label>'
            '<input id="map-add" data-field="add" autocomplete="off" spellcheck="false" placeholder="Its name"></div>'
            "</div>"
        )

    def _row(self, name: str, field: Field | None) -> Markup:
        value, ident = self.mapping.get(name), f"map-{name}"
        kind = self._kind_of(name)
        title = field.title if field else name
        needed = Markup(' <span class="tag">needed</span>') if field and field.required else Markup()
        about = field.description if field else "A field of your own."
        problem = self.problems.get(name, "")
        wrong = Markup(' aria-invalid="true"') if problem else Markup()
        options = [self._option(_NONE, "– not sent –", kind), *(
            self._option(f"{_COLUMN}{column}", column, kind) for column in self._columns
        ), self._option(_ROW, "the whole row", kind), self._option(_FIXED, "the same text for all rows …", kind),
            self._option(_CODE, "code (JSON) …", kind)]  # fmt: skip
        control = Markup('<select id="{}" data-field="from:{}" aria-describedby="{}-about"{}>{}</select>').format(
            ident, name, ident, wrong, marks.join(options)
        )
        if kind == _FIXED:
            control += Markup('<input data-field="fixed:{}" value="{}" aria-label="Text of {}" id="{}-fixed">').format(
                name, "" if value is None else value, title, ident
            )
        elif kind == _CODE:
            text = self._code.get(name, json.dumps(value, ensure_ascii=False))
            control += Markup(
                '<textarea class="mono" rows="{}" data-field="code:{}" aria-label="Code of {}" id="{}-code" '
                'spellcheck="false">{}</textarea>'
            ).format(_ROWS_OF_CODE, name, title, ident, text)
        said = Markup('<p class="field-error">{}</p>').format(problem) if problem else Markup()
        what = Markup("<code>{}</code>, {}. ").format(name, described.kind(field)) if field else Markup()
        return Markup(
            '<div class="map-row" id="row-{}"><div><label for="{}">{}{}</label><p class="field-help" id="{}-about">'
            "{}{}</p></div><div>{}</div>{}</div>"
        ).format(name, ident, title, needed, ident, what, about, control, said)

    @staticmethod
    def _option(value: str, title: str, kind: str) -> Markup:
        return Markup('<option value="{}"{}>{}</option>').format(
            value, Markup(" selected") if value == kind else Markup(), title
        )

    def _kind_of(self, name: str) -> str:
        """How a field is mapped, as the list of columns has it."""
        if name in self._code:
            return _CODE
        if name not in self.mapping:
            return _NONE
        value = self.mapping[name]
        if name in self._fixed or (isinstance(value, str) and "{{" not in value):
            return _FIXED
        if value == _WHOLE_ROW:
            return _ROW
        column = columns_of(value)
        return f"{_COLUMN}{column}" if column is not None and column in self._columns else _CODE

    async def _acted(self, act: str, value: str) -> None:
        what, _, name = act.removeprefix("field:").partition(":")
        if act == "suggest" and self._suggest is not None:
            found = await self._suggest()
            self.mapping = {**found, **self.mapping}
        elif act == "whole":
            if self._whole is None:
                self._whole = json.dumps(self.mapping, ensure_ascii=False, indent=2)
                self._code.clear()
            else:
                with contextlib.suppress(ConfigError):  # what is no JSON stays, and is said below
                    self.mapping, self._whole = mapping_of(self._whole), None
        elif what == "whole":
            self._whole = value
        elif what == "add" and value.strip():
            self.mapping.setdefault(value.strip(), None)
            self._fixed.discard(value.strip())
        elif what == "from":
            self._choose(name, value)
        elif what == "fixed":
            self.mapping[name] = value
        elif what == "code":
            self._code[name] = value
        await self.check()

    def _choose(self, name: str, value: str) -> None:
        before = self.mapping.get(name)
        self._code.pop(name, None)
        self._fixed.discard(name)
        if value == _NONE:
            self.mapping.pop(name, None)
        elif value == _ROW:
            self.mapping[name] = dict(_WHOLE_ROW)
        elif value == _FIXED:
            self._fixed.add(name)
            self.mapping[name] = before if isinstance(before, str) else ""
        elif value == _CODE:
            self._code[name] = json.dumps(before, ensure_ascii=False)
        elif value.removeprefix(_COLUMN) in self._columns:
            self.mapping[name] = {"@path": f"$.{value.removeprefix(_COLUMN)}"}
