"""Source models: rows of BigQuery that are delivered elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import Change, Doing, Fields, Kind, Need, World, canonical, typed
from tidemill.errors import ConfigError
from tidemill.imports.spec import Taken
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.spec import ModelSpec

if TYPE_CHECKING:
    from tidemill.app import App

_ROWS = ("sql", "table", "dbt")


class Models(Kind):
    """See the module. Those that were made for an import are written with it."""

    section, title = "models", "source model"
    writes = Permission.MODELS_WRITE
    fixed = ("connection",)
    essential = ("connection", *_ROWS, "key")

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.MODEL

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        imports = app.reverse_etl.syncs.find(imports=True)
        own = {sync.model for sync in imports if Taken.model_validate(sync.spec.taken).own_model}
        views = [view for view in app.reverse_etl.models.find() if view.name not in own]
        projects = app.dbt.find() if any(view.dbt for view in views) else []
        of = {model: project.name for project in projects for model in project.used_by}
        found = {}
        for view in views:
            values = {name: getattr(view, name) for name in documents.MODEL.model_fields}
            if view.dbt is not None:
                values |= {"table": None, "dbt": f"{of[view.name]}/{view.dbt}"}
            found[view.name] = canonical(documents.MODEL, values)
        return found

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind. What a dbt project says of a model's key and description counts, if the file does not."""
        named = [field for field in _ROWS if given.get(field) is not None]
        if len(named) != 1:
            raise ConfigError(
                "model_source", "A model is a statement, a table, or a model of dbt.", hint="Write sql, table or dbt."
            )
        fields = {**dict.fromkeys(documents.MODEL.model_fields), **given}
        if given.get("dbt") is not None:
            fields |= _of_dbt(world, fields)
        values = typed(documents.MODEL, fields)
        read = {"sql": values["sql"], "table": values["table"] or values["dbt"]}
        limits = {field: values[field] for field in ("max_bytes_billed",)}
        if values["key"] is None and values["dbt"] is None:
            raise ConfigError(
                "model_key", "No key is named.", hint="Write key: [id], the columns by which a row is known."
            )
        key = values["key"] or ("key",)
        made = {"name": name, **read, **limits, "key": key, "description": values["description"] or ""}
        specs.make(ModelSpec, "source_model", made)
        return {**canonical(documents.MODEL, values), "description": values["description"] or ""}

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind."""
        yield Need("connection", "connections", fields["connection"])
        yield Need("connection", "sources", fields["connection"])
        if fields.get("dbt") is not None:
            yield Need("dbt", "dbt_projects", str(fields["dbt"]).partition("/")[0])

    def same(self, field: str, before: Any, after: Any) -> bool:
        """See Kind. BigQuery's columns have no case; of dbt's models the name may be written, or the unique id."""
        if field == "key" and before and after:
            return [name.lower() for name in before] == [name.lower() for name in after]
        if field == "dbt" and before and after:
            project, _, model = str(before).partition("/")
            return str(after) in {before, f"{project}/{model.rpartition('.')[2]}"}
        return super().same(field, before, after)

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind. Rows would be others than those that were delivered."""
        both = [*world.found["syncs"].items(), *world.found["imports"].items()]
        using = sorted(one for one, fields in both if fields["model"] == name)
        if not change.touches("key") or not using:
            return None
        return f"{', '.join(using)} know its rows by {', '.join(before['key'])}. Make another model with another key."

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind. BigQuery looks at it."""
        fields = {"name": change.name, **_limits(change.after), **_rows(doing, change.after)}
        doing.app.reverse_etl.models.add(change.after["connection"], fields, by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind. BigQuery looks at it, if its rows or its key are others."""
        fields = {name: value for name, value in _limits(change.after).items() if change.touches(name)}
        if change.touches(*_ROWS, "key"):
            fields |= _rows(doing, change.after) if change.touches(*_ROWS) else {"key": tuple(change.after["key"])}
        if "description" in fields:
            fields["description"] = fields["description"] or ""
        doing.app.reverse_etl.models.edit(change.name, fields)

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.reverse_etl.models.delete(name)


def _limits(fields: Fields) -> dict[str, Any]:
    values = typed(documents.MODEL, fields)
    return {name: values[name] for name in ("description", "max_bytes_billed")}


def _rows(doing: Doing, fields: Fields) -> dict[str, Any]:
    """Fields of a model that say which rows, and by what they are known."""
    key = tuple(fields["key"]) if fields["key"] else None
    if fields["dbt"] is not None:
        given = {"key": key, "description": fields["description"]}
        return doing.app.dbt_models.fields(fields["dbt"], given)
    name = "sql" if fields["sql"] is not None else "table"
    return {name: fields[name], "key": key}


def _of_dbt(world: World, fields: Fields) -> Fields:
    """What a dbt project says of a model, if it is known as it will be."""
    project, slash, model = str(fields["dbt"]).partition("/")
    if not slash or not model:
        raise ConfigError("dbt_model", f"{fields['dbt']!r} names no model.", hint="Write dbt: PROJECT/MODEL.")
    before, after = (named.get("dbt_projects", {}).get(project) for named in (world.found, world.given))
    if before is None or (after is not None and _place(before) != _place(after)):
        return {}
    _, found = world.app.dbt.pick(project, model)
    key = fields.get("key") or (list(found.keys[0]) if found.keys else None)
    if key is None:
        raise ConfigError(
            "model_key",
            f"The dbt project does not say what the key of {found.name} is.",
            hint="Test it in the project (unique, not_null), or write key: [COLUMN].",
        )
    described = fields.get("description") or found.description.replace("\0", "")[:10_000]
    return {"dbt": f"{project}/{found.unique_id}", "key": key, "description": described}


def _place(project: Fields) -> Fields:
    return {name: project.get(name) for name in ("folder", "git", "manifest", "branch", "subfolder")}
