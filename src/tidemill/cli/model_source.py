"""`tidemill model add`, `edit`, `delete`, `preview`, `check`: source models, whose rows are read from BigQuery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import asking, output, session, texts

if TYPE_CHECKING:
    from tidemill.reverse_etl.service import Inspection, Keys, Preview, SourceModelView

#: The model's key is none: rows of it would be set aside.
NO_KEY = 1
_SQL = typer.Option(None, help="One SELECT statement. What prepares it belongs into WITH, or into a view.")
_SQL_FILE = typer.Option(None, help="A file with the statement, or - for standard input.")
_TABLE = typer.Option(None, help="A table or view instead: dataset.table, or project.dataset.table.")
_DBT = typer.Option(None, help="A model of a dbt project instead: PROJECT/MODEL. See tidemill dbt models PROJECT.")
_KEY = typer.Option(
    None, help="A column by which a row is known: no NULL, and no value twice. Repeated, if several are needed."
)
_DESCRIPTION = typer.Option(None, help="What it is.")
_LIMIT = typer.Option(None, help="A run that would be billed for more does not start, such as 20GB; or none.")
_NAME = typer.Argument(help="Name of the model.")


def register(app: typer.Typer) -> None:
    """Add the commands about source models."""
    app.command(
        epilog="Example: tidemill model add people --connection warehouse --sql-file people.sql --key user_id\n\n"
        "Of a table: tidemill model add people --connection warehouse --table analytics.people --key user_id"
    )(add)
    app.command(epilog="Example: tidemill model edit people --sql-file people.sql")(edit)
    app.command(epilog="Example: tidemill model delete people --yes")(delete)
    app.command(epilog="Example: tidemill model preview people")(preview)
    app.command(epilog="Example: tidemill model check people --no-query")(check)


def find() -> list[SourceModelView]:
    """The source models; none where there is no installation."""
    if not session.exists():
        return []
    with session.app() as opened:
        return opened.reverse_etl.models.find()


def table(found: list[SourceModelView]) -> None:
    """Show source models."""
    rows = [(m.name, ", ".join(m.key), m.connection, m.table or "a statement", m.syncs, m.description) for m in found]
    columns = ("NAME", "KEY", "CONNECTION", "ROWS OF", "SYNCS", "DESCRIPTION")
    output.print_table(columns, rows, empty="No source models. Make one: tidemill model add --help")


def show(name: str, as_json: bool) -> None:
    """Show one."""
    from tidemill.errors import NotFoundError
    from tidemill.models.registry import MODELS

    with session.app() as opened:
        try:
            found = opened.reverse_etl.models.get(name)
        except NotFoundError as error:
            known = f"Models that can be exported: {', '.join(sorted(MODELS))}. Source models: tidemill model list"
            raise NotFoundError("model_unknown", f"There is no model {name!r}.", hint=known) from error
    if as_json:
        output.print_json({"kind": "source", **vars(found)})
        return
    fields = {
        "name": found.name,
        "connection": found.connection,
        "table": found.table,
        "dbt model": found.dbt,
        "key": found.key,
        "description": found.description or None,
        "max bytes billed": output.size(found.max_bytes_billed) if found.max_bytes_billed else "no limit",
        "syncs": found.syncs,
        "made on": found.made_at,
        "made by": found.made_by,
        "changed on": found.updated_at,
    }
    output.print_fields(
        {label: value for label, value in fields.items() if label not in {"table", "dbt model"} or value is not None}
    )
    if found.sql is not None:
        output.out.print(f"\n{found.sql.strip()}", markup=False)
    output.say(f"Its columns, and what it costs: {output.command('model check', found.name)}")


def add(
    name: str = typer.Argument(help="A unique name for the model."),
    connection: str = typer.Option(..., help="Name of a connection that is a source: tidemill reverse-etl list"),
    sql: str = _SQL,
    sql_file: str = _SQL_FILE,
    table: str = _TABLE,
    dbt: str = _DBT,
    key: list[str] = _KEY,
    description: str = _DESCRIPTION,
    max_bytes_billed: str = _LIMIT,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Save a source model: a statement, a table, or a model of a dbt project; and the columns by which its rows are
    known. Of a dbt model these are what the project tests for being unique, unless others are named.

    BigQuery looks at the statement first, which costs nothing: whether it is right, what columns it gives, and whether
    the key can be one.
    """
    fields: dict[str, Any] = {"name": name, "description": description, **rows_of(sql, sql_file, table, dbt)}
    fields |= {"key": tuple(key or ()) if dbt else tuple(_keyed(key)), "max_bytes_billed": size_of(max_bytes_billed)}
    with session.app() as opened:
        if dbt is not None:
            fields = opened.dbt_models.fields(fields.pop("dbt"), fields)
        made, found = opened.reverse_etl.models.add(connection, fields, by=session.user())
    _saved(made, found, as_json, "saved")


def _keyed(key: list[str] | None) -> list[str]:
    from tidemill.errors import ConfigError

    if not key:
        raise ConfigError(
            "model_key",
            "No key is named.",
            hint="Name the columns by which a row is known: --key user_id; repeat it, if several are needed.",
        )
    return key


def edit(
    name: str = _NAME,
    rename: str = typer.Option(None, help="A new name."),
    sql: str = _SQL,
    sql_file: str = _SQL_FILE,
    table: str = _TABLE,
    key: list[str] = _KEY,
    description: str = _DESCRIPTION,
    max_bytes_billed: str = _LIMIT,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Change a source model. What is not named stays as it is.

    Refused if syncs deliver columns that it would not have any more, or know its rows by another key.
    """
    fields: dict[str, Any] = {"name": rename, "description": description, "key": tuple(key) if key else None}
    given = {field: value for field, value in fields.items() if value is not None}
    given |= rows_of(sql, sql_file, table)
    if max_bytes_billed is not None:
        given["max_bytes_billed"] = size_of(max_bytes_billed)
    with session.app() as opened:
        changed, found = opened.reverse_etl.models.edit(name, given)
    _saved(changed, found, as_json, "changed")


def rows_of(sql: str | None, sql_file: str | None, table: str | None, dbt: str | None = None) -> dict[str, Any]:
    """The statement, the table or the dbt model, as it was given."""
    from tidemill.errors import ConfigError

    given = {"--sql": sql, "--sql-file": sql_file, "--table": table, "--dbt": dbt}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError("model_source", f"{' and '.join(named)} are given.", hint="Give one of them.")
    if sql_file is not None:
        return {"sql": _read(sql_file)}
    return {name: value for name, value in {"sql": sql, "table": table, "dbt": dbt}.items() if value is not None}


def _read(source: str) -> str:
    from tidemill.errors import ConfigError

    def refused(reason: str) -> ConfigError:
        return ConfigError("sql_file", f"The file {source} cannot be read: {reason}.", hint="Check the path.")

    return texts.read(source, "Write the statement", refused)


def size_of(text: str | None) -> int | None:
    """A number of bytes that was typed."""
    from tidemill.sizes import parse_bytes

    return parse_bytes(text) if text is not None else None


def _saved(view: SourceModelView, found: Inspection | None, as_json: bool, what: str) -> None:
    if as_json:
        looked = {"columns": found.columns, **_costs(found)} if found else {}
        output.print_json({"kind": "source", **vars(view), **looked})
        return
    if found is None:
        output.done(f"The model {view.name} is {what}.")
        return
    columns = output.number(len(found.columns), "column")
    output.done(f"The model {view.name} is {what}: {columns}, known by {', '.join(view.key)}. {_cost(found)}")
    output.say(
        f"Look at its rows: {output.command('model preview', view.name)}, {output.command('model check', view.name)}"
    )


def _costs(found: Inspection) -> dict[str, Any]:
    return {"bytes": found.bytes, "dollars": found.dollars, "tables": found.tables, "location": found.location}


def _cost(found: Inspection) -> str:
    if not found.bytes:
        return "It reads nothing that is billed."
    return f"It reads {output.size(found.bytes)}: about {max(found.dollars, 0.0001):.4f} dollars by list price."


def delete(name: str = _NAME, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Delete a source model. Refused while syncs use it. Nothing in BigQuery is changed."""
    with session.app() as opened:
        models = opened.reverse_etl.models
        found = models.get(name)
        if not yes and not found.syncs:
            asking.confirm(f"Delete the model {found.name}?")
        models.delete(name)
    output.done(f"The model {found.name} is deleted.")


def preview(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show the first ten rows of a source model. The whole statement is run for it; what that costs is said before."""
    with session.app() as opened:
        models = opened.reverse_etl.models
        if not as_json:
            output.say(_cost(models.look(name)))
        found = models.preview(name)
    if as_json:
        output.print_json(found)
        return
    _rows(found)


def _rows(found: Preview) -> None:
    rows = [[_cell(row.get(column)) for column in found.columns] for row in found.rows]
    output.print_table(found.columns, rows, empty="The model has no rows.")


def _cell(value: Any) -> Any:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check(
    name: str = _NAME,
    query: bool = typer.Option(
        True, "--query/--no-query", help="Count rows and keys, too, by a statement that is billed."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Check a source model: columns, types, what a run reads and costs; and whether each row has a key of its own.

    Ends with code 1 if rows would be set aside, because their key is NULL or occurs twice.
    """
    with session.app() as opened:
        models = opened.reverse_etl.models
        found = models.look(name)
        if not as_json:
            _looked(found)
        keys = models.check(name) if query else None
    if as_json:
        counted = {**vars(keys), "good": keys.good} if keys else None
        output.print_json({"name": name, "key": found.key, "columns": found.columns, **_costs(found), "keys": counted})
    elif keys:
        _counted(keys)
    if keys and not keys.good:
        raise typer.Exit(NO_KEY)


def _looked(found: Inspection) -> None:
    rows = [
        (c.name, f"ARRAY<{c.type}>" if c.mode == "REPEATED" else c.type, "yes" if c.key else "") for c in found.columns
    ]
    output.print_table(("COLUMN", "TYPE", "KEY"), rows, empty="")
    tables = f" of {', '.join(found.tables)}" if found.tables else ""
    output.say(
        f"{_cost(found)} A run reads that{tables}, and its state: some 60 bytes for each row that was delivered."
    )


def _counted(keys: Keys) -> None:
    rows = output.number(keys.rows, "row")
    if keys.good:
        output.done(f"{rows}, each with a key of its own.")
        return
    output.say(f"{rows}.")
    if keys.null_rows:
        output.note(f"{output.number(keys.null_rows, 'row')} with a NULL in the key: set aside in each run.")
    if keys.duplicate_keys:
        twice = output.number(keys.duplicate_keys, "key")
        rows = output.number(keys.duplicate_rows, "row")
        output.note(f"{twice} more than once, in {rows}: all of these are set aside in each run. For example:")
        shown = [(*(_cell(value) for value in one["key"].values()), one["rows"]) for one in keys.examples]
        output.print_table((*keys.examples[0]["key"], "ROWS"), shown, empty="")
