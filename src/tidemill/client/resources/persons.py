"""Persons. Written by tests/client_writer.py."""

from __future__ import annotations

from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.persons import PersonAnswer, PersonIdsAnswer, RefusedAnswer
from tidemill.client.models.shared import OperationAnswer


class Persons:
    """Persons."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def show(self, *, distinct_id: str, team_id: int = 1) -> PersonAnswer:
        """The person of an id, as all events say."""
        return core.made(
            self._core.ask("GET", "/api/v1/persons", query={"distinct_id": distinct_id, "team_id": team_id}),
            PersonAnswer,
        )

    def delete(self, *, distinct_id: str, team_id: int = 1, with_events: bool = False) -> OperationAnswer:
        """Have a worker delete a person here and in the tables of persons, as for a privacy request. It may be
        asked for again, if it has failed: what is left is written down, and goes on."""
        return core.made(
            self._core.ask(
                "DELETE",
                "/api/v1/persons",
                query={"distinct_id": distinct_id, "team_id": team_id, "with_events": with_events},
            ),
            OperationAnswer,
        )

    def ids(self, *, distinct_id: str, team_id: int = 1) -> PersonIdsAnswer:
        """All ids of the person of an id."""
        return core.made(
            self._core.ask("GET", "/api/v1/persons/ids", query={"distinct_id": distinct_id, "team_id": team_id}),
            PersonIdsAnswer,
        )

    def refused(self, *, limit: int = 50) -> list[RefusedAnswer]:
        """Merges and changes of properties that were refused, newest first."""
        return [
            RefusedAnswer.model_validate(one)
            for one in self._core.ask("GET", "/api/v1/persons/refused", query={"limit": limit}).json()
        ]

    def deletions(self) -> list[OperationAnswer]:
        """Deletions of persons that are not over, the oldest first: 100 at most."""
        return [
            OperationAnswer.model_validate(one) for one in self._core.ask("GET", "/api/v1/persons/deletions").json()
        ]

    def show_deletion(self, operation: UUID) -> OperationAnswer:
        """How a deletion stands. Until it is over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/persons/deletions/{operation}", operation=operation)),
            OperationAnswer,
        )
