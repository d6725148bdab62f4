"""Sources of reverse ETL: connections that rows are read from. They are written with their connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import Change, Doing, Fields, Kind, World
from tidemill.errors import ConfigError
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.spec import Access, SourceSpec

if TYPE_CHECKING:
    from tidemill.app import App


class Sources(Kind):
    """See the module."""

    section, title = "sources", "source"
    writes = Permission.CONNECTIONS_WRITE
    #: So that something is written of each.
    essential = ("access",)

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.SOURCE

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        views = app.reverse_etl.sources.find()
        return {view.connection: {"access": view.access, "state_dataset": view.state_dataset} for view in views}

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind."""
        made: SourceSpec = specs.make(SourceSpec, "source", given)
        is_read_only = made.access is Access.READ_ONLY
        if is_read_only and given.get("state_dataset") is not None:
            raise ConfigError(
                "source_read_only",
                "A source that may only be read has no state_dataset.",
                hint="Leave it out, or write access: limited.",
            )
        return {"access": made.access.value, "state_dataset": None if is_read_only else made.state_dataset}

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind. What was delivered would be remembered elsewhere."""
        if not change.touches("state_dataset"):
            return None
        models = {model for model, fields in world.found["models"].items() if fields["connection"] == name}
        both = [*world.found["syncs"].items(), *world.found["imports"].items()]
        using = sorted(one for one, fields in both if fields["model"] in models or fields.get("connection") == name)
        if not using:
            return None
        where = before["state_dataset"] or "this installation"
        return f"What was delivered is kept in {where}, for {', '.join(using)}. Delete these first, or leave it there."

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind. It is tested in any case: the test makes its state dataset."""
        steps = doing.app.reverse_etl.sources.enable(change.name, change.after, by=doing.by)
        doing.steps(steps, f"{change.name} as a source")

    change = create

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.reverse_etl.sources.disable(name)
