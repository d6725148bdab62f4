"""What a user says of a sync, made into its spec and checked against its model and its destination."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill import sizes
from tidemill.destinations import registry
from tidemill.destinations.home import KIND
from tidemill.destinations.port import Action, Kind, Mode
from tidemill.errors import ConfigError
from tidemill.reverse_etl import mapping as mappings
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.schedules import said
from tidemill.schedules.calendar import Schedule
from tidemill.store.records_sync import Account, group_of

_EDITABLE = {
    *(
        "name",
        "mode",
        "mapping",
        "taken",
        "schedule",
        "delete_brake",
        "most_rejects",
        "reject_share",
        "deviation",
        "write_back_days",
        "cursor_unit",
        "cursor_overlap",
    ),
    *("max_bytes_billed", *said.FIELDS),
}
#: How keys of a mapping begin that are no fields: directives around all of it.
_OWN = ("@", "__segment_internal_")
#: In place of a number: there is none any more.
NONE = "none"


def action_of(account: Account, name: str | None) -> Action:
    """The action of that name; without one, the only one that the destination has.

    Raises
    ------
    ConfigError
        It has more than one, and none is named.
    """
    destination = registry.get(account.kind)
    if name is not None:
        return destination.action(name)
    if len(destination.actions) > 1:
        raise ConfigError(
            "sync_action",
            f"{destination.title} can do more than one thing with rows.",
            hint=f"Say which: --action {' | '.join(action.name for action in destination.actions)}",
        )
    return destination.actions[0]


def new(account: Account, columns: Sequence[str], key: Sequence[str], fields: Mapping[str, Any]) -> SyncSpec:
    """A new sync. `columns`, `key`: of its model.

    Raises
    ------
    ConfigError
        A field is wrong.
    """
    action = action_of(account, fields.get("action"))
    if account.kind == KIND and fields.get("taken") is None:
        raise ConfigError(
            "sync_home",
            "What becomes people and events here is an import.",
            hint="Make one: tidemill import create --help",
        )
    given = {name: value for name, value in fields.items() if value is not None}
    given = {**given, "action": action.name, "mode": given.get("mode", action.modes[0].value)}
    made: SyncSpec = specs.make(SyncSpec, "sync", _sizes(said.understood(_with_days(given), Schedule())))
    check(made, action, columns, key)
    return made


def changed(
    before: SyncSpec, account: Account, columns: Sequence[str], key: Sequence[str], changes: Mapping[str, Any]
) -> SyncSpec:
    """A sync with changes.

    Raises
    ------
    ConfigError
        A field is wrong, or fixed.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise ConfigError(
            "nothing_to_change", "Nothing to change was named.", hint=f"tidemill {group_of(vars(before))} edit --help"
        )
    fixed = sorted(set(given) - _EDITABLE)
    if fixed:
        raise ConfigError(
            "field_fixed",
            f"{', '.join(fixed)} cannot be changed.",
            hint="Make another sync. Its first run sends all rows; after 'tidemill sync reset NAME --adopt' it takes "
            "them as delivered, and sends none.",
        )
    kept = {name: getattr(before, name) for name in SyncSpec.model_fields}
    understood = _sizes(said.understood(_with_days(given), before.schedule))
    made: SyncSpec = specs.make(SyncSpec, "sync", {**kept, **understood})
    check(made, registry.get(account.kind).action(made.action), columns, key)
    return made


def _sizes(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a sync, with shares of which ``none`` was said: nobody is told of such; and with a number of bytes
    that was said in words, of which ``none`` is no limit."""
    none = {"deviation": None, "reject_share": 1.0}
    made = {name: none[name] if name in none and value == NONE else value for name, value in fields.items()}
    most = made.get("max_bytes_billed")
    return made | ({"max_bytes_billed": sizes.parse_bytes(most)} if isinstance(most, str) else {})


def _with_days(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, with the days of a write-back as a number: none of them ends it."""
    days = given.get("write_back_days")
    if not isinstance(days, str):
        return dict(given)
    text = days.strip().lower()
    if text != NONE and not text.isdecimal():
        raise ConfigError("write_back_days", f"{days!r} is no number of days.", hint="Write 30, or none.")
    return {**given, "write_back_days": None if text == NONE else int(text)}


def check(made: SyncSpec, action: Action, columns: Sequence[str], key: Sequence[str]) -> None:
    """That a sync fits its action and its model. Raises ConfigError."""
    if made.mode not in action.modes:
        raise ConfigError(
            "sync_mode",
            f"{action.title} has no mode {made.mode}.",
            hint=f"It has: {', '.join(mode.value for mode in action.modes)}.",
        )
    if made.cursor is not None and made.cursor not in columns:
        raise ConfigError("column_unknown", f"The model has no column {made.cursor!r}.", hint=_columns(columns))
    if made.taken is not None:  # what is made of rows is for imports to check
        return
    if not made.mapping and made.mode is not Mode.DELETE:
        raise ConfigError(
            "mapping_empty",
            "Nothing is mapped: the rows would be sent without a field.",
            hint=f"Add --map FIELD=COLUMN, or --suggest; --map 'FIELD=*' is the whole row. {_columns(columns)}",
        )
    problems = [*_wrong(made, columns), *_incomplete(made, action, columns, key)]
    if len(problems) == 1:
        raise problems[0]
    if problems:
        told, hints = "\n".join(one.message for one in problems), " ".join(one.hint for one in problems)
        raise ConfigError("mapping_invalid", told, hint=hints)


def problems(action: Action, mapping: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """What is wrong with a mapping, by the field that it is wrong with; what is of no field, by an empty name."""
    found: dict[str, str] = {}
    names = {name: field.name for field in action.fields for name in (field.name, *field.also)}
    for name, value in mapping.items():
        try:
            unknown = mappings.compile({name: value}, columns).unknown(columns)
        except ConfigError as wrong:
            found[names.get(name, name)] = wrong.message
            continue
        if unknown:
            found[names.get(name, name)] = f"The model has no column {', '.join(sorted(unknown))}."
        elif name not in names and not action.more and not name.startswith(_OWN):
            found[name] = f"{action.title} has no field {name}."
    given = set(mapping)
    if not any(name.startswith(_OWN) for name in given):
        for field in action.fields:
            if field.required and not {field.name, *field.also} & given:
                found[field.name] = f"{action.title} needs it."
    if not found and not given:
        found[""] = "Nothing is mapped yet."
    return found


def _wrong(made: SyncSpec, columns: Sequence[str]) -> list[ConfigError]:
    """What is wrong with a mapping in itself, and with the columns that it names."""
    try:
        unknown = sorted(mappings.compile(made.mapping, columns).unknown(columns))
    except ConfigError as wrong:
        return [wrong]
    if not unknown:
        return []
    names = f"The mapping names columns that the model does not have: {', '.join(unknown)}."
    return [ConfigError("column_unknown", names, hint=_columns(columns))]


def _incomplete(made: SyncSpec, action: Action, columns: Sequence[str], key: Sequence[str]) -> list[ConfigError]:
    """That fields which the action needs are not mapped."""
    missing = [
        field.name for field in action.fields if field.required and not {field.name, *field.also} & set(made.mapping)
    ]
    if not missing or any(name.startswith(_OWN) for name in made.mapping):
        return []
    examples = " ".join(_example(action, name) for name in missing)
    return [
        ConfigError(
            "mapping_incomplete",
            f"{action.title} needs {', '.join(missing)}, which is not mapped.",
            hint=f"Add {examples}, or --suggest. Columns: {', '.join(columns)}; key: {', '.join(key)}.",
        )
    ]


def _example(action: Action, name: str) -> str:
    """How a field is mapped on the command line: an object is the whole row, mostly."""
    kinds = {field.name: field.kind for field in action.fields}
    return f"--map '{name}=*' (the whole row)" if kinds[name] is Kind.OBJECT else f"--map {name}=COLUMN"


def hashed(made: SyncSpec, columns: Sequence[str]) -> list[str]:
    """The columns by which a row is hashed: those that the mapping reads, sorted."""
    if made.taken is not None:
        return sorted(set(made.taken["columns"]) & set(columns))
    read = mappings.compile(made.mapping).columns
    return sorted(columns if read is None else read & set(columns))


def mapping_of(text: str) -> dict[str, Any]:
    """A mapping that was given as text.

    Raises
    ------
    ConfigError
        It is no JSON object.
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ConfigError("mapping_json", "The mapping is nested too deep.", hint="It is a JSON object.") from None
    except ValueError as error:
        raise ConfigError("mapping_json", f"The mapping is no JSON: {error}.", hint="It is a JSON object.") from None
    if not isinstance(found, dict):
        raise ConfigError(
            "mapping_json", "The mapping is no JSON object.", hint='Write {"FIELD": {"@path": "$.COLUMN"}}.'
        )
    return found


def _no_number(name: str) -> None:
    """NaN and Infinity, which Python takes and JSON does not have."""
    raise ValueError(f"it has no {name}")


def _columns(columns: Sequence[str]) -> str:
    return f"Columns: {', '.join(columns)}."
