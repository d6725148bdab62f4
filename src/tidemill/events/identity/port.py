"""What is kept of people, and where: as far as it is needed to keep them up to date."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tidemill.events.identity.people import Key

Row = tuple[Any, ...]


class Reached(Protocol):
    """How far it is."""

    @property
    def snapshot(self) -> int:
        """All events up to this snapshot have been applied."""

    @property
    def change(self) -> int:
        """The number of the last change that was made."""

    @property
    def numbers(self) -> int:
        """The last number that was given to somebody."""

    @property
    def versions(self) -> int:
        """The version that a new person begins with."""


@dataclasses.dataclass(frozen=True)
class Changed:
    """What is to be kept: links and persons as `Session` has them; and, of those that are new: team_id, uuid, code,
    distinct_id, other of refusals; team_id, number, into, event_time, server_time (microseconds) of merges; team_id,
    device_id, snapshot, n, user_id of switches of devices to another user; team_id, distinct_id, snapshot, n, number of
    numbers that ids had until then.
    """

    links: Iterable[Row]
    persons: Iterable[Row]
    refusals: Iterable[Row]
    merges: Iterable[Row]
    switches: Iterable[Row]
    formers: Iterable[Row]


class Session(Protocol):
    """One transaction on what is kept of people. No other is open meanwhile.

    Rows: team_id, distinct_id, person_id, version, number of a link; team_id, id, created (microseconds since 1970),
    properties (a JSON text), version, identified, deleted, number of a person.
    """

    @property
    def reached(self) -> Reached:
        """How far it is."""

    def links(self, ids: Sequence[Key]) -> list[Row]:
        """Those of these ids that are known."""

    def without_person(self, ids: Sequence[Key]) -> list[Key]:
        """Those of these ids that nobody has, or only somebody who was deleted."""

    def links_of(self, persons: Sequence[Key]) -> list[Row]:
        """All ids of these persons."""

    def persons(self, persons: Sequence[Key], most: int | None = None) -> list[Row] | None:
        """Those of these persons that are known; None if their properties have more than `most` characters."""

    def users(self, devices: Sequence[Key]) -> list[Row]:
        """team_id, device_id and the user who was last seen on it, of those of these devices that are known."""

    def switches_of(self, ids: Sequence[Key]) -> list[Row]:
        """team_id, device_id, snapshot, n, user: all of the devices that one of these ids is, or has used."""

    def formers(self, ids: Sequence[Key]) -> list[Row]:
        """team_id, distinct_id, snapshot, n: before which place these ids were somebody else's, the last time."""

    def erase(self, persons: Sequence[Key], ids: Sequence[Key]) -> None:
        """These persons, which are deleted, are not exported any more; what was refused of their ids is forgotten."""

    def forget(self, ids: Sequence[Key]) -> None:
        """Those of these ids that have no person, or an erased one, are unknown from now on, and so are these."""

    def save(self, changed: Changed, snapshot: int, numbers: int) -> Reached:
        """Keep these under the number of the next change, and that all up to this snapshot is in them; also the last
        number that was given to somebody."""


class Book(Protocol):
    """Where people are kept."""

    def refusals(self, limit: int) -> list[Row]:
        """What was refused, newest first: when it was seen; team_id, uuid, code, distinct_id, other."""

    def open(self) -> contextlib.AbstractContextManager[Session]:
        """A session: kept at the end of the block; if the block raises, it is as if it had never been."""

    def reached(self) -> Reached:
        """How far it is."""
