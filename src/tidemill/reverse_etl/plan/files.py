"""The files of a sync whose state is kept here: its state, and the plans of its runs, beside the files of events.

They are no tables of the event store. A state is read as a whole and written as a whole, once a run; in DuckLake each
of these would be a commit, for which those who add events would wait, and old states would be kept as long as snapshots
are. A file is there with all that is in it, or not at all, in a folder as in a bucket: so the newest is the state.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.errors import NotFoundError
from tidemill.events.data.objects import Objects
from tidemill.events.filing import SYNCS

_STATE = re.compile(r".*/state-(\d{12})-(\d{6})\.parquet")


class Files:
    """Those of one sync."""

    def __init__(self, objects: Objects, sync: uuid.UUID) -> None:
        self._objects = objects
        self._under = f"{SYNCS}{sync.hex}/"

    def newest(self) -> tuple[int, int] | None:
        """The number of the run that made the state, and how often it was changed since."""
        found = [(int(known[1]), int(known[2])) for _, known in self._states()]
        return max(found, default=None)

    def _states(self) -> list[tuple[str, re.Match[str]]]:
        names = [one.name for one in self._objects.list(f"{self._under}state-")]
        return [(name, known) for name in names if (known := _STATE.fullmatch(name))]

    def get_state(self, which: tuple[int, int], path: Path) -> None:
        """Copy a state."""
        self._get(self._name(which), path)

    def put_state(self, which: tuple[int, int], path: Path) -> None:
        """Have a newer state, and forget the older ones."""
        self._put(self._name(which), path)
        self._objects.delete(name for name, known in self._states() if (int(known[1]), int(known[2])) < which)

    def forget(self) -> None:
        """Nothing was ever delivered. The newest goes last: whoever is killed here has forgotten nothing yet."""
        for name, _ in sorted(self._states()):
            self._objects.delete([name])

    def remove(self) -> None:
        """Have nothing of the sync here any more: rows of runs that did not end are among it. What it has delivered
        goes last."""
        self._objects.delete([one.name for one in self._objects.list(f"{self._under}plan-")])
        self.forget()
        self._objects.delete([one.name for one in self._objects.list(self._under)])

    def _name(self, which: tuple[int, int]) -> str:
        return f"{self._under}state-{which[0]:012}-{which[1]:06}.parquet"

    def described(self, run: uuid.UUID) -> dict[str, Any] | None:
        """What is said of a plan, once its rows are there."""
        try:
            with self._objects.read(f"{self._plan(run)}.json") as file:
                found: dict[str, Any] = json.loads(file.read())
                return found
        except NotFoundError:
            return None

    def put_plan(
        self, run: uuid.UUID, heads: Path, invalid: Path, pieces: Sequence[Path], said: dict[str, Any]
    ) -> None:
        """Keep a plan: the rows of its pieces, rows that cannot be delivered, all rows without their columns, and last
        what is said of it."""
        for number, path in enumerate(pieces):
            self._put(f"{self._plan(run)}-{number:06}.parquet", path)
        self._put(f"{self._plan(run)}-invalid.parquet", invalid)
        self._put(f"{self._plan(run)}.parquet", heads)
        self._objects.write(f"{self._plan(run)}.json", io.BytesIO(json.dumps(said).encode()))

    def get_heads(self, run: uuid.UUID, path: Path) -> None:
        """Copy what there is of all rows of a plan."""
        self._get(f"{self._plan(run)}.parquet", path)

    def get_invalid(self, run: uuid.UUID, path: Path) -> None:
        """Copy rows of a plan that cannot be delivered."""
        self._get(f"{self._plan(run)}-invalid.parquet", path)

    def get_piece(self, run: uuid.UUID, number: int, path: Path) -> None:
        """Copy the rows of a piece."""
        self._get(f"{self._plan(run)}-{number:06}.parquet", path)

    def remove_plan(self, run: uuid.UUID) -> None:
        """Remove a plan; what is said of it first, so that nobody takes the rest for one."""
        self._objects.delete([f"{self._plan(run)}.json"])
        self._objects.delete([one.name for one in self._objects.list(self._plan(run))])

    def _plan(self, run: uuid.UUID) -> str:
        return f"{self._under}plan-{run.hex}"

    def _put(self, name: str, path: Path) -> None:
        with path.open("rb") as data:
            self._objects.write(name, data)

    def _get(self, name: str, path: Path) -> None:
        with self._objects.read(name) as data, path.open("wb") as copy:
            shutil.copyfileobj(data, copy, 1024 * 1024)
