"""What a run of dbt did, by its `run_results.json`: which models were built, and which of them may be sent on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec

from tidemill.dbt import artifacts
from tidemill.errors import ConfigError

#: Of a model, seed or snapshot that was built; of a test that holds, or whose failure is a warning.
_BUILT, _HOLDS = frozenset({"success", "partial success"}), frozenset({"pass", "warn", "success", "skipped", "no-op"})


class _Result(msgspec.Struct):
    unique_id: str
    status: str = ""


class _RunResults(msgspec.Struct):
    metadata: artifacts.Metadata
    results: list[_Result] | None = None


@dataclasses.dataclass(frozen=True)
class DbtRun:
    """`built`: unique ids of models, seeds and snapshots; `failed`: of those that were not built, and of tests that do
    not hold; `held`: of tests that do."""

    built: frozenset[str]
    failed: frozenset[str]
    held: frozenset[str] = frozenset()


def read(text: bytes, *, what: str = "run_results.json") -> DbtRun:
    """A run from its text.

    Raises
    ------
    ConfigError
        It is something else.
    """
    hint = "dbt run and dbt build write target/run_results.json."
    try:
        found = msgspec.json.decode(text, type=_RunResults)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError("run_results_invalid", f"{what} cannot be read: {error}", hint=hint) from None
    if "/run-results/" not in found.metadata.dbt_schema_version:
        raise ConfigError("run_results_invalid", f"{what} is no run_results.json of dbt.", hint=hint)
    built: set[str] = set()
    failed: set[str] = set()
    held: set[str] = set()
    for result in found.results or ():
        if result.unique_id.startswith(("test.", "unit_test.")):
            (held if result.status in _HOLDS else failed).add(result.unique_id)
        elif result.status in _BUILT:
            built.add(result.unique_id)
        else:
            failed.add(result.unique_id)
    return DbtRun(frozenset(built), frozenset(failed - built), frozenset(held))


def joined(steps: Iterable[DbtRun]) -> DbtRun:
    """What several did, one after the other: of what two did, the later counts. A model that could not be built first,
    and then could, is built."""
    built: set[str] = set()
    failed: set[str] = set()
    for step in steps:
        built = (built - step.failed) | step.built
        failed = (failed - step.built - step.held) | step.failed
    return DbtRun(frozenset(built), frozenset(failed))
