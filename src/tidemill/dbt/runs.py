"""What a run of dbt did, by its `run_results.json`: which models were built, and which of them may be sent on."""

from __future__ import annotations

import dataclasses

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
    not hold."""

    built: frozenset[str]
    failed: frozenset[str]


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
    built, failed = set(), set()
    for result in found.results or ():
        if result.unique_id.startswith(("test.", "unit_test.")):
            if result.status not in _HOLDS:
                failed.add(result.unique_id)
        elif result.status in _BUILT:
            built.add(result.unique_id)
        else:
            failed.add(result.unique_id)
    return DbtRun(frozenset(built), frozenset(failed - built))
