"""What a change of a dbt project means for the syncs that use its models.

Only what would break one counts as breaking: whoever changes SQL, adds columns or describes them is not held up.
(Segment's check rejects each change of a model in use: research/reverse_etl.md §1.8.)
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence

from tidemill.dbt import types
from tidemill.dbt.manifest import Column, Manifest, Model, Relation

#: Whether a model can be read by who reads it; None: that is not known.
Readable = Callable[[Model], bool | None]


class Weight(enum.StrEnum):
    """What a change does to a sync."""

    BREAKING = "breaking"  # it would fail, stop, or deliver something wrong
    NOTICE = "notice"  # it goes on; somebody should know
    HARMLESS = "harmless"


@dataclasses.dataclass(frozen=True)
class Use:
    """A model in use: by which syncs, by which key, which columns they deliver. All as the model writes them."""

    unique_id: str
    syncs: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of a model in use. `path`: the model's file, of the branch if it is there."""

    code: str
    weight: Weight
    model: str
    message: str
    hint: str = ""
    column: str = ""
    path: str = ""
    syncs: tuple[str, ...] = ()


def compare(
    before: Manifest,
    after: Manifest,
    uses: Iterable[Use],
    *,
    readable: Readable = lambda _: None,
    is_target: bool = False,
) -> list[Change]:
    """Changes of the models in use, breaking ones first. `readable`: whether a model that stands elsewhere now can be
    read there by who reads it; None if that is not known. `is_target`: `after` is what is in production; or else, if
    all models of it stand elsewhere, it is taken for one of a branch, and what does not depend on the target counts."""
    moves = is_target or not _is_elsewhere(before, after)
    found = [
        dataclasses.replace(change, syncs=use.syncs)
        for use in uses
        for change in _of_use(before, after, use, moves, readable)
    ]
    order = list(Weight)
    return sorted(found, key=lambda change: (order.index(change.weight), change.model, change.column, change.code))


def _of_use(before: Manifest, after: Manifest, use: Use, moves: bool, readable: Readable) -> Iterator[Change]:
    old, new = before.models.get(use.unique_id), after.models.get(use.unique_id)
    if new is None:
        yield _gone(before, after, use)
        return
    if new.relation is None:
        hint = "Build it as a table or a view, or delete the syncs of it first."
        yield _change(
            "model_not_built", new, f"is {new.materialized} now: there is no table or view to read.", hint=hint
        )
        return
    if moves:
        yield from _moved(old, new, readable)
    yield from _columns(old, new, use)
    yield from _key(old, new, use)
    if new.deprecated_at and (old is None or old.deprecated_at != new.deprecated_at):
        yield _change("model_deprecated", new, f"is deprecated from {new.deprecated_at}.", weight=Weight.NOTICE)
    if old is not None and old.checksum != new.checksum:
        yield _change("statement_changed", new, "has another statement.", weight=Weight.HARMLESS)


def _change(
    code: str, model: Model, said: str, *, hint: str = "", column: str = "", weight: Weight = Weight.BREAKING
) -> Change:
    return Change(code, weight, model.unique_id, f"{model.name} {said}", hint, column, model.path)


def _gone(before: Manifest, after: Manifest, use: Use) -> Change:
    """The model is not there any more: disabled, renamed, or removed."""
    old = before.models.get(use.unique_id)
    name, path = (old.name, old.path) if old else (use.unique_id.rpartition(".")[2], "")
    if use.unique_id in after.disabled:
        said, code, hint = "is disabled.", "model_disabled", "Leave it enabled, or delete the syncs of it first."
    elif old and (new := _renamed(old, before, after)):
        said, code = f"is called {new.name} now.", "model_renamed"
        hint = f"Keep the name, or let the syncs use {new.name} first."
        path = new.path
    else:
        said, code, hint = "is removed.", "model_removed", "Keep it, or delete the syncs of it first."
    return Change(code, Weight.BREAKING, use.unique_id, f"{name} {said}", hint, path=path)


def _renamed(old: Model, before: Manifest, after: Manifest) -> Model | None:
    """A model that is new, and has its file's content or its table."""
    new = [model for key, model in after.models.items() if key not in before.models]
    alike = [model for model in new if old.checksum and model.checksum == old.checksum]
    alike += [model for model in new if model.relation and model.relation == old.relation]
    return alike[0] if alike else None


def _is_elsewhere(before: Manifest, after: Manifest) -> bool:
    """Whether not one model stands where it stood: the branch is built for another target than what is in use."""
    stood = {key: model.relation for key, model in before.models.items() if model.relation}
    stands = {key: model.relation for key, model in after.models.items() if key in stood and model.relation}
    return bool(stands) and all(stood[key] != relation for key, relation in stands.items())


def _dataset(relation: Relation) -> str:
    return f"{relation.project}.{relation.dataset}"


def _moved(old: Model | None, new: Model, readable: Readable) -> Iterator[Change]:
    """A table that is elsewhere breaks syncs if the connection may not read there."""
    if old is None or old.relation is None or new.relation is None or old.relation == new.relation:
        return
    place = _dataset(new.relation)
    said = f"moves from {old.relation} to {new.relation}"
    access = readable(new)
    if access:
        yield _change("relation_moved", new, f"{said}, which the connection can read.", weight=Weight.NOTICE)
    elif access is None:
        hint = f"See that the service account of the connection may read {place}."
        yield _change("relation_moved", new, f"{said}.", hint=hint, weight=Weight.NOTICE)
    else:
        hint = f"Grant bigquery.tables.getData on {place} to the service account of the connection first."
        yield _change("relation_not_readable", new, f"{said}, which the connection cannot read.", hint=hint)


def _columns(old: Model | None, new: Model, use: Use) -> Iterator[Change]:
    used = _once((*use.key, *use.columns))
    key = {name.lower() for name in use.key}
    for name in used:
        was, now = (old.columns.get(name.lower()) if old else None), new.columns.get(name.lower())
        if now is None:
            if new.complete or was is not None:
                yield _column_gone(old, new, name, is_key=name.lower() in key)
        elif was is not None and was.type and now.type:
            yield from _retyped(new, was, now, is_key=name.lower() in key)
    before = set(old.columns) if old else set()
    lower = {name.lower() for name in used}
    for name in sorted(before - set(new.columns) - lower):
        yield _change(
            "other_column_removed",
            new,
            f"has no column {name} any more, which no sync uses.",
            column=name,
            weight=Weight.HARMLESS,
        )
    if old is not None:
        for name in sorted(set(new.columns) - before - lower):
            yield _change("column_added", new, f"has a column {name}.", column=name, weight=Weight.HARMLESS)


def _once(names: Sequence[str]) -> list[str]:
    return list({name.lower(): name for name in names}.values())


def _column_gone(old: Model | None, new: Model, name: str, *, is_key: bool) -> Change:
    code = "key_removed" if is_key else "column_removed"
    what = "the key" if is_key else "what syncs deliver"
    hint = "Keep the column, or change the syncs first."
    if not new.complete:
        hint += " If it is still there, describe it in the model's YAML, or give the catalog of the branch."
    likely = _renamed_to(old, new, name)
    said = f"has no column {name} any more, which is of {what}" + (f"; is it {likely} now?" if likely else ".")
    return _change(code, new, said, hint=hint, column=name)


def _renamed_to(old: Model | None, new: Model, name: str) -> str:
    """A column that is new and has the description, or the type and place, of the one that is gone."""
    was = old.columns.get(name.lower()) if old else None
    if old is None or was is None:
        return ""
    fresh = [column for key, column in new.columns.items() if key not in old.columns]
    alike = [column for column in fresh if was.description and column.description == was.description]
    if not alike and list(old.columns).index(name.lower()) < len(new.columns):
        there = list(new.columns.values())[list(old.columns).index(name.lower())]
        alike = [there] if there in fresh and (there.type or "") == (was.type or "") else []
    return alike[0].name if alike else ""


def _retyped(new: Model, was: Column, now: Column, *, is_key: bool) -> Iterator[Change]:
    before, after = was.type or "", now.type or ""
    if types.same(before, after):
        return
    said = f"has {after} in the column {now.name}, which was {before}"
    if is_key:
        hint = "Rows are known by it: keep the type, or make the syncs anew with the new key."
        yield _change("key_retyped", new, f"{said}, and is of the key.", hint=hint, column=now.name)
    elif types.compatible(before, after):
        hint = "The next run sends all rows of it once more."
        yield _change("column_widened", new, f"{said}.", hint=hint, column=now.name, weight=Weight.NOTICE)
    else:
        hint = "Keep the type, cast it in another column, or change the mapping of the syncs first."
        yield _change("column_retyped", new, f"{said}.", hint=hint, column=now.name)


def _key(old: Model | None, new: Model, use: Use) -> Iterator[Change]:
    """What was promised of the key, and is not any more."""
    if old is None:
        return
    if _unique(old, use.key) and not _unique(new, use.key):
        hint = "Keep the test, or the constraint: rows of one key are set aside, all of them."
        yield _change(
            "key_not_unique", new, f"is not tested for one row for each {', '.join(use.key)} any more.", hint=hint
        )
    for name in use.key:
        if name.lower() in old.not_null and name.lower() not in new.not_null and name.lower() in new.columns:
            hint = "Rows without a key are set aside."
            said = f"is not tested any more for {name} being there."
            yield _change("key_may_be_null", new, said, hint=hint, column=name, weight=Weight.NOTICE)


def _unique(model: Model, key: Sequence[str]) -> bool:
    """Whether columns of the key, some or all, are promised to be unique: what some of them tell apart, all do."""
    names = {name.lower() for name in key}
    return any({name.lower() for name in promised} <= names for promised in model.keys)
