"""`tidemill model`: what can be exported, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.models.model import Model

app = typer.Typer(no_args_is_help=True, help="What can be exported: columns, BigQuery types, descriptions.")


@app.command("list", epilog="Example: tidemill model list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List the models."""
    from tidemill.models.registry import MODELS

    if as_json:
        output.print_json(
            [{"name": m.name, "title": m.title, "description": m.description, "key": m.key} for m in MODELS.values()]
        )
        return
    rows = [(m.name, ", ".join(m.key) or "yours", _added(m), m.description) for m in MODELS.values()]
    output.print_table(("NAME", "KEY", "ROWS ARE", "DESCRIPTION"), rows, empty="No models.")


def _added(model: Model) -> str:
    """How rows get into a table."""
    return ("merged" if model.versions else "appended, each row once") if model.columns else "as you say"


@app.command(epilog="Example: tidemill model show events")
def show(
    name: str = typer.Argument(help="Name of the model."),
    json_type: bool = typer.Option(None, help="Show the types of an export made with --json-type, or without."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show the columns of a model, as its table will have them."""
    from tidemill.models import registry

    model = registry.get(name)
    columns = model.columns_for(json_type=model.json_type if json_type is None else json_type)
    if as_json:
        fields = [
            {
                "name": c.name,
                "type": c.type,
                "may_be_json": c.json,
                "repeated": c.repeated,
                "description": c.description,
            }
            for c in columns
        ]
        layout = {"key": model.key, "partition_by": model.partition_by, "cluster_by": model.cluster_by}
        output.print_json({"name": model.name, "description": model.description, **layout, "columns": fields})
        return
    if not columns:
        output.say(f"{model.description} Its columns are those of the query; a new table is clustered by the key.")
        output.say("Make one: tidemill export create NAME --connection NAME --table NAME --sql 'SELECT …'")
        return
    other: dict[str, str] = {"STRING": "STRING or JSON", "JSON": "JSON or STRING"} if json_type is None else {}
    types = [other.get(c.type, c.type.value) if c.json else c.type.value for c in columns]
    named = [f"{kind}, repeated" if c.repeated else kind for c, kind in zip(columns, types, strict=True)]
    rows = [(c.name, kind, c.description) for c, kind in zip(columns, named, strict=True)]
    output.print_table(("FIELD", "TYPE", "DESCRIPTION"), rows, empty="")
    partition = f"Partitioned by day of {model.partition_by}" if model.partition_by else "Not partitioned"
    output.say(f"{partition}, clustered by {', '.join(model.cluster_by)}; settable.")
