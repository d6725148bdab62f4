"""Forms: fields with labels, help and errors beside them, from a list, from a pydantic model, or from a JSON schema.

What was typed stays in the browser until it is sent. A secret is never sent back: its field is empty, and what is left
empty stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import pydantic
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from tidemill.errors import TidemillError
from tidemill.web import visit

Kind = Literal[
    "line", "text", "secret", "number", "switch", "select", "radio", "choices", "file", "mail", "url", "date", "moment"
]
#: Called with what was typed, and which button sent it: "submit", or the `act` of another one.
Submit = Callable[[dict[str, Any], str], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Option:
    """One of what can be chosen."""

    value: str
    label: str
    help: str = ""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field. `when`: it is shown if another one has one of these values; `told`: the form's `on_change` is told when
    it changes; `accept`, `most`: of a file, whose content is the value; `mono`: it is code."""

    name: str
    label: str
    kind: Kind = "line"
    help: str = ""
    value: Any = None
    required: bool = True
    options: tuple[Option, ...] = ()
    placeholder: str = ""
    when: tuple[str, tuple[str, ...]] | None = None
    told: bool = False
    rows: int = 5
    accept: str = ""
    most: int = 500_000
    mono: bool = False
    least: float | None = None
    greatest: float | None = None


class Form(Element, component="form.js"):
    """A form on a page. An error of `on_submit` that names a field is shown there; any other above the buttons."""

    def __init__(
        self,
        fields: Sequence[Field],
        submit: str,
        on_submit: Submit,
        *,
        others: Sequence[tuple[str, str]] = (),
        on_change: Callable[[str, Any], Awaitable[None]] | None = None,
    ) -> None:
        """`others`: more buttons, each with its act and its label."""
        super().__init__()
        self.fields, self._on_submit, self._on_change = list(fields), on_submit, on_change
        self._props["submit"] = submit
        self._props["others"] = [{"act": act, "label": label} for act, label in others]
        self._acts = {"submit", *(act for act, _ in others)}
        self._put(set_values=())
        self.on("sent", self._sent)
        self.on("changed", self._changed)

    def set(self, fields: Sequence[Field], *, values: Sequence[str] = ()) -> None:
        """Show these fields. Of those whose names are in `values`, what was typed is replaced by their value."""
        self.fields = list(fields)
        self._put(set_values=values)
        self.update()

    def errors(self, found: Mapping[str, str]) -> None:
        """Say what is wrong, beside each field."""
        self._props["errors"] = dict(found)
        self._props["turn"] = self._props.get("turn", 0) + 1
        self.update()

    def _put(self, *, set_values: Sequence[str]) -> None:
        self._props["fields"] = [_described(field, set_value=field.name in set_values) for field in self.fields]
        self._props["turn"] = self._props.get("turn", 0) + 1

    async def _changed(self, event: GenericEventArguments) -> None:
        if self._on_change is not None and event.args["name"] in {field.name for field in self.fields if field.told}:
            await self._on_change(str(event.args["name"]), event.args["value"])

    async def _sent(self, event: GenericEventArguments) -> None:
        act = str(event.args["act"])
        if self._props.get("busy") or act not in self._acts:
            return
        given = _taken(self.fields, dict(event.args["values"]))
        self._props["busy"] = True
        self._props.pop("failure", None)
        self._props["errors"] = {}
        self.update()
        try:
            await self._on_submit(given, act)
        except pydantic.ValidationError as error:
            self.errors(errors_of(error))
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            self._props["failure"] = {"message": error.message, "hint": error.hint, "code": error.code}
        finally:
            if not self.is_deleted:
                self._props["busy"] = False
                self.update()


def _described(field: Field, *, set_value: bool) -> dict[str, Any]:
    """A field as form.js has it. The value of a secret stays here."""
    found = dataclasses.asdict(field)
    found["options"] = [dataclasses.asdict(option) for option in field.options] or None
    found["when"] = {"name": field.when[0], "values": list(field.when[1])} if field.when else None
    found["min"], found["max"], found["set"] = field.least, field.greatest, set_value
    if field.kind == "secret":
        found["value"] = ""
        if field.value and not field.placeholder:
            found["placeholder"] = "Kept. Leave it empty to keep it."
    return found


def _taken(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, of fields that there are: texts without blanks around them, numbers as numbers, None for what is
    empty."""
    found: dict[str, Any] = {}
    for field in fields:
        if field.name not in given:
            continue
        value = given[field.name]
        if field.kind == "switch":
            found[field.name] = bool(value)
        elif field.kind == "choices":
            allowed = {option.value for option in field.options}
            found[field.name] = [str(one) for one in value if str(one) in allowed]
        elif value is None or str(value).strip() == "":
            found[field.name] = None
        elif field.kind == "number":
            found[field.name] = _number(str(value))
        elif field.kind in {"select", "radio"}:
            found[field.name] = str(value) if str(value) in {option.value for option in field.options} else None
        else:
            found[field.name] = str(value) if field.kind in {"secret", "text", "file"} else str(value).strip()
    return found


def _number(text: str) -> int | float | str:
    """As a number, if it is one; else its text, of which the model says what is wrong."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def errors_of(error: pydantic.ValidationError) -> dict[str, str]:
    """What pydantic found wrong, by the field; values are not repeated."""
    found: dict[str, str] = {}
    for item in error.errors(include_input=False, include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        found.setdefault(name, item["msg"].removeprefix("Value error, ").rstrip(".") + ".")
    return found


def fields_of(model: type[pydantic.BaseModel], **changes: Mapping[str, Any]) -> list[Field]:
    """The fields of a form for a pydantic model; `changes`: of fields, by name, what is to be otherwise."""
    return fields_of_schema(model.model_json_schema(), changes)


def fields_of_schema(
    schema: Mapping[str, Any],
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    values: Mapping[str, Any] | None = None,
) -> list[Field]:
    """The same for a JSON schema, as destinations have them. `values`: those that there are."""
    definitions, needed = schema.get("$defs", {}), set(schema.get("required", ()))
    found = []
    for name, stated in schema.get("properties", {}).items():
        described = _resolved(stated, definitions)
        kind, options = _kind(described, definitions)
        fields: dict[str, Any] = {
            "label": described.get("title") or name.replace("_", " ").capitalize(),
            "kind": kind,
            "help": stated.get("description") or described.get("description", ""),
            "value": (values or {}).get(name, stated.get("default", described.get("default"))),
            "required": name in needed,
            "options": options,
            "least": described.get("minimum"),
            "greatest": described.get("maximum"),
        }
        found.append(Field(name, **{**fields, **(changes or {}).get(name, {})}))
    return found


def _resolved(stated: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A property, without what may be null, and with what it refers to."""
    for several in ("anyOf", "oneOf", "allOf"):
        choices = [one for one in stated.get(several, ()) if one.get("type") != "null"]
        if len(choices) == 1:
            return {**_resolved(choices[0], definitions), **{key: stated[key] for key in ("title",) if key in stated}}
    if reference := stated.get("$ref"):
        return {**definitions.get(reference.rsplit("/", 1)[-1], {}), **stated}
    return stated


def _kind(described: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Kind, tuple[Option, ...]]:
    if "enum" in described:
        return "select", tuple(Option(str(one), str(one).replace("_", " ")) for one in described["enum"])
    if described.get("writeOnly") or described.get("format") == "password":
        return "secret", ()
    if described.get("type") == "boolean":
        return "switch", ()
    if described.get("type") in {"integer", "number"}:
        return "number", ()
    items = _resolved(described.get("items", {}), definitions)
    if described.get("type") == "array" and "enum" in items:
        return "choices", tuple(Option(str(one), str(one)) for one in items["enum"])
    return ("text", ()) if described.get("format") == "multiline" else ("line", ())
