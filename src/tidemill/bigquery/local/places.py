"""Where jobs run."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.bigquery.local.answers import not_found
from tidemill.bigquery.local.emulator import Emulator


def job_location(emulator: Emulator, wanted: str | None, datasets: Sequence[tuple[str, str]]) -> str:
    """The location of a job on those datasets (project and dataset).

    Raises
    ------
    Refusal
        404: a dataset is elsewhere, or is not.
    """
    location = wanted
    for project, dataset in datasets:
        there = emulator.location(project, dataset)
        if there is None:
            raise not_found(f"Dataset {project}:{dataset}")
        if location and location.lower() != there.lower():
            raise not_found(f"Dataset {project}:{dataset} was not found in location {location}")
        location = there
    return location or "US"
