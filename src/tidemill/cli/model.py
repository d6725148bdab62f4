"""`tidemill model`: what can be exported, column by column; and source models, whose rows are read from BigQuery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import model_source, output, session

if TYPE_CHECKING:
    from tidemill.models.model import Model

app = typer.Typer(
    no_args_is_help=True,
    help="Models: what can be exported into BigQuery; and source models, whose rows are read there for reverse ETL.",
)
model_source.register(app)


@app.command("list", epilog="Example: tidemill model list")
def list_(as_json: bool = output.JSON_OPTION) -> None:
    """List the models: what can be exported, and source models."""
    from tidemill.models.registry import MODELS

    sources = model_source.find()
    if as_json:
        exported = [_listed(model) for model in MODELS.values()]
        output.print_json([*exported, *({"kind": "source", **vars(model)} for model in sources)])
        return
    rows = [(m.name, ", ".join(m.key) or "yours", _added(m), m.description) for m in MODELS.values()]
    output.say("What can be exported into BigQuery:")
    output.print_table(("NAME", "KEY", "ROWS ARE", "DESCRIPTION"), rows, empty="No models.")
    output.say("\nSource models, whose rows are read from BigQuery:")
    model_source.table(sources)


def _listed(model: Model) -> dict[str, Any]:
    return {
        "kind": "export",
        "name": model.name,
        "title": model.title,
        "description": model.description,
        "key": model.key,
    }


def _added(model: Model) -> str:
    """How rows get into a table."""
    return ("merged" if model.versions else "appended, each row once") if model.columns else "as you say"


@app.command(epilog="Example: tidemill model show events")
def show(
    name: str = typer.Argument(help="Name of the model."),
    json_type: bool = typer.Option(None, help="Show the types of an export made with --json-type, or without."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show a model: the columns of one that can be exported, as its table will have them; or a source model."""
    from tidemill.models import registry

    if name not in registry.MODELS and session.exists():
        model_source.show(name, as_json)
        return
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
        about = {"kind": "export", "name": model.name, "description": model.description}
        output.print_json({**about, **layout, "columns": fields})
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
