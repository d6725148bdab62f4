"""What a dbt project promises of keys: by tests, by constraints, by how a model is merged."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator

from tidemill.dbt.artifacts import Constraint, Node

#: Generic tests by which several columns together are unique: (namespace, name).
_COMBINATIONS = {
    ("dbt_utils", "unique_combination_of_columns"): "combination_of_columns",
    ("", "unique_combination_of_columns"): "combination_of_columns",  # of the project's own, as our package has it
    ("tidemill", "unique_combination_of_columns"): "combination_of_columns",
    ("dbt_expectations", "expect_compound_columns_to_be_unique"): "column_list",
}


@dataclasses.dataclass(frozen=True)
class Promised:
    """Columns that are unique, the best promise first; and those, in small letters, that are never null."""

    unique: tuple[tuple[str, ...], ...]
    not_null: frozenset[str]


def by_model(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """Generic tests by the unique id of what they test."""
    found = collections.defaultdict(list)
    for node in nodes:
        if node.resource_type != "test" or node.test_metadata is None:
            continue
        tested = node.attached_node or next(iter((node.depends_on and node.depends_on.nodes) or ()), None)
        if tested is not None:
            found[tested].append(node)
    return found


def promised(model: Node, tests: Iterable[Node]) -> Promised:
    """What is promised of a model: by its tests, then primary keys, then what it is merged by. A test of some of the
    rows (`where`) promises nothing; and nothing does the `primary_key` that dbt infers: of columns that are unique
    together it takes those that are tested for `not_null`, and it counts tests that are disabled
    (`infer_primary_key` in dbt-core's contracts/graph/nodes.py)."""
    whole = (test for test in tests if not (test.config and test.config.where))
    tests = sorted(whole, key=lambda test: test.unique_id)
    unique = [*_tested(tests), *_constrained(model)]
    # A snapshot has as many rows of one key as there were versions of it.
    merged = model.config.unique_key if model.config and model.resource_type != "snapshot" else None
    if isinstance(merged, str) and merged.isidentifier():
        unique.append((merged,))
    elif isinstance(merged, list) and merged and all(isinstance(one, str) and one.isidentifier() for one in merged):
        unique.append(tuple(merged))
    not_null = {str(test.column_name).lower() for test in tests if _is(test, "not_null") and test.column_name}
    for constraint, columns in _constraints(model):
        if constraint.type in {"not_null", "primary_key"}:
            not_null.update(name.lower() for name in columns)
    return Promised(tuple(_once(unique, not_null)), frozenset(not_null))


def _tested(tests: Iterable[Node]) -> Iterator[tuple[str, ...]]:
    for test in tests:
        kind = test.test_metadata
        if kind is None:
            continue
        if _is(test, "unique") and test.column_name:
            yield (test.column_name,)
        named = _COMBINATIONS.get((kind.namespace or "", kind.name or ""))
        columns = (kind.kwargs or {}).get(named or "")
        if isinstance(columns, list) and columns and all(isinstance(one, str) for one in columns):
            yield tuple(columns)


def _is(test: Node, name: str) -> bool:
    """Whether it is that test of dbt's own: others may have the name in a package of theirs."""
    kind = test.test_metadata
    return kind is not None and kind.name == name and kind.namespace in {None, "", "dbt"}


def _constrained(model: Node) -> Iterator[tuple[str, ...]]:
    for constraint, columns in _constraints(model):
        if constraint.type in {"primary_key", "unique"} and columns:
            yield columns


def _constraints(model: Node) -> Iterator[tuple[Constraint, tuple[str, ...]]]:
    """Constraints of the model and of its columns, with the columns that they are of."""
    for constraint in model.constraints or ():
        yield constraint, tuple(constraint.columns or ())
    for column in (model.columns or {}).values():
        for constraint in column.constraints or ():
            yield constraint, (column.name,)


def _once(unique: Iterable[tuple[str, ...]], not_null: set[str]) -> list[tuple[str, ...]]:
    """Each set of columns once; those that are never null come first, for a key may not be null."""
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for columns in unique:
        found.setdefault(frozenset(name.lower() for name in columns), columns)
    return sorted(found.values(), key=lambda columns: not all(name.lower() in not_null for name in columns))
